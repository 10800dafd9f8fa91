# pyright: reportMissingImports=false
# It is checked where the library is installed; the test extra does not install it.

"""A depthwise convolution as a layer of Flax and of Keras, if they are installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax

from .rows import Row

Layer = Callable[[jax.Array, jax.Array], jax.Array]
"""`(kernel, x) -> y`, with the kernel in jconv's layout."""


def layers(row: Row) -> dict[str, Layer]:
    """The layers by library; Keras only if its backend is JAX."""
    found = {}
    for name, load in (("Flax", _flax), ("Keras", _keras)):
        try:
            found[name] = load(row)
        except (ImportError, LookupError):
            continue
    return found


def _flax(row: Row) -> Layer:
    from flax import nnx

    layer = nnx.Conv(
        row.in_channels,
        row.out_channels,
        (row.kernel_size,),
        padding="SAME",
        feature_group_count=row.groups,
        use_bias=False,
        rngs=nnx.Rngs(0),
    )
    definition, state = nnx.split(layer)

    def apply(kernel: jax.Array, x: jax.Array) -> Any:
        # The kernel is the only leaf of the state.
        filled = jax.tree.map(lambda _: kernel, state)
        return nnx.merge(definition, filled)(x)

    return apply


def _keras(row: Row) -> Layer:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    if keras.backend.backend() != "jax":
        raise LookupError("the backend of Keras is not JAX")
    layer = keras.layers.DepthwiseConv1D(row.kernel_size, padding="same", use_bias=False)
    layer.build((None, row.length, row.in_channels))

    def apply(kernel: jax.Array, x: jax.Array) -> Any:
        weights = [kernel.reshape(row.kernel_size, row.in_channels, 1)]
        return layer.stateless_call(weights, [], x)[0]

    return apply
