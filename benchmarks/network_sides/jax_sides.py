"""jconv, and Keras on JAX under `jax.jit` and with `predict`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import jconv

from ..shared.timing import Call, compute_inline
from .side import LEARNING_RATE, NetworkSide


class JaxSide(NetworkSide):
    """Base class of sides that are a function of params and state, compiled by `jax.jit`."""

    arrays: tuple[Any, Any]

    def __init__(self) -> None:
        super().__init__()
        compute_inline()

    @abstractmethod
    def apply(self, params: Any, state: Any, x: Any, training: bool) -> tuple[Any, Any]:
        """The output and the new state."""

    def forward(self, x: Any) -> Call:
        """See `NetworkSide`."""
        apply = jax.jit(lambda params, state, x: self.apply(params, state, x, training=False)[0])
        x = jnp.asarray(x)
        return lambda: jax.block_until_ready(apply(*self.arrays, x))

    def step(self, x: Any, target: Any) -> Call:
        """See `NetworkSide`."""

        def loss(params: Any, state: Any, x: Any, target: Any) -> Any:
            y, state = self.apply(params, state, x, training=True)
            return jnp.square(y - target).mean(), state

        @partial(jax.jit, donate_argnums=(0, 1))
        def step(params: Any, state: Any, x: Any, target: Any) -> Any:
            (before, state), gradients = jax.value_and_grad(loss, has_aux=True)(params, state, x, target)
            moved = jax.tree.map(lambda param, gradient: param - LEARNING_RATE * gradient, params, gradients)
            return before, moved, state

        # A copy, because the arrays are donated.
        kept = jax.tree.map(jnp.copy, self.arrays)
        x, target = jnp.asarray(x), jnp.asarray(target)

        def call() -> Any:
            nonlocal kept
            before, *kept = jax.block_until_ready(step(*kept, x, target))
            return before

        return call


class Jconv(JaxSide):
    """`jconv.keras.load` and `Model.apply`."""

    def __init__(self, file: str) -> None:
        super().__init__()
        model, params, state = jconv.keras.load(file)
        self.model, self.arrays = model, jax.tree.map(jnp.asarray, (params, state))
        (self.input_shape,) = model.input_shapes  # pyright: ignore[reportAttributeAccessIssue, reportGeneralTypeIssues]
        self.output_shape = model.output_shapes()[model.outputs[0]]  # pyright: ignore[reportAttributeAccessIssue]

    def apply(self, params: Any, state: Any, x: Any, training: bool) -> tuple[Any, Any]:
        """See `JaxSide`."""
        return self.model.apply(params, state, x, training=training)


class Keras(JaxSide):
    """The model's `stateless_call`."""

    def __init__(self, file: str) -> None:
        super().__init__()
        import keras

        self.model: Any = keras.saving.load_model(file, compile=False)
        trained, others = self.model.trainable_variables, self.model.non_trainable_variables
        self.arrays = [variable.value for variable in trained], [variable.value for variable in others]
        self.input_shape, self.output_shape = self.model.input_shape[1:], self.model.output_shape[1:]

    def apply(self, params: Any, state: Any, x: Any, training: bool) -> tuple[Any, Any]:
        """See `JaxSide`."""
        return self.model.stateless_call(params, state, x, training=training)


class Predict(Keras):
    """Keras's `predict`."""

    def forward(self, x: Any) -> Call:
        """See `NetworkSide`."""
        return lambda: self.model.predict(x, batch_size=len(x), verbose=0)


SIDES: dict[str, Callable[[str], NetworkSide]] = {"jconv": Jconv, "jit": Keras, "predict": Predict}
