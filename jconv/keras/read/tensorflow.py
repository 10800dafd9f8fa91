"""A function of TensorFlow between layers of Keras 2, as an `Operation`.

`TFOpLambda` and `SlicingOpLambda` (TensorFlow 2.4 and later) have the name of a Python function of TensorFlow,
`TensorFlowOpLayer` (before 2.4) the name of an operation of its graphs, with constants and attributes. None of them
contains code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

from ...geometry import is_integer
from ...layers.operations.operation import Operation, Slice
from ..files.errors import KerasFileError, error_context
from ..files.json_text import parse_json
from ..kinds.config import Config, anything, as_dict, shortened, text
from ..kinds.operations import FUNCTIONS
from .calls import Call, Ref, as_constant, replace_refs

GRAPH_OPERATION = "TensorFlowOpLayer"
CLASSES = ("TFOpLambda", "SlicingOpLambda", GRAPH_OPERATION)

# The name of the operation, and its argument for each argument of TensorFlow's function, in order.
Entry = tuple[str, Mapping[str, str]]
BINARY = {"x": "x1", "y": "x2"}


def _same(names: str) -> dict[str, str]:
    """Functions that have the same name as their operation."""
    return {name: name for name in names.split()}


def _table() -> dict[str, Entry]:
    two = _same("add subtract multiply divide maximum minimum mod equal not_equal greater greater_equal less")
    two |= _same("less_equal logical_and logical_or logical_xor")
    two |= {"truediv": "divide", "pow": "power", "floordiv": "floor_divide", "floormod": "mod"}
    operators = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power"}
    one = _same("square sqrt rsqrt exp expm1 log log1p tanh sigmoid negative sin cos tan sinh cosh floor ceil round")
    one |= _same("sign softplus softsign logical_not log_sigmoid") | {"abs": "absolute", "atan": "arctan"}
    activations = _same("relu relu6 selu softplus softsign silu sigmoid tanh elu")
    reduced = _same("sum mean max min prod any all std logsumexp") | {"variance": "var"}
    axes = {"input_tensor": "x", "axis": "axis", "keepdims": "keepdims"}
    found: dict[str, Entry] = {f"math.{name}": (operation, BINARY) for name, operation in two.items()}
    found |= {f"__operators__.{name}": (operation, BINARY) for name, operation in operators.items()}
    found |= {f"math.{name}": (operation, {"x": "x"}) for name, operation in one.items()}
    found |= {f"nn.{name}": (operation, {"features": "x"}) for name, operation in activations.items()}
    found |= {f"math.reduce_{name}": (operation, axes) for name, operation in reduced.items()}
    found |= {
        "nn.swish": ("silu", {"features": "x"}),
        "nn.softmax": ("softmax", {"logits": "x", "axis": "axis"}),
        "nn.log_softmax": ("log_softmax", {"logits": "x", "axis": "axis"}),
        "nn.gelu": ("gelu", {"features": "x", "approximate": "approximate"}),
        "nn.leaky_relu": ("leaky_relu", {"features": "x", "alpha": "negative_slope"}),
        "math.l2_normalize": ("normalize", {"x": "x", "axis": "axis", "epsilon": "epsilon"}),
        "math.cumsum": ("cumsum", {"x": "x", "axis": "axis"}),
        "math.argmax": ("argmax", {"input": "x", "axis": "axis"}),
        "math.argmin": ("argmin", {"input": "x", "axis": "axis"}),
        "linalg.matmul": ("matmul", {"a": "x1", "b": "x2"}),
        "cast": ("cast", {"x": "x", "dtype": "dtype"}),
        "expand_dims": ("expand_dims", {"input": "x", "axis": "axis"}),
        "concat": ("concatenate", {"values": "xs", "axis": "axis"}),
        "stack": ("stack", {"values": "x", "axis": "axis"}),
        "math.atan2": ("arctan2", {"y": "x1", "x": "x2"}),
        "compat.v1.floor_div": ("floor_divide", BINARY),
        "identity": ("multiply", {"input": "x1"}),
        "repeat": ("repeat", {"input": "x", "repeats": "repeats", "axis": "axis"}),
        "reshape": ("reshape", {"tensor": "x", "shape": "newshape"}),
        "reverse": ("flip", {"tensor": "x", "axis": "axis"}),
        "roll": ("roll", {"input": "x", "shift": "shift", "axis": "axis"}),
        "split": ("split", {"value": "x", "num_or_size_splits": "indices_or_sections", "axis": "axis"}),
        "unstack": ("unstack", {"value": "x", "num": "num", "axis": "axis"}),
        "tile": ("tile", {"input": "x", "multiples": "repeats"}),
        "where": ("where", {"condition": "condition", "x": "x1", "y": "x2"}),
        "clip_by_value": ("clip", {"t": "x", "clip_value_min": "x_min", "clip_value_max": "x_max"}),
        "stop_gradient": ("stop_gradient", {"input": "x"}),
        "ones_like": ("ones_like", {"input": "x", "dtype": "dtype"}),
        "zeros_like": ("zeros_like", {"input": "x", "dtype": "dtype"}),
        "__operators__.getitem": ("get_item", {"x": "x", "slice_spec": "key"}),
    }
    for name in ("", "compat.v1."):
        found[f"{name}squeeze"] = "squeeze", {"input": "x", "axis": "axis"}
        found[f"{name}transpose"] = "transpose", {"a": "x", "perm": "axes"}
        found[f"{name}gather"] = "take", {"params": "x", "indices": "indices", "axis": "axis"}
        found[f"{name}pad"] = (
            "pad",
            {"tensor": "x", "paddings": "pad_width", "mode": "mode", "constant_values": "constant_values"},
        )
    return found


# The entry of each Python function of TensorFlow.
TABLE = _table()
# Arguments that are not in the table, with the values that change nothing.
FIXED: dict[str, tuple[Any, ...]] = {
    "conjugate": (False,),
    "exclusive": (False,),
    "reverse": (False,),
    "batch_dims": (0,),
    "output_type": ("int32", "int64"),
}
# Arguments of operations that may be arrays, which the file has as lists.
ARRAYS = ("x1", "x2", "condition", "x_min", "x_max")
# Defaults of TensorFlow's functions that the operations do not share.
DEFAULTS: dict[str, dict[str, Any]] = {"nn.gelu": {"approximate": False}, "math.l2_normalize": {"epsilon": 1e-12}}

# The operations of graphs whose inputs are all arrays: those with the name of a class of keras.ops, and others.
SAME_NAMES = (
    "Add Maximum Minimum NotEqual Equal Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr LogicalNot Exp Log "
    "Sqrt Rsqrt Square Relu Relu6 Sigmoid Tanh Softmax Softplus Elu Selu"
)
OPERATIONS = {name: FUNCTIONS[name] for name in SAME_NAMES.split()}
OPERATIONS |= {"AddV2": "add", "Sub": "subtract", "Mul": "multiply", "RealDiv": "divide", "Pow": "power"}
OPERATIONS |= {"Neg": "negative", "Abs": "absolute"}
# Matrix products, with the attributes that transpose an operand.
MATMULS = {"MatMul": ("transpose_a", "transpose_b")}
MATMULS |= dict.fromkeys(("BatchMatMul", "BatchMatMulV2"), ("adj_x", "adj_y"))
# Operations with a constant argument that is not an array.
SHAPING = ("ExpandDims", "Transpose", "Reshape", "Tile")
# Operations that also have an attribute.
REDUCTIONS = ("Mean", "Sum", "Max", "Min", "Prod")
DTYPES = {"DT_FLOAT": "float32", "DT_HALF": "float16", "DT_DOUBLE": "float64", "DT_BOOL": "bool"}
DTYPES |= {"DT_INT32": "int32", "DT_INT64": "int64", "DT_BFLOAT16": "bfloat16"}
ADVICE = "supply a jconv layer for it with custom_layers={name: layer}"


def read_tensorflow(class_name: str, config: Config, call: Call, to_input: Callable[[Ref], Any]) -> Operation:
    """The operation of a node of one of the `CLASSES`; `to_input` gives the input for each tensor.

    Raises `KerasFileError`, with the name of the function, for an unsupported function.
    """
    with error_context(config.place, "Operation: "):
        if class_name == GRAPH_OPERATION:
            return _graph_operation(config, call, to_input)
        name = config.get("function", text)
        if name not in TABLE:
            raise KerasFileError(f"{config.place}: TensorFlow's {name!a} is not supported; {ADVICE}")
        operation, names = TABLE[name]
        given = dict(zip(names, call.args, strict=False)) | call.kwargs
        given = {**DEFAULTS.get(name, {}), **{key: value for key, value in given.items() if key != "name"}}
        if name == "linalg.matmul":
            operation, names = "einsum", {**names, "subscripts": "subscripts"}
            transposed = [given.pop(f"transpose_{side}", False) for side in "ab"]
            given["subscripts"] = _matmul_subscripts(*transposed)
        options = {names[key]: given.pop(key) for key in names if given.get(key) is not None}
        for key, value in given.items():
            if key not in names and value is not None and value not in FIXED.get(key, ()):
                config.fail(f"the option {key!a} of TensorFlow's {name} (value {shortened(value)}) is not supported")
        options |= {key: as_constant(options[key]) for key in ARRAYS if key in options}
        if name == "identity":
            options["x2"] = 1
        if operation == "pad" and isinstance(options.get("mode"), str):
            options["mode"] = options["mode"].lower()
        if operation == "split" and isinstance(sizes := options.get("indices_or_sections"), tuple):
            options["indices_or_sections"] = _ends(sizes, config)
        if name == "math.l2_normalize":
            options["epsilon"] = options["epsilon"] ** 0.5
        if "key" in options:
            options["key"] = _slices(options["key"])
        # The operands of einsum are positional.
        operands = tuple(replace_refs(options.pop(key), to_input) for key in ("x1", "x2") if operation == "einsum")
        return Operation(
            operation, operands, tuple((key, replace_refs(value, to_input)) for key, value in options.items())
        )


def _matmul_subscripts(transposes_a: bool, transposes_b: bool) -> str:
    """The product of two matrices for einsum.

    >>> _matmul_subscripts(False, True)
    '...ij,...kj->...ik'
    """
    return f"...{'ji' if transposes_a else 'ij'},...{'kj' if transposes_b else 'jk'}->...ik"


def _ends(sizes: tuple[Any, ...], config: Config) -> tuple[int, ...]:
    """The indices at which parts of these `sizes` end, without the last."""
    if not all(is_integer(size) and size >= 0 for size in sizes):
        config.fail(f"num_or_size_splits must be a number or known sizes, got {shortened(sizes)}")
    return tuple(accumulate(sizes))[:-1]


def _slices(value: Any) -> Any:
    """An index, or a tuple of them, with slices in place of their dicts."""
    if isinstance(value, tuple):
        return tuple(_slices(part) for part in value)
    if isinstance(value, dict):
        if set(value) == {"start", "stop", "step"}:
            return Slice(value["start"], value["stop"], value["step"])
        raise ValueError(f"a slice must have start, stop and step, got {shortened(value)}")
    return value


def _graph_operation(config: Config, call: Call, to_input: Callable[[Ref], Any]) -> Operation:
    definition = config.get("node_def", anything)
    if isinstance(definition, str):
        definition = parse_json(definition.encode(), f"{config.place}, node_def")
    node = Config(as_dict(definition), f"{config.place}, node_def")
    name = node.get("op", text)
    attributes = node.get("attr", as_dict, {})
    constants = {int(key): value for key, value in config.get("constants", as_dict, {}).items()}
    tensors = list(call.args[0]) if call.args and isinstance(call.args[0], tuple) else list(call.args)
    inputs: list[Any] = []
    for position in range(len(tensors) + len(constants)):
        is_constant = position in constants
        inputs.append(_as_tuples(constants[position]) if is_constant else replace_refs(tensors.pop(0), to_input))
    if name in OPERATIONS:
        return Operation(OPERATIONS[name], tuple(map(as_constant, inputs)))
    if name in MATMULS:
        transposed = [bool(_attribute(attributes, option, "b", False)) for option in MATMULS[name]]
        operands = tuple(map(as_constant, inputs))
        if not any(transposed):
            return Operation("matmul", operands)
        return Operation("einsum", operands, (("subscripts", _matmul_subscripts(*transposed)),))
    if name in SHAPING:
        return Operation(FUNCTIONS[name], tuple(inputs))
    if name == "Identity":
        return Operation("multiply", (inputs[0], 1))
    if name in REDUCTIONS:
        keepdims = bool(_attribute(attributes, "keep_dims", "b", False))
        return Operation(FUNCTIONS[name], (inputs[0],), (("axis", inputs[1]), ("keepdims", keepdims)))
    if name == "ConcatV2":
        return Operation("concatenate", (tuple(inputs[:-1]),), (("axis", inputs[-1]),))
    if name == "Cast":
        return Operation("cast", (inputs[0], DTYPES.get(_attribute(attributes, "DstT", "type", ""), "unknown")))
    if name == "Squeeze":
        axes = _attribute(attributes, "squeeze_dims", "list", {}).get("i", [])
        return Operation("squeeze", (inputs[0],), (("axis", tuple(int(axis) for axis in axes) or None),))
    if name == "StridedSlice":
        return Operation("get_item", (inputs[0], _strided(inputs[1:], attributes)))
    raise KerasFileError(f"{config.place}: TensorFlow's operation {name!a} is not supported; {ADVICE}")


def _attribute(attributes: Mapping[str, Any], name: str, kind: str, default: Any) -> Any:
    value = attributes.get(name)
    return value.get(kind, default) if isinstance(value, dict) else default


def _strided(bounds: list[Any], attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """The index of a strided slice; bit `axis` of each mask is the option for this axis."""
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    masks = [int(_attribute(attributes, name, "i", 0)) for name in names]
    index: list[Any] = []
    for axis, (begin, end, step) in enumerate(zip(*bounds, strict=True)):
        no_begin, no_end, ellipsis, new, shrink = (mask >> axis & 1 for mask in masks)
        if ellipsis or new:
            index.append(... if ellipsis else None)
        elif shrink:
            index.append(begin)
        else:
            index.append(Slice(None if no_begin else begin, None if no_end else end, step))
    return tuple(index)


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(part) for part in value) if isinstance(value, list) else value
