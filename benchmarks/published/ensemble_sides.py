"""The mean of published networks by jconv, and by Keras's own models on JAX under `jax.jit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jconv

from ..network_sides.side import Call, NetworkSide
from .ensembles import clear_padding, inputs


class EnsembleSide(NetworkSide):
    """Answers questions about the mean of the networks in `files`."""

    def prepare(self, program: str, batch: int) -> Call:
        """See `NetworkSide`."""
        x, lengths = inputs(program, batch)
        call = self.forward(x) if lengths is None else self.forward_rows(x, lengths)
        return lambda: clear_padding(np.mean(call(), axis=0), lengths)

    def forward_rows(self, x: Any, lengths: Any) -> Call:
        """`forward` for rows that end in padding, which must not change the outputs before.

        SpliceAI's models crop all outputs that read the padding, so the other sides need no lengths.
        """
        return self.forward(x)


class Jconv(EnsembleSide):
    """`jconv.keras.load` and `Model.apply`."""

    def __init__(self, files: Sequence[str]) -> None:
        super().__init__()
        self.models = [jconv.keras.load(file) for file in files]
        # Models that are equal share a program.
        self.apply = jax.jit(lambda model, *arrays, **how: model.apply(*arrays, **how)[0], static_argnums=0)

    def forward(self, x: Any) -> Call:
        """See `EnsembleSide`."""
        return self._call(x)

    def forward_rows(self, x: Any, lengths: Any) -> Call:
        """See `EnsembleSide`."""
        call = self._call(x, lengths=jnp.asarray(lengths))
        return lambda: [y for y, _ in call()]

    def _call(self, x: Any, **how: Any) -> Call:
        x, arrays = jax.tree.map(jnp.asarray, (x, [arrays for _, *arrays in self.models]))
        models = [model for model, *_ in self.models]
        return lambda: jax.block_until_ready(
            [self.apply(model, *own, x, **how) for model, own in zip(models, arrays, strict=True)]
        )


class Keras(EnsembleSide):
    """The models' `stateless_call`."""

    def __init__(self, files: Sequence[str]) -> None:
        super().__init__()
        import keras

        self.models: list[Any] = [keras.saving.load_model(file, compile=False) for file in files]

    def forward(self, x: Any) -> Call:
        """See `EnsembleSide`."""
        x, programs = jax.tree.map(jnp.asarray, x), [self._program(model) for model in self.models]
        return lambda: jax.block_until_ready([program(*arrays, x) for program, arrays in programs])

    def _program(self, model: Any) -> tuple[Any, Any]:
        variables = model.trainable_variables, model.non_trainable_variables
        arrays = [[variable.value for variable in several] for several in variables]
        return jax.jit(lambda *arrays: model.stateless_call(*arrays, training=False)[0]), arrays


SIDES = {"jconv": Jconv, "jit": Keras}
