"""The activation layer with trained params."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...geometry import is_integer
from ..base import ActivationLayer
from ..types import Array, ArrayShapes, Params, Shape


@dataclass(frozen=True)
class PReLU(ActivationLayer):
    """Parametric ReLU, as Keras's `PReLU`: `x` above zero, `alpha * x` below, with a trained param `alpha`.

    `alpha` has the shape of one example, with size 1 along `shared_axes`. Axis 0 is the batch, so on sequences
    (length, channels) `shared_axes=(1,)` means one value per channel for any length. `init` returns zeros. Raises
    `ValueError` for axes below 1, for axes that the input does not have, and for an unknown size that is not shared.

    >>> PReLU((1,)).param_shapes((None, 3))
    {'alpha': (1, 3)}
    >>> PReLU().apply({"alpha": jnp.array([0.5])}, {}, jnp.array([[-2.0], [2.0]]))[0].tolist()
    [[-1.0], [2.0]]
    """

    shared_axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        shared: Any = self.shared_axes
        axes = (shared,) if is_integer(shared) else shared or ()
        if not isinstance(axes, (tuple, list)) or not all(is_integer(axis) and axis > 0 for axis in axes):
            raise ValueError(f"PReLU: shared_axes must be None or integers of at least 1, got {self.shared_axes!r}")
        object.__setattr__(self, "shared_axes", tuple(axes) or None)

    def output_shape(self, input_shape: Any) -> Shape:
        """The input's shape."""
        shared = self.shared_axes or ()
        if any(axis > len(input_shape) for axis in shared):
            raise ValueError(f"PReLU: shared_axes={shared} are not all axes of an input of shape {input_shape}")
        if any(size is None and axis not in shared for axis, size in enumerate(input_shape, start=1)):
            raise ValueError(f"PReLU needs every size known except along shared_axes={shared}, got shape {input_shape}")
        return tuple(input_shape)

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`alpha`."""
        shared = self.shared_axes or ()
        return {"alpha": tuple(1 if axis in shared else size for axis, size in enumerate(input_shape, start=1))}

    def _jax(self, params: Params, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return jax.nn.relu(x) - jnp.asarray(params["alpha"]) * jax.nn.relu(-x)

    def _numpy(self, params: Params, x: Any) -> Array:
        return np.where(x.real > 0, x, params["alpha"] * x)
