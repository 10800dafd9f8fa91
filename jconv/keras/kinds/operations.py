"""The classes of `keras.ops`, and jconv's function for each, one of `layers/operations/functions.py`."""

from __future__ import annotations

from ...layers.operations.functions import OPERATIONS

# The function of each class. A class is named after its function, with one exception.
FUNCTIONS: dict[str, str] = {"".join(map(str.capitalize, name.split("_"))): name for name in OPERATIONS}
FUNCTIONS |= {"L2Normalize": "normalize"}
CLASSES = {function: name for name, function in reversed(FUNCTIONS.items())}

_MODULES = {
    "keras.src.ops.nn": (
        "relu relu6 sigmoid softplus softsign silu selu log_sigmoid hard_sigmoid hard_silu hard_tanh tanh_shrink "
        "sparse_plus sparse_sigmoid sparsemax celu elu gelu glu hard_shrink leaky_relu log_softmax normalize "
        "soft_shrink softmax squareplus threshold"
    ),
    "keras.src.ops.math": "logsumexp rsqrt",
    "keras.src.ops.core": "cast convert_to_tensor stop_gradient unstack",
    "keras.src.ops.linalg": "norm",
}
# The module of Keras that contains the class of each function.
MODULES = dict.fromkeys(OPERATIONS, "keras.src.ops.numpy")
MODULES |= {function: module for module, functions in _MODULES.items() for function in functions.split()}
# Arguments that Keras passes to the call of an operation; the others are passed to its constructor.
CALL_ARGUMENTS = ("x", "x1", "x2", "xs", "a", "condition", "key", "indices")
CALL_KEYWORDS = ("constant_values",)
