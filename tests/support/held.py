"""A layer with some constant inputs, for checks that draw the others at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jconv import layers as jl


@dataclass(frozen=True)
class Held(jl.Layer):
    """`layer` with constants in `held` for some inputs, the same for each example; outputs are concatenated."""

    layer: Any
    held: Mapping[str, Any]

    @property
    def has_several_inputs(self) -> bool:
        return len(self.layer.inputs) - len(self.held) > 1

    def output_shape(self, input_shape: Any) -> Any:
        shape = self.layer.output_shape(self._whole(input_shape, lambda name: np.shape(self.held[name])))
        return (sum(int(np.prod(s)) for s in shape),) if isinstance(shape[0], tuple) else shape

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        return self.layer.param_shapes(self._whole(input_shape, lambda name: np.shape(self.held[name])))

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        return self.layer.state_shapes(self._whole(input_shape, lambda name: np.shape(self.held[name])))

    def apply(self, params: Any, state: Any, x: Any, **options: Any) -> Any:
        y, state = self.layer.apply(params, state, self._with(x), **options)
        return self._joined(jnp, y), state

    def reference(self, params: Any, state: Any, x: Any, *, training: bool = False) -> Any:
        return self._joined(np, self.layer.reference(params, state, self._with(x), training=training))

    def _with(self, x: Any) -> Any:
        batch = np.shape(x[0] if self.has_several_inputs else x)[0]
        return self._whole(x, lambda name: np.broadcast_to(self.held[name], (batch, *np.shape(self.held[name]))))

    def _whole(self, given: Any, held: Any) -> Any:
        rest = iter(given if self.has_several_inputs else (given,))
        return tuple(held(name) if name in self.held else next(rest) for name in self.layer.inputs)

    def _joined(self, library: Any, y: Any) -> Any:
        return library.concatenate([a.reshape(a.shape[0], -1) for a in y], 1) if isinstance(y, tuple) else y
