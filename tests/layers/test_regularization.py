"""Layers with random numbers: Keras's distributions in training, and no effect outside training."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers as kl

from jconv import layers as jl
from tests.support.layer_checks import check_against_reference, drawn, single

RANDOM_LAYERS: list[tuple[jl.Layer, Callable[[], Any]]] = [
    (jl.Dropout(0.3), lambda: kl.Dropout(0.3)),
    (jl.SpatialDropout1D(0.3), lambda: kl.SpatialDropout1D(0.3)),
    (jl.GaussianDropout(0.3), lambda: kl.GaussianDropout(0.3)),
    (jl.GaussianNoise(0.3), lambda: kl.GaussianNoise(0.3)),
    (jl.AlphaDropout(0.3), lambda: kl.AlphaDropout(0.3)),
]
IDS = [str(layer) for layer, _ in RANDOM_LAYERS]
SHAPE = (20, 500)


def trained(layer: jl.Layer, x: Any, seed: int = 0) -> Any:
    return layer.apply({}, {}, x, training=True, key=jax.random.key(seed))[0]


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(("layer", "make"), RANDOM_LAYERS, ids=IDS)
def test_draws_have_the_distribution_of_keras(layer: jl.Layer, make: Callable[[], Any]) -> None:
    # 400 equal samples for each of 500 values, with 400 draws, or 20 where all steps share one (`SpatialDropout1D`).
    keras.utils.set_random_seed(0)
    x = np.broadcast_to(np.linspace(-2, 2, 500, dtype=np.float32), (20, *SHAPE))
    ours, theirs = np.asarray(trained(layer, x), np.float64), np.asarray(make()(x, training=True), np.float64)
    for power in (1, 2, 3):
        a, b = ((y**power).mean(axis=(0, 1)) for y in (ours, theirs))
        assert np.abs(a - b).mean() < 0.06 * (1 + np.abs(b).max())
    # These quantiles are not at the edges of the dropped zeros.
    for quantile in (0.05, 0.15, 0.5, 0.85, 0.95):
        a, b = np.quantile(ours, quantile), np.quantile(theirs, quantile)
        assert abs(a - b) < 0.06
    assert (ours == 0).mean() == pytest.approx((theirs == 0).mean(), abs=0.02)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize(("layer", "make"), RANDOM_LAYERS, ids=IDS)
def test_draws_depend_on_the_key_and_need_training(layer: jl.Layer, make: Callable[[], Any]) -> None:
    x = single(drawn((7, 40)))
    assert (trained(layer, x) == trained(layer, x)).all()
    assert not (trained(layer, x) == trained(layer, x, seed=1)).all()
    assert (layer.apply({}, {}, x, key=jax.random.key(0))[0] == x).all()
    assert layer.output_shape((None, 4)) == (None, 4)
    name, amount = type(layer).__name__, "stddev" if isinstance(layer, jl.GaussianNoise) else "rate"
    with pytest.raises(ValueError, match=rf"^{name}: training with {amount}=0.3 needs a key, got None$"):
        layer.apply({}, {}, x, training=True)
    with pytest.raises(ValueError, match=rf"^{name}: the reference has no \w+ for training with {amount}=0.3; use "):
        layer.reference({}, {}, x, training=True)
    assert trained(layer, x.astype("float16")).dtype == "float16"


@pytest.mark.parametrize(("layer", "make"), RANDOM_LAYERS, ids=IDS)
def test_layers_without_training_or_with_rate_0_are_the_identity(layer: jl.Layer, make: Callable[[], Any]) -> None:
    check_against_reference(layer, (5, 3))
    nothing = type(layer)(0)
    x = single(drawn((5, 3)))
    assert (nothing.apply({}, {}, x, training=True)[0] == x).all()
    assert (nothing.reference({}, {}, x, training=True) == x).all()


def test_spatial_dropout_drops_whole_channels() -> None:
    y = trained(jl.SpatialDropout1D(0.5), jnp.ones((8, 5, 30)))
    assert (y == y[:, :1]).all()
    assert 0.4 < float((y == 0).mean()) < 0.6


@pytest.mark.parametrize("kind", [jl.Dropout, jl.AlphaDropout])
def test_noise_shape_shares_draws(kind: Any) -> None:
    x = jnp.ones((6, 5, 40))
    y = trained(kind(0.5, [None, 1, 40]), x)
    assert (y == y[:, :1]).all() and not (y == y[:1]).all()
    y = trained(kind(0.5, (1, None, None)), x)
    assert (y == y[:1]).all() and not (y == y[:, :1]).all()
    assert kind(0.5, (None, 1, 40)).output_shape((None, 40)) == (None, 40)
    assert hash(kind(0.5, [None, 1, 40])) == hash(kind(0.5, (None, 1, 40)))


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    y = trained(jl.AlphaDropout(0.4), jax.random.normal(jax.random.key(1), (300, 1000)))
    assert abs(float(y.mean())) < 0.01 and abs(float(y.var()) - 1) < 0.01


def test_activity_regularization_is_the_identity_and_keeps_its_factors() -> None:
    layer = jl.ActivityRegularization(0.1, 0.2)
    check_against_reference(layer, (5, 3))
    assert (layer.l1, layer.l2) == (0.1, 0.2)
    assert str(layer) == "ActivityRegularization(l1=0.1, l2=0.2)"


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: jl.SpatialDropout1D(1.5), "SpatialDropout1D: rate must be a number from 0 to 1, got 1.5"),
    (lambda: jl.GaussianNoise(2), "GaussianNoise: stddev must be a number from 0 to 1, got 2"),
    (lambda: jl.ActivityRegularization("l1"), "ActivityRegularization: l1 must be a number, got 'l1'"),
    (lambda: trained(jl.GaussianDropout(1), jnp.ones(3)), "GaussianDropout: rate must be below 1 in training, got 1"),
    (lambda: trained(jl.AlphaDropout(1), jnp.ones(3)), "AlphaDropout: rate must be below 1 in training, got 1"),
    (
        lambda: jl.Dropout(0.5, "batch"),
        "Dropout: noise_shape must be None or a tuple of None and integers of at least 1, got 'batch'",
    ),
    (
        lambda: jl.Dropout(0.5, (None, 0)),
        "Dropout: noise_shape must be None or a tuple of None and integers of at least 1, got (None, 0)",
    ),
    (
        lambda: jl.Dropout(0.5, (None, 2)).output_shape((3,)),
        "Dropout: noise_shape=(None, 2), the batch first, does not broadcast to x of shape (None, 3)",
    ),
    (
        lambda: trained(jl.Dropout(0.5, (2, None)), jnp.ones((3, 4))),
        "Dropout: noise_shape=(2, None), the batch first, does not broadcast to x of shape (3, 4)",
    ),
    (
        lambda: jl.SpatialDropout1D(0.5).output_shape((3,)),
        "SpatialDropout1D needs an input of shape (length, channels) after the batch axis, got (3,)",
    ),
]


@pytest.mark.parametrize(("refused", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_invalid_arguments_are_refused(refused: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        refused()
