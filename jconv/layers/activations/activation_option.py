"""An activation as an option of another layer: a name, a function, or a layer, which may have arrays of its own.

The arrays stand among those of the layer that has the option, after the option's name: `"activation/alpha"`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ... import activations, activations_numpy
from ..base import Activation, ActivationLayer, Layer
from ..nesting import add_prefix, strip_prefix


def check_activation(activation: Any) -> None:
    """Raise `ValueError` for what is no activation."""
    if not isinstance(activation, Layer):
        activations.resolve(activation)
    elif not isinstance(activation, ActivationLayer) or activation.has_several_inputs:
        raise ValueError(f"activation must be a layer that is an activation, such as LeakyReLU(0.3), got {activation}")


def activation_shapes(activation: Activation, shape: Any, option: str = "activation") -> dict[str, tuple[int, ...]]:
    """The arrays of the activation of a value of `shape`, by their names in the layer that has the `option`.

    >>> from .parametric_activation import PReLU
    >>> activation_shapes(PReLU((1,)), (None, 3)), activation_shapes("relu", (None, 3))
    ({'activation/alpha': (1, 3)}, {})
    """
    return add_prefix(option, activation.param_shapes(shape)) if isinstance(activation, Layer) else {}


def jax_activation(
    activation: Activation, params: Mapping[str, Any], option: str = "activation"
) -> Callable[[Any], Any]:
    """The activation as a function in JAX, given the arrays of the layer that has the `option`."""
    if not isinstance(activation, Layer):
        return activations.resolve(activation)
    own = strip_prefix(option, params)
    return lambda x: activation.apply(own, {}, x)[0]


def numpy_activation(
    activation: Activation, params: Mapping[str, Any], option: str = "activation"
) -> Callable[[Any], Any]:
    """The same in NumPy."""
    if not isinstance(activation, Layer):
        return activations_numpy.resolve(activation)
    own = strip_prefix(option, params)
    return lambda x: activation.reference(own, {}, x)


def reads_whole_length(activation: Activation) -> bool:
    """Whether an activation looks along the whole length.

    >>> from .activation import Softmax
    >>> reads_whole_length(Softmax(1)), reads_whole_length("softmax")
    (True, False)
    """
    return isinstance(activation, Layer) and activation.window() is None


def remove_activation_params(params: Mapping[str, Any], option: str = "activation") -> dict[str, Any]:
    """The arrays that are the layer's own.

    >>> remove_activation_params({"kernel": 1, "activation/alpha": 2})
    {'kernel': 1}
    """
    return {name: array for name, array in params.items() if not name.startswith(f"{option}/")}
