"""The mean of published networks by jconv, and by Keras's own models on JAX under `jax.jit` and on TensorFlow."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jconv

from ..network_sides.side import NetworkSide
from ..shared.timing import Call
from .ensembles import clear_padding, inputs


class EnsembleSide(NetworkSide):
    """Computes and times the mean of the networks in `files`."""

    def prepare(self, program: str, batch: int) -> Call:
        """See `NetworkSide`."""
        x, lengths = inputs(program, batch)
        call = self.forward(x, lengths)
        return lambda: clear_padding(np.mean(call(), axis=0), lengths)

    @abstractmethod
    def forward(self, x: Any, lengths: Any = None) -> Call:
        """A function that returns the output of each network for `x`, whose rows may end in padding.

        The padding must not change the outputs before it. SpliceAI's models crop all outputs that read it, so only
        jconv uses the lengths.
        """


class Jconv(EnsembleSide):
    """`jconv.keras.load` and `Model.apply`."""

    def __init__(self, files: Sequence[str]) -> None:
        super().__init__()
        self.models = [jconv.keras.load(file) for file in files]
        # Models that are equal share a program.
        self.apply = jax.jit(lambda model, *arrays, **how: model.apply(*arrays, **how)[0], static_argnums=0)

    def forward(self, x: Any, lengths: Any = None) -> Call:
        """See `EnsembleSide`."""
        x, arrays = jax.tree.map(jnp.asarray, (x, [arrays for _, *arrays in self.models]))
        models = [model for model, *_ in self.models]
        how = {} if lengths is None else {"lengths": jnp.asarray(lengths)}

        def call() -> Any:
            y = jax.block_until_ready(
                [self.apply(model, *own, x, **how) for model, own in zip(models, arrays, strict=True)]
            )
            return y if lengths is None else [values for values, _ in y]

        return call


class Keras(EnsembleSide):
    """The models' `stateless_call`."""

    def __init__(self, files: Sequence[str]) -> None:
        super().__init__()
        import keras

        self.models: list[Any] = [keras.saving.load_model(file, compile=False) for file in files]

    def forward(self, x: Any, lengths: Any = None) -> Call:
        """See `EnsembleSide`."""
        x, programs = jax.tree.map(jnp.asarray, x), [self._program(model) for model in self.models]
        return lambda: jax.block_until_ready([program(*arrays, x) for program, arrays in programs])

    def _program(self, model: Any) -> tuple[Any, Any]:
        variables = model.trainable_variables, model.non_trainable_variables
        arrays = [[variable.value for variable in several] for several in variables]
        return jax.jit(lambda *arrays: model.stateless_call(*arrays, training=False)[0]), arrays


class TensorFlow(Keras):
    """The models' `__call__`, in one `tf.function`."""

    def __init__(self, files: Sequence[str]) -> None:
        import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

        # TensorFlow accepts this before it has variables.
        tf.config.threading.set_inter_op_parallelism_threads(1)
        super().__init__(files)

    def forward(self, x: Any, lengths: Any = None) -> Call:
        """See `EnsembleSide`."""
        import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

        compiled = tf.function(lambda x: [model(x, training=False) for model in self.models])
        x = [tf.constant(one) for one in x] if isinstance(x, list) else tf.constant(x)
        return lambda: [y.numpy() for y in compiled(x)]


SIDES = {"jconv": Jconv, "jit": Keras, "tensorflow": TensorFlow}
