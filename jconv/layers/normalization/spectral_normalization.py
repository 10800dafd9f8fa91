"""Spectral normalization of a layer's kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...geometry import check_positive
from ...reference.convolution import exact
from ..nesting import add_prefix, strip_prefix
from ..types import Array, Arrays, ArrayShapes, Key, OutputAndSequences, Params, State
from ..wrapper import BaseWrapper

# As in Keras: the upper limit of the factor that normalizes a vector.
MAX_SCALE = 1e7


@dataclass(frozen=True)
class SpectralNormalization(BaseWrapper):
    """Spectral normalization of a layer, as Keras's `SpectralNormalization` (Miyato et al., 2018, arXiv:1802.05957).

    In training, the layer's `kernel` or `embeddings` is reshaped to a matrix (all other axes, last axis) and divided by
    an estimate of its largest singular value. The estimate comes from `power_iterations` steps of power iteration,
    which start from the state `vector_u` (1, size of the last axis); the new state has the last vector. Gradients do
    not pass through the vectors. A kernel of zeros is not divided. As with Keras on JAX, the params themselves do not
    change: outside training the layer uses the kernel without division.

    Params and state of `layer` have the prefix `"layer/"`. As in Keras, the output has the input's dtype, so an
    `Embedding` of integers returns integers.

    Raises `ValueError` if `layer` is not a layer or has no kernel, and for `power_iterations` below one.

    >>> from jconv.layers import Dense
    >>> layer = SpectralNormalization(Dense(2, use_bias=False))
    >>> params, state = {"layer/kernel": jnp.diag(jnp.array([4.0, 2.0]))}, {"vector_u": jnp.array([[1.0, 0.0]])}
    >>> layer.apply(params, state, jnp.ones((1, 2)), training=True)[0].tolist()
    [[1.0, 0.5]]
    """

    power_iterations: int = 1

    _checks = (("power_iterations", check_positive),)

    def output_shape(self, input_shape: Any) -> Any:
        """Same as for `layer`."""
        self._kernel_name(input_shape)
        return self.layer.output_shape(input_shape)

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """The params of `layer`, with the prefix `"layer/"`."""
        return add_prefix("layer", self.layer.param_shapes(input_shape))

    def state_shapes(self, input_shape: Any) -> ArrayShapes:
        """`vector_u`, and the state of `layer` with the prefix `"layer/"`."""
        inner = self.layer.param_shapes(input_shape) | self.layer.state_shapes(input_shape)
        last = inner[self._kernel_name(input_shape)][-1]
        return {"vector_u": (1, last)} | add_prefix("layer", self.layer.state_shapes(input_shape))

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """The arrays of `layer`, and `vector_u`: normal with standard deviation 0.02, truncated at two deviations."""
        self.output_shape(input_shape)
        inner, own = jax.random.split(key)
        params, state = self.layer.init(inner, input_shape)
        shape = self.state_shapes(input_shape)["vector_u"]
        vector = 0.02 * jax.random.truncated_normal(own, -2, 2, shape)
        return add_prefix("layer", params), {"vector_u": vector} | add_prefix("layer", state)

    def apply_sequences(
        self, params: Params, state: State, x: Any, sequences: Any, *, training: bool = False, key: Key = None
    ) -> OutputAndSequences:
        """Apply the layer; training uses the divided kernel and returns a new `vector_u`."""
        self.check(params, state, x)
        own, rest = self._inner_arrays(params, state, x)
        vector = state["vector_u"]
        name = self._find_kernel({**own, **rest})
        # A frozen layer has its kernel in the state.
        holder = own if name in own else rest
        kernel = holder[name]
        if training:
            holder[name], vector = _normalize_kernel(jnp.asarray(kernel), jnp.asarray(vector), self.power_iterations)
        y, after, sequences = self.layer.apply_sequences(own, rest, x, sequences, training=training, key=key)
        after |= {name: kernel} if name in after else {}
        y = y if self.has_several_inputs else y.astype(jnp.asarray(x).dtype)
        return y, {"vector_u": vector} | add_prefix("layer", after), sequences

    def reference(self, params: Params, state: State, x: Any, *, training: bool = False) -> Any:
        """`apply` in NumPy."""
        self.check(params, state, x)
        own, rest = self._inner_arrays(params, state, x)
        if training:
            name = self._find_kernel({**own, **rest})
            holder = own if name in own else rest
            holder[name] = _normalize_kernel_numpy(exact(holder[name]), exact(state["vector_u"]), self.power_iterations)
        y = self.layer.reference(own, rest, x, training=training)
        returns_integers = not self.has_several_inputs and np.issubdtype(np.asarray(x).dtype, np.integer)
        return np.trunc(y) if returns_integers else y

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """Same as for `layer`."""
        y, stream = super().stream_step(params, state, stream, x, last=last, slots=slots)
        return y if self.has_several_inputs else y.astype(jnp.asarray(x).dtype), stream

    def _inner_arrays(self, params: Params, state: State, x: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return strip_prefix("layer", params), strip_prefix("layer", state)

    def _kernel_name(self, input_shape: Any) -> str:
        return self._find_kernel(self.layer.param_shapes(input_shape) | self.layer.state_shapes(input_shape))

    def _find_kernel(self, names: Any) -> str:
        """The name of the layer's kernel; raises `ValueError` if there is none."""
        for name in ("kernel", "embeddings"):
            if name in names:
                return name
        raise ValueError(f"SpectralNormalization: layer must have a kernel or embeddings, got {self.layer}")


def _normalize_kernel(kernel: jax.Array, vector: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """The kernel divided by its estimated spectral norm, and the new `vector_u`."""
    wide = jnp.promote_types(kernel.dtype, jnp.float32)
    matrix = kernel.astype(wide).reshape(-1, kernel.shape[-1])
    fixed, u = jax.lax.stop_gradient(matrix), vector.astype(wide)
    v = u
    for _ in range(steps):
        v = _normalize(u @ fixed.T)
        u = _normalize(v @ fixed)
    zero = (kernel == 0).all()
    norm = jnp.where(zero, 1, v @ matrix @ u.T)
    divided = (kernel.astype(wide) / norm.reshape(())).astype(kernel.dtype)
    return divided, jnp.where(zero, vector, u.astype(vector.dtype))


def _normalize(vector: jax.Array) -> jax.Array:
    return vector * jnp.minimum(jax.lax.rsqrt(jnp.square(vector).sum()), MAX_SCALE)


def _normalize_kernel_numpy(kernel: Array, vector: Array, steps: int) -> Array:
    matrix = kernel.reshape(-1, kernel.shape[-1])
    fixed, u = matrix.real, vector.real
    v = u
    for _ in range(steps):
        v = u @ fixed.T
        v = v / max(np.sqrt((v * v).sum()), 1 / MAX_SCALE)
        u = v @ fixed
        u = u / max(np.sqrt((u * u).sum()), 1 / MAX_SCALE)
    return kernel if not kernel.any() else kernel / (v @ matrix @ u.T)
