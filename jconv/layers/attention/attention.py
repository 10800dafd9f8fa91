"""Single-head attention without projections: dot-product and additive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...functional.initialization import glorot_uniform
from ..activations.activation import softmax_numpy
from ..base import check_sizes_known
from ..types import Array, Arrays, ArrayShapes, Params
from .attention_base import AttentionBase, Drop, combine_masks

# Keras subtracts this from masked scores.
MASK_PENALTY = np.float32(1e9)
INPUTS = ("query", "value", "key", "query_mask", "value_mask", "key_mask")


class _SingleHead(AttentionBase):
    """Base class: the attention weights are the softmax of `_scores`."""

    use_scale: bool
    causal: bool

    def __post_init__(self) -> None:
        self._check_options(INPUTS)

    def output_shape(self, input_shape: Any) -> Any:
        """`(queries, value channels)`; with `return_attention_scores` also `(queries, keys)`."""
        shapes = self._check_shapes(input_shape)
        query, value, key = (shapes[name] for name in ("query", "value", "key"))
        out = (query[0], value[1])
        return (out, (query[0], key[0])) if self.return_attention_scores else out

    def flops(self, input_shape: Any) -> int:
        """Scores and weighted sums: `2 * queries * keys * (query channels + value channels)`."""
        shapes = self._check_shapes(input_shape)
        for shape in shapes.values():
            check_sizes_known(self, shape)
        query, value = shapes["query"], shapes["value"]
        return 2 * query[0] * value[0] * (query[1] + value[1])

    def _check_shapes(self, input_shape: Any) -> dict[str, tuple[Any, ...]]:
        """The inputs' shapes by name; raises `ValueError` if they do not match each other."""
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

    def _scores(self, library: Any, params: Params, query: Any, key: Any) -> Any:
        """The scores (batch, queries, keys); `library` is `numpy` or `jax.numpy`."""
        raise NotImplementedError

    def _attend(self, params: Arrays, named: Arrays, masks: Arrays, drop: Drop) -> tuple[jax.Array, jax.Array]:
        dtype = named["query"].dtype
        wide = jnp.promote_types(dtype, jnp.float32)
        widened = {name: a.astype(wide) for name, a in params.items()}
        query, value = named["query"].astype(wide), named["value"].astype(wide)
        scores = self._scores(jnp, widened, query, named.get("key", named["value"]).astype(wide))
        mask = self._mask(jnp, masks, scores)
        if mask is not None:
            constant = jax.lax.stop_gradient(scores)
            rounded = (constant.astype(jnp.float32) - MASK_PENALTY).astype(wide)
            # The last term is zero; it carries the derivative.
            scores = jnp.where(mask, scores, rounded + (scores - constant))
        weights = drop(jax.nn.softmax(scores, axis=-1))
        y = jnp.einsum("bts,bsc->btc", weights, value)
        y = jnp.where(masks["query_mask"][..., None], y, 0) if "query_mask" in masks else y
        return y.astype(dtype), weights.astype(dtype)

    def _reference(self, params: Params, named: Mapping[str, Array], masks: Params) -> tuple[Array, Array]:
        scores = self._scores(np, params, named["query"], named.get("key", named["value"]))
        mask = self._mask(np, masks, scores)
        if mask is not None:
            rounded = (scores.real.astype(np.float32) - MASK_PENALTY).astype(np.float64)
            scores = np.where(mask, scores, rounded + (scores - scores.real))
        weights = softmax_numpy(scores)
        y = np.einsum("bts,bsc->btc", weights, named["value"])
        return np.where(masks["query_mask"][..., None], y, 0) if "query_mask" in masks else y, weights

    def _mask(self, library: Any, masks: Mapping[str, Any], scores: Any) -> Any:
        """A boolean mask of the scores that count. The query mask is applied to the output instead."""
        values = {name: mask for name, mask in masks.items() if name == "value_mask"}
        return combine_masks(library, values, scores.shape, self.causal, None)


@dataclass(frozen=True)
class Attention(_SingleHead):
    """Dot-product attention, as Keras's `Attention`: averages the values, weighted by the softmax of the scores.

    `inputs` names the inputs in order: `query` (length, channels) and `value` (keys, channels), and optionally `key`
    (default: the value), `query_mask` (length,), `value_mask` (keys,) and `key_mask` (keys,). Masks are booleans or 0
    and 1. As in Keras, `key_mask` has no effect.

    With `score_mode="dot"` (Luong et al., 2015, arXiv:1508.04025) a score is the sum of `query * key` over the
    channels, multiplied by the param `scale` if `use_scale` is set. With `score_mode="concat"` it is the param
    `concat_score_weight` times the sum of `tanh(scale * (query + key))`. With `causal`, no query attends to a later
    key. The output is zero where `query_mask` is false. `dropout` applies to the weights in training. With
    `return_attention_scores` the output is `(y, weights)`, with the weights after dropout. bfloat16 and float16
    accumulate in float32.

    As in Keras, masked scores are lowered by 1e9 in float32, so masked keys have zero weight. If all keys of a query
    are masked, rounding makes their weights nearly equal: the output is about the mean of all values.

    Raises `ValueError` for an unknown `score_mode`, for unknown or missing `inputs`, and for a `dropout` outside 0
    to 1.

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

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """The scalars `scale` (with `use_scale`) and `concat_score_weight` (with `score_mode="concat"`)."""
        present = {"scale": self.use_scale, "concat_score_weight": self.score_mode == "concat"}
        return {name: () for name, there in present.items() if there}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """All params are one; `key` is not used."""
        self.output_shape(input_shape)
        return {name: jnp.ones(()) for name in self.param_shapes(input_shape)}, {}

    def _scores(self, library: Any, params: Params, query: Any, key: Any) -> Any:
        scale = params["scale"] if self.use_scale else 1
        if self.score_mode == "dot":
            return library.einsum("btc,bsc->bts", query, key) * scale
        sums = query[:, :, None] + key[:, None]
        return params["concat_score_weight"] * library.tanh(scale * sums).sum(axis=-1)


@dataclass(frozen=True)
class AdditiveAttention(_SingleHead):
    """Additive attention, as Keras's `AdditiveAttention` (Bahdanau et al., 2015, arXiv:1409.0473).

    As `Attention`, but a score is the sum of `scale * tanh(query + key)` over the channels. The param `scale` has the
    shape (channels,); with `use_scale=False` it is 1.

    Raises `ValueError` for unknown or missing `inputs` and for a `dropout` outside 0 to 1.

    >>> AdditiveAttention().param_shapes(((7, 4), (5, 4)))
    {'scale': (4,)}
    """

    use_scale: bool = True
    dropout: float = 0.0
    causal: bool = False
    return_attention_scores: bool = False
    inputs: tuple[str, ...] = ("query", "value")

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """`scale`, with `use_scale`."""
        shapes = self._check_shapes(input_shape)
        return {"scale": (shapes["query"][1],)} if self.use_scale else {}

    def init(self, key: jax.Array, input_shape: Any) -> tuple[Arrays, Arrays]:
        """A Glorot-uniform `scale`."""
        self.output_shape(input_shape)
        shapes = self.param_shapes(input_shape)
        return {name: glorot_uniform(key, (size, size))[0] for name, (size,) in shapes.items()}, {}

    def _scores(self, library: Any, params: Params, query: Any, key: Any) -> Any:
        activated = library.tanh(query[:, :, None] + key[:, None])
        return (params["scale"] * activated if self.use_scale else activated).sum(axis=-1)
