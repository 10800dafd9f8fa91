"""The `activation` option of layers: a name, a function, or an activation layer, which may have params.

The params of an activation layer are in the params of the layer that has the option, under names such as
`"activation/alpha"`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...functional import activations
from ...reference import activations as activations_numpy
from ..base import Activation, ActivationLayer, Layer
from ..nesting import add_prefix, strip_prefix
from ..types import ArrayShapes, Params


def check_activation(option: str, activation: Any) -> None:
    """Raise `ValueError` unless the value of `option` is a known name, a function, None or an activation layer."""
    if not isinstance(activation, Layer):
        try:
            activations.resolve(activation)
        except ValueError as error:
            raise ValueError(f"{option}{str(error).removeprefix('activation')}") from None
    elif not isinstance(activation, ActivationLayer) or activation.has_several_inputs:
        raise ValueError(f"{option} must be an activation layer, such as LeakyReLU(0.3), got {activation}")


def activation_shapes(activation: Activation, shape: Any, option: str = "activation") -> ArrayShapes:
    """Shapes of the activation's params for an input of `shape`, by name in the layer that has the `option`.

    >>> from .parametric_activation import PReLU
    >>> activation_shapes(PReLU((1,)), (None, 3)), activation_shapes("relu", (None, 3))
    ({'activation/alpha': (1, 3)}, {})
    """
    return add_prefix(option, activation.param_shapes(shape)) if isinstance(activation, Layer) else {}


def jax_activation(activation: Activation, params: Params, option: str = "activation") -> Callable[[Any], Any]:
    """The activation as a JAX function. `params` are the params of the layer that has the `option`."""
    if not isinstance(activation, Layer):
        return activations.resolve(activation)
    own = strip_prefix(option, params)
    return lambda x: activation.apply(own, {}, x)[0]


def numpy_activation(activation: Activation, params: Params, option: str = "activation") -> Callable[[Any], Any]:
    """The activation as a NumPy function; see `jax_activation`."""
    if not isinstance(activation, Layer):
        return activations_numpy.resolve(activation)
    own = strip_prefix(option, params)
    return lambda x: activation.reference(own, {}, x)


def reads_complete_length(activation: Activation) -> bool:
    """Whether each output of an activation depends on the complete length.

    >>> from .activation import Softmax
    >>> reads_complete_length(Softmax(1)), reads_complete_length("softmax")
    (True, False)
    """
    return isinstance(activation, Layer) and activation.window() is None


def remove_activation_params(params: Params, option: str = "activation") -> dict[str, Any]:
    """`params` without the params of the activation.

    >>> remove_activation_params({"kernel": 1, "activation/alpha": 2})
    {'kernel': 1}
    """
    return {name: array for name, array in params.items() if not name.startswith(f"{option}/")}
