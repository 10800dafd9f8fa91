"""jconv, and Keras's own model on JAX: under `jax.jit`, and by `predict`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import jconv

from .side import LEARNING_RATE, Call, NetworkSide


def _descend(params: Any, gradients: Any) -> Any:
    return jax.tree.map(lambda param, gradient: param - LEARNING_RATE * gradient, params, gradients)


def _error(y: Any, target: Any) -> jax.Array:
    return jnp.square(y - target).mean()


class Jconv(NetworkSide):
    """`jconv.keras.load`, and `Model.apply` under `jax.jit`."""

    version = f"jconv {jconv.__version__}, JAX {jax.__version__}"

    def __init__(self, file: str) -> None:
        super().__init__()
        model, params, state = jconv.keras.load(file)
        self.model, self.arrays = model, jax.tree.map(jnp.asarray, (params, state))
        (self.input_shape,) = model.input_shapes  # pyright: ignore[reportAttributeAccessIssue, reportGeneralTypeIssues]
        self.output_shape = model.output_shapes()[model.outputs[0]]  # pyright: ignore[reportAttributeAccessIssue]

    def forward(self, x: Any) -> Call:
        """See `NetworkSide`."""
        apply = jax.jit(lambda params, state, x: self.model.apply(params, state, x)[0])
        x = jnp.asarray(x)
        return lambda: jax.block_until_ready(apply(*self.arrays, x))

    def step(self, x: Any, target: Any) -> Call:
        """See `NetworkSide`."""

        def loss(params: Any, state: Any, x: Any, target: Any) -> Any:
            y, state = self.model.apply(params, state, x, training=True)
            return _error(y, target), state

        @partial(jax.jit, donate_argnums=(0, 1))
        def step(params: Any, state: Any, x: Any, target: Any) -> Any:
            (before, state), gradients = jax.value_and_grad(loss, has_aux=True)(params, state, x, target)
            return before, _descend(params, gradients), state

        return _repeated(step, self.arrays, x, target)


class Keras(NetworkSide):
    """The model's `stateless_call` under `jax.jit`."""

    def __init__(self, file: str) -> None:
        super().__init__()
        import keras

        self.version = f"Keras {keras.__version__}, JAX {jax.__version__}"
        self.model: Any = keras.saving.load_model(file, compile=False)
        self.arrays: Any = tuple(
            [variable.value for variable in variables]
            for variables in (self.model.trainable_variables, self.model.non_trainable_variables)
        )
        self.input_shape, self.output_shape = self.model.input_shape[1:], self.model.output_shape[1:]

    def forward(self, x: Any) -> Call:
        """See `NetworkSide`."""
        apply = jax.jit(lambda trained, other, x: self.model.stateless_call(trained, other, x, training=False)[0])
        x = jnp.asarray(x)
        return lambda: jax.block_until_ready(apply(*self.arrays, x))

    def step(self, x: Any, target: Any) -> Call:
        """See `NetworkSide`."""

        def loss(trained: Any, other: Any, x: Any, target: Any) -> Any:
            y, other = self.model.stateless_call(trained, other, x, training=True)
            return _error(y, target), other

        @partial(jax.jit, donate_argnums=(0, 1))
        def step(trained: Any, other: Any, x: Any, target: Any) -> Any:
            (before, other), gradients = jax.value_and_grad(loss, has_aux=True)(trained, other, x, target)
            return before, _descend(trained, gradients), other

        return _repeated(step, self.arrays, x, target)


class Predict(Keras):
    """`predict`, as people call it."""

    def forward(self, x: Any) -> Call:
        """See `NetworkSide`."""
        return lambda: self.model.predict(x, batch_size=len(x), verbose=0)


def _repeated(step: Callable[..., Any], arrays: tuple[Any, Any], x: Any, target: Any) -> Call:
    """Steps from a copy of the arrays, which are donated."""
    kept = jax.tree.map(jnp.copy, arrays)
    x, target = jnp.asarray(x), jnp.asarray(target)

    def call() -> Any:
        nonlocal kept
        loss, *kept = jax.block_until_ready(step(*kept, x, target))
        return loss

    return call


SIDES: dict[str, Callable[[str], NetworkSide]] = {"jconv": Jconv, "jit": Keras, "predict": Predict}
