"""Attention of one head without projections: by dot products, and by sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...conv import glorot_uniform
from ..base import Array, Arrays, check_sizes_known
from .attention_base import AttentionBase, combine_masks, softmax_numpy

# What Keras takes off a score that a mask hides.
MASK_PENALTY = np.float32(1e9)
INPUTS = ("query", "value", "key", "query_mask", "value_mask", "key_mask")


class _SingleHead(AttentionBase):
    """Weights that are the softmax of scores, one for each query and key."""

    use_scale: bool
    causal: bool

    def __post_init__(self) -> None:
        self._check_options(INPUTS)

    def output_shape(self, input_shape: Any) -> Any:
        """(queries, channels of the value), and with `return_attention_scores` also (queries, keys)."""
        shapes = self._check_shapes(input_shape)
        query, value, key = (shapes[name] for name in ("query", "value", "key"))
        out = (query[0], value[1])
        return (out, (query[0], key[0])) if self.return_attention_scores else out

    def flops(self, input_shape: Any) -> int:
        """Of the scores and of the sums of values: 2 a channel for each query and key."""
        shapes = self._check_shapes(input_shape)
        for shape in shapes.values():
            check_sizes_known(self, shape)
        query, value = shapes["query"], shapes["value"]
        return 2 * query[0] * value[0] * (query[1] + value[1])

    def _check_shapes(self, input_shape: Any) -> dict[str, tuple[Any, ...]]:
        """The inputs' shapes; raises `ValueError` where they do not go together."""
        shapes = self._shapes(input_shape)
        query, value, key = (shapes[name] for name in ("query", "value", "key"))
        if (
            any(len(shape) != 2 or shape[1] is None for shape in (query, value, key))
            or query[1] != key[1]
            or (key[0] != value[0] and None not in (key[0], value[0]))
        ):
            raise ValueError(
                f"{type(self).__name__} needs a query (length, channels), a key of as many channels and a value as "
                f"long as the key, got shapes {query}, {key} and {value}"
            )
        for name, sequence in (("query_mask", query), ("value_mask", value), ("key_mask", key)):
            if name in shapes:
                self._check_mask(name, shapes[name], sequence[:1])
        return shapes

    def _scores(self, library: Any, params: Mapping[str, Any], query: Any, key: Any) -> Any:
        """The score of each query and key, with JAX's functions or NumPy's."""
        raise NotImplementedError  # each kind of attention has its own

    def _attend(
        self,
        params: dict[str, jax.Array],
        named: dict[str, jax.Array],
        masks: dict[str, jax.Array],
        drop: Callable[[jax.Array], jax.Array],
    ) -> tuple[jax.Array, jax.Array]:
        dtype = named["query"].dtype
        wide = jnp.promote_types(dtype, jnp.float32)
        widened = {name: a.astype(wide) for name, a in params.items()}
        query, value = named["query"].astype(wide), named["value"].astype(wide)
        scores = self._scores(jnp, widened, query, named.get("key", named["value"]).astype(wide))
        mask = self._mask(jnp, masks, scores)
        if mask is not None:
            at_rest = jax.lax.stop_gradient(scores)
            rounded = (at_rest.astype(jnp.float32) - MASK_PENALTY).astype(wide)
            # The last difference is zero and carries the derivative.
            scores = jnp.where(mask, scores, rounded + (scores - at_rest))
        weights = drop(jax.nn.softmax(scores, axis=-1))
        y = jnp.einsum("bts,bsc->btc", weights, value)
        y = jnp.where(masks["query_mask"][..., None], y, 0) if "query_mask" in masks else y
        return y.astype(dtype), weights.astype(dtype)

    def _reference(
        self, params: dict[str, Array], named: dict[str, Array], masks: dict[str, Array]
    ) -> tuple[Array, Array]:
        scores = self._scores(np, params, named["query"], named.get("key", named["value"]))
        mask = self._mask(np, masks, scores)
        if mask is not None:
            rounded = (scores.real.astype(np.float32) - MASK_PENALTY).astype(np.float64)
            scores = np.where(mask, scores, rounded + (scores - scores.real))
        weights = softmax_numpy(scores)
        y = np.einsum("bts,bsc->btc", weights, named["value"])
        return np.where(masks["query_mask"][..., None], y, 0) if "query_mask" in masks else y, weights

    def _mask(self, library: Any, masks: Mapping[str, Any], scores: Any) -> Any:
        """Which scores count, by the mask of values alone: that of queries is laid over the output."""
        values = {name: mask for name, mask in masks.items() if name == "value_mask"}
        return combine_masks(library, values, scores.shape, self.causal, None)


@dataclass(frozen=True)
class Attention(_SingleHead):
    """Keras's `Attention`: for each query the average of the values, weighted by the softmax of its scores.

    Inputs, by the names in `inputs` and in that order: `query` (length, channels), `value` (keys, channels), and any
    of `key`, else the value, and masks of booleans or 0 and 1: `query_mask` (length,), `value_mask` (keys,), and
    `key_mask` (keys,), which as in Keras changes nothing.

    The score of a query and a key is with `score_mode="dot"` (Luong et al., 2015, arXiv:1508.04025) the sum of
    `query * key` over the channels, times the param `scale` with `use_scale`; with `"concat"` it is the param
    `concat_score_weight` times the sum of `tanh(scale * (query + key))`. With `causal` no query attends to a later
    key. The output is zero where the query's mask is. In training the weights pass a dropout. With
    `return_attention_scores` the output is `(y, weights)`, the weights after the dropout. Sums of bfloat16 and
    float16 are of float32.

    A score that is masked is lowered by 1e9 in float32, as in Keras. Where at least one key of a row is left, the
    others weigh nothing. A row with none left is a softmax of its scores rounded to a multiple of 64: for usual scores
    the average of all values.

    Raises `ValueError` for an unknown score mode, inputs that are not known or lack one, and a rate outside 0 to 1.

    >>> layer = Attention(inputs=("query", "value", "value_mask"))
    >>> x = jnp.array([[[1.0], [2.0]]])
    >>> layer.apply({}, {}, (x, x, jnp.array([[True, False]])))[0].tolist()
    [[[1.0], [1.0]]]
    """

    use_scale: bool = False
    score_mode: str = "dot"
    dropout: float = 0.0
    causal: bool = False
    return_attention_scores: bool = False
    inputs: tuple[str, ...] = ("query", "value")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score_mode not in ("dot", "concat"):
            raise ValueError(f"Attention: score_mode must be dot or concat, got {self.score_mode!r}")

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The numbers `scale` and `concat_score_weight`, where the layer has them."""
        present = {"scale": self.use_scale, "concat_score_weight": self.score_mode == "concat"}
        return {name: () for name, there in present.items() if there}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """Ones; `key` is not used."""
        self.output_shape(input_shape)
        return {name: jnp.ones(()) for name in self.param_shapes(input_shape)}, {}

    def _scores(self, library: Any, params: Mapping[str, Any], query: Any, key: Any) -> Any:
        scale = params["scale"] if self.use_scale else 1
        if self.score_mode == "dot":
            return library.einsum("btc,bsc->bts", query, key) * scale
        sums = query[:, :, None] + key[:, None]
        return params["concat_score_weight"] * library.tanh(scale * sums).sum(axis=-1)


@dataclass(frozen=True)
class AdditiveAttention(_SingleHead):
    """Keras's `AdditiveAttention` (Bahdanau et al., 2015, arXiv:1409.0473), without projections.

    As `Attention`, but the score of a query and a key is the sum of `scale * tanh(query + key)` over the channels,
    with the param `scale` (channels,) or, with `use_scale=False`, 1.

    Raises `ValueError` for inputs that are not known or lack one, and a rate outside 0 to 1.

    >>> AdditiveAttention().param_shapes(((7, 4), (5, 4)))
    {'scale': (4,)}
    """

    use_scale: bool = True
    dropout: float = 0.0
    causal: bool = False
    return_attention_scores: bool = False
    inputs: tuple[str, ...] = ("query", "value")

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """`scale`, where the layer has it."""
        shapes = self._check_shapes(input_shape)
        return {"scale": (shapes["query"][1],)} if self.use_scale else {}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """A Glorot-uniform `scale`."""
        self.output_shape(input_shape)
        shapes = self.param_shapes(input_shape)
        return {name: glorot_uniform(key, (size, size))[0] for name, (size,) in shapes.items()}, {}

    def _scores(self, library: Any, params: Mapping[str, Any], query: Any, key: Any) -> Any:
        powers = library.tanh(query[:, :, None] + key[:, None])
        return (params["scale"] * powers if self.use_scale else powers).sum(axis=-1)
