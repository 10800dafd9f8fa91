"""A layer with some constant inputs, for checks that draw the other inputs at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jconv import layers as jl


@dataclass(frozen=True)
class ConstantInputs(jl.Layer):
    """`layer` with `constants` for some inputs, equal for all examples; several outputs are concatenated."""

    layer: Any
    constants: Mapping[str, Any]

    @property
    def has_several_inputs(self) -> bool:
        return len(self.layer.inputs) - len(self.constants) > 1

    def output_shape(self, input_shape: Any) -> Any:
        shape = self.layer.output_shape(self._all_shapes(input_shape))
        return (sum(int(np.prod(s)) for s in shape),) if isinstance(shape[0], tuple) else shape

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        return self.layer.param_shapes(self._all_shapes(input_shape))

    def state_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        return self.layer.state_shapes(self._all_shapes(input_shape))

    def apply(self, params: Any, state: Any, x: Any, **options: Any) -> Any:
        y, state = self.layer.apply(params, state, self._all_inputs(x), **options)
        return self._concatenated(jnp, y), state

    def reference(self, params: Any, state: Any, x: Any, *, training: bool = False) -> Any:
        return self._concatenated(np, self.layer.reference(params, state, self._all_inputs(x), training=training))

    def _all_shapes(self, input_shape: Any) -> Any:
        return self._in_order(input_shape, lambda name: np.shape(self.constants[name]))

    def _all_inputs(self, x: Any) -> Any:
        batch = np.shape(x[0] if self.has_several_inputs else x)[0]
        constants = {name: np.broadcast_to(c, (batch, *np.shape(c))) for name, c in self.constants.items()}
        return self._in_order(x, constants.__getitem__)

    def _in_order(self, given: Any, constant: Any) -> Any:
        rest = iter(given if self.has_several_inputs else (given,))
        return tuple(constant(name) if name in self.constants else next(rest) for name in self.layer.inputs)

    def _concatenated(self, library: Any, y: Any) -> Any:
        return library.concatenate([a.reshape(a.shape[0], -1) for a in y], 1) if isinstance(y, tuple) else y
