"""Malicious configs: too deep, too large, cyclic, or with wrong types."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import pytest

import jconv.keras
from jconv.keras import KerasFileError
from jconv.keras.files.json_text import parse_json
from jconv.keras.read.graph import build
from jconv.keras.read.loaded_model import BuiltModel
from tests.support.keras_crafted import archive, conv, functional, hdf5, layer, operation, saved, tensor
from tests.support.keras_watch import check_line, peak, refused

MIB = 2**20


def build_from_json(config: Any) -> BuiltModel:
    """The model of a config that was written as JSON and parsed again."""
    return build(parse_json(json.dumps(config).encode(), "config.json"), {})


@pytest.mark.parametrize(
    "where", ["args", "kwargs", "output_layers", "input_layers", "value", "dtype", "layer", "axis"]
)
@pytest.mark.parametrize("inner", ["list", "object"])
def test_deep_nesting_is_refused_in_every_place(where: str, inner: str):
    """At the maximum depth of JSON, there is no stack overflow and no exponential time."""
    deep: Any = 1
    for _ in range(180):
        deep = [deep] if inner == "list" else {"class_name": "__numpy__", "config": deep}
    config = functional(conv())
    places: dict[str, Any] = {
        "args": config["config"]["layers"][1]["inbound_nodes"][0]["args"],
        "kwargs": config["config"]["layers"][1]["inbound_nodes"][0]["kwargs"],
        "output_layers": config["config"]["output_layers"],
        "input_layers": config["config"]["input_layers"],
        "dtype": config["config"]["layers"][1]["config"],
    }
    if where in ("value", "axis"):
        constant = {"class_name": "__numpy__", "config": {"value": deep, "dtype": "int32"}}
        config = functional(operation("Sum", tensor("in0"), axis=constant if where == "value" else deep))
    elif where == "layer":
        config = functional(layer("TimeDistributed", "t", {"layer": deep}))
    elif isinstance(places[where], list):
        places[where][0] = deep
    else:
        places[where]["mask" if where == "kwargs" else where] = deep
    # Except for its input, the arguments of a convolution are ignored.
    build_from_json(config) if (where, inner) == ("kwargs", "list") else refused(lambda: build_from_json(config))


def wrapped(class_name: str, depth: int) -> dict[str, Any]:
    """A model with a dense layer inside `depth + 1` wrappers."""
    inner: dict[str, Any] = {"class_name": "Dense", "config": {"name": "d", "units": 2}}
    for number in range(depth):
        inner = {"class_name": class_name, "config": {"name": f"w{number}", "layer": inner}}
    return functional(layer(class_name, "w", {"layer": inner}), shape=(2,) * 62)


@pytest.mark.parametrize("class_name", ["TimeDistributed", "Bidirectional", "SpectralNormalization"])
@pytest.mark.parametrize("depth", [10, 58, 90])
def test_nested_wrappers_are_read_or_refused(class_name: str, depth: int):
    config = wrapped(class_name, depth)
    if class_name == "TimeDistributed" and depth < 60:
        (leaf,) = build_from_json(config).root.leaves()
        assert leaf.layer is not None and len(leaf.layer.param_shapes(leaf.input_shape)) == 2
    else:
        refused(lambda: build_from_json(config))


def test_nested_models_are_read():
    model = functional(conv())
    for number in range(45):
        model = functional(layer("Functional", f"m{number}", model["config"]), name=f"n{number}")
    assert len(build_from_json(model).model.nodes) == 1
    for number in range(4):
        model = functional(layer("TimeDistributed", "t", {"layer": model}), shape=(3,) * (number + 1) + (7, 4))
    assert len(build_from_json(model).model.nodes) == 1


@pytest.mark.parametrize("entries", [[], [conv("c", padding="same", filters=4)]])
def test_exponentially_many_calls_are_refused(entries: list[Any]):
    model = functional(*entries)
    for number in range(40):
        called = layer("Functional", f"m{number}", model["config"], [("in0",)] * 2)
        model = functional(called, name=f"m{number + 1}", outputs=[[f"m{number}", 2, 0]])
    refused(lambda: build_from_json(model), "the model has more than 20,000 layers and calls")


def test_long_names_are_refused():
    """The name of a call begins with the names of the models around it, so that one long name is stored many times."""
    long = "a" * 100_000
    calls = layer("Activation", long, {"activation": "relu"}, [("in0",)] * 1000)
    many = [layer("Activation", f"a{number}", {"activation": "relu"}) for number in range(1000)]
    inside = layer("Functional", long, functional(*many)["config"])
    nested = functional(conv("c"))
    for number in range(20):
        name = f"{number}".ljust(100, "a")
        nested = functional(layer("Functional", name, {**nested["config"], "name": name}))
    for entry in (calls, inside):
        assert peak(lambda entry=entry: refused(lambda: build_from_json(functional(entry)), "1,024")) < 20 * MIB
    refused(lambda: build_from_json(nested), "the name, with the names of the models around it, has")
    config = functional(conv())
    config["config"]["layers"][1]["name"] = long
    refused(lambda: build_from_json(config), "has 100,000 characters; the limit is 1,024")


def test_large_models_that_are_called_many_times_are_refused():
    """A nested model and its constants are read again for each call, which takes time and memory."""
    constant = {"class_name": "__numpy__", "config": {"value": [0] * 90_000, "dtype": "int32"}}
    inner = functional(operation("Add", tensor("in0"), constant), shape=(90_000,))
    config = functional(layer("Functional", "m", inner["config"], [("in0",)] * 500), shape=(90_000,))
    refused(lambda: build_from_json(config), "the calls of nested models have more than 2,000,000 values")


def test_tcns_with_many_blocks_are_refused():
    """A few bytes of config describe any number of convolutions."""

    def tcn(name: str, **options: Any) -> dict[str, Any]:
        return layer("TCN", name, {"nb_filters": 4, "kernel_size": 2, **options}, module="tcn")

    for options in ({"dilations": [1] * 100_000}, {"dilations": [1] * 1000, "nb_stacks": 10**6}):
        assert (
            peak(lambda o=options: refused(lambda: build_from_json(functional(tcn("t", **o))), "residual blocks"))
            < 20 * MIB
        )
    many = [tcn(f"t{number}", dilations=[1] * 100) for number in range(30)]
    refused(lambda: build_from_json(functional(*many)), "the model has more than 20,000 layers")


def test_too_many_layers_are_refused():
    text = json.dumps(functional(conv())).replace('"layers": [', '"layers": [' + "{}," * 1_000_000, 1)
    refused(lambda: parse_json(text.encode(), "config.json"), "more than 2,000,000 values")
    entry = json.dumps(layer("Flatten", "f", reads=()))
    many = ",".join(entry.replace('"f"', f'"f{i}"') for i in range(21_000))
    config = json.dumps(functional(conv())).replace('"layers": [', f'"layers": [{many},', 1)
    refused(lambda: build(json.loads(config), {}), "more than 20,000 layers")


def test_the_time_is_linear_in_the_number_of_layers():
    """Regression tests: each of these once took quadratic time."""
    many = range(1500)
    chain = [conv(f"c{i}", (f"c{i - 1}" if i else "in0",), padding="same", filters=4) for i in many]
    assert len(build_from_json(functional(*chain)).model.nodes) == len(many)
    calls = layer("Activation", "a", {"activation": "relu"}, [("in0",) for _ in many])
    assert len(build_from_json(functional(calls, outputs=[["a", i, 0] for i in many])).model.nodes) == len(many)
    assert len(build_from_json(functional(conv(), outputs=[["conv1d", 0, 0] for _ in many])).model.outputs) == len(many)
    beside = [layer("Masking", "m", {"mask_value": 0.0})]
    beside += [layer("Activation", f"a{i}", {"activation": "relu"}, ("m",)) for i in many]
    beside += [layer("LSTM", f"l{i}", {"units": 2}, (f"a{i}",)) for i in many]
    assert len(
        build_from_json(functional(*beside, outputs=[[f"l{i}", 0, 0] for i in many])).model.nodes
    ) == 2 + 2 * len(many)


CYCLES = {
    "itself": [conv("a", ("a",))],
    "two": [conv("a", ("b",)), conv("b", ("a",))],
    "disconnected": [conv("a"), conv("b", ("c",)), conv("c", ("b",))],
    "calls": [layer("Activation", "a", {"activation": "relu"}, [("b",), ("in0",)]), conv("b", ("a",))],
}


@pytest.mark.parametrize("name", CYCLES)
def test_cycles_are_refused(name: str):
    refused(lambda: build_from_json(functional(*CYCLES[name])), "a cycle, or reads a value that does not exist")


def with_an_input_that_reads(name: str) -> dict[str, Any]:
    """A model whose input is called on a layer that reads it."""
    config = functional(conv())
    config["config"]["layers"][0]["inbound_nodes"] = [{"args": [tensor(name)], "kwargs": {}}]
    return config


REFERENCES = {
    "unknown_layer": (functional(conv(reads=("x",))), "'x', which does not exist"),
    "unknown_output": (functional(conv(), outputs=[["x", 0, 0]]), "the output 'x' does not exist"),
    "unknown_call": (functional(conv(), outputs=[["conv1d", 3, 0]]), "call 3 of 'conv1d' does not exist"),
    "unknown_number": (
        functional(conv(), outputs=[["conv1d", 0, 3]]),
        "has one output, but the output with index 3 is read",
    ),
    "negative": (functional(conv(), outputs=[["conv1d", -1, 0]]), "counted from 0"),
    "booleans": (functional(conv(), outputs=[["conv1d", False, False]]), "[layer, call, output]"),
    "a_list_as_name": (functional(conv(), outputs=[[["a"], 0, 0]]), "[layer, call, output]"),
    "no_output": (functional(conv(), outputs=[{}]), "outputs of the model must contain at least one name"),
    "the_name_of_another": (functional(conv("a"), conv("a")), "the name 'a' is used twice"),
    "the_arrays_of_another": (
        functional(
            conv("a/b", padding="same", filters=4),
            layer("Functional", "a", functional(conv("b"), name="a")["config"], ("a/b",)),
        ),
        "two layers are named 'a/b'",
    ),
    "an_input_that_is_called": (
        functional(layer("InputLayer", "a", {"batch_shape": [None, 2]}), conv("b", ("a",))),
        "an InputLayer is not called",
    ),
    "an_input_that_reads_a_layer": (with_an_input_that_reads("conv1d"), "an InputLayer is not called"),
    "a_call_without_tensors": (functional(layer("Flatten", "f", reads=[()])), "is called on no tensor"),
    "options_of_keras_2": (
        functional({**conv("a"), "inbound_nodes": [[["in0", 0, 0, ["x"]]]]}),
        "the options of a call must be an object",
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_invalid_references_are_refused(name: str):
    config, part = REFERENCES[name]
    refused(lambda: build_from_json(config), part)


def test_invalid_sequential_models_are_refused():
    config: dict[str, Any] = {"class_name": "Sequential", "config": {"name": "s", "build_input_shape": [None, 7, 4]}}
    config["config"]["layers"] = [conv("a"), conv("a")]
    refused(lambda: build_from_json(config), "two layers are named 'a'")
    config["config"]["layers"] = [functional(name="m", outputs=[[]]), conv("a")]
    config["config"]["layers"][0]["config"]["output_layers"] = []
    refused(lambda: build_from_json(config), "a model without outputs")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "\u202eevil", "\0", "a" * 100_000, "\ud800", "'; DROP", ""])
def test_messages_with_unprintable_names_are_one_line(name: str):
    for entry in (conv(name, activation="x"), layer(name or "x", "a"), layer("Dense", name, {"unknown": name})):
        refused(lambda entry=entry: build_from_json(functional(entry)))
    refused(lambda: build_from_json(functional(conv("a", (name,)))))


@pytest.mark.parametrize("filters", [10**12, 2**63, 2**64 - 1, 0, -1, 1.0, True, "3", [3], None, {}])
def test_impossible_sizes_are_refused(filters: Any, tmp_path: Path):
    """Sizes are compared with the arrays in the file and never allocated."""
    path = saved(tmp_path, archive(functional(conv(filters=filters))))
    assert peak(lambda: refused(lambda: jconv.keras.load(path), "layer 'conv1d'")) < 2 * MIB
    config = functional(conv(kernel_size=[10**9], padding="same", dilation_rate=[10**9]), conv("b", ("conv1d",)))
    assert peak(lambda: refused(lambda: jconv.keras.load(saved(tmp_path, archive(config))), "(2, 4, 3)")) < 2 * MIB


@pytest.mark.parametrize("shape", [(10**15, 4), (2**64 - 1, 4), (0, 4), (None, None), (7, 10**17), (7,) * 70, ()])
def test_sizes_of_inputs_are_not_allocated(shape: tuple[Any, ...]):
    def try_all() -> None:
        for entry in (
            conv(),
            layer("LSTM", "a", {"units": 3}),
            operation("Tile", tensor("in0"), repeats=[1, 10**9, 1]),
        ):
            with suppress(KerasFileError):
                build_from_json(functional(entry, shape=shape))

    assert peak(try_all) < 5 * MIB


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_array_shapes_that_depend_on_an_unknown_length_are_refused(form: str, tmp_path: Path):
    options = {"equation": "abc,bd->adc", "output_shape": [5, 4], "bias_axes": "d"}
    config = functional(layer("EinsumDense", "e", options, module="keras.layers"), shape=(None, 4))
    whole = hdf5({"model_weights/a": 1.0}, model_config=json.dumps(config))
    path = saved(tmp_path, archive(config) if form == "keras" else with_layer_names(whole), f"model.{form}")
    refused(lambda: jconv.keras.load(path), "EinsumDense", "must be known")


def with_layer_names(data: bytes) -> bytes:
    """The HDF5 file with an empty list of layer names, as in Keras 2."""
    stream = io.BytesIO(data)
    with h5py.File(stream, "a") as file:
        file["model_weights"].attrs["layer_names"] = []
    return stream.getvalue()


BIG = 10**12
OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "tile": ("Tile", {"repeats": [1, BIG, BIG]}),
    "repeat": ("Repeat", {"repeats": BIG, "axis": 1}),
    "repeat_each": ("Repeat", {"repeats": [BIG] * 7, "axis": 1}),
    "pad": ("Pad", {"pad_width": [[0, 0], [BIG, BIG], [0, 0]]}),
    "pad_reflect": ("Pad", {"pad_width": [[0, 0], [10**7, 0], [0, 0]], "mode": "reflect"}),
    "pad_empty": ("Pad", {"pad_width": BIG, "mode": "empty"}),
    "broadcast": ("BroadcastTo", {"shape": [1, BIG, BIG]}),
    "reshape": ("Reshape", {"newshape": [-1, BIG]}),
    "reshape_to_nothing": ("Reshape", {"newshape": [-1, 0]}),
    "reshape_axes": ("Reshape", {"newshape": [1] * 10_000}),
    "einsum": ("Einsum", {"subscripts": "ab" * 500_000}),
    "diff": ("Diff", {"n": BIG}),
    "round": ("Round", {"decimals": BIG}),
    "split": ("Split", {"indices_or_sections": 10**7, "axis": 1}),
    "unstack_batch": ("Unstack", {"axis": 0}),
    "axis_of_a_device": ("Sum", {"axis": "a" * 1_000_000}),
    "concatenate_rows": ("Concatenate", {"axis": 1}),
    "stack_rows": ("Stack", {"axis": 1}),
    "roll": ("Roll", {"shift": [1] * 10_000, "axis": 1}),
    "cast": ("Cast", {"dtype": "f4," * 100_000}),
    "cast_object": ("Cast", {"dtype": "O"}),
    "expand": ("ExpandDims", {"axis": list(range(10_000))}),
    "transpose": ("Transpose", {"axes": [0] * 10_000}),
    "norm": ("Norm", {"ord": "nuc"}),
    "unknown_option": ("Sum", {"where": True}),
    "tensor_option": ("Sum", {"axis": tensor("in0")}),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_sizes_of_operations_are_not_allocated(name: str):
    class_name, options = OPERATIONS[name]
    config = functional(operation(class_name, tensor("in0"), **options), shape=(None, 4))

    def try_it() -> None:
        try:
            build_from_json(config)
        except KerasFileError as error:
            check_line(error)

    assert peak(try_it) < 30 * MIB


KEYS: list[Any] = [
    *(1, BIG, "a", None, 1.5, True, [1] * 5000, [[1] * 5000], [None] * 5000, {"a": 1}, tensor("in0")),
    {"class_name": "__ellipsis__", "config": {}},
    {"class_name": "__slice__", "config": {"start": "a"}},
    {"class_name": "__slice__", "config": {"step": 0}},
    {"class_name": "__numpy__", "config": {"value": [[1, 2], [3]], "dtype": "int32"}},
]


@pytest.mark.parametrize("number", range(len(KEYS)))
def test_keys_of_get_item_are_read_or_refused(number: int):
    for key in (KEYS[number], [KEYS[number], KEYS[number]]):
        try:
            build_from_json(functional(operation("GetItem", tensor("in0"), key)))
        except KerasFileError as error:
            check_line(error)
