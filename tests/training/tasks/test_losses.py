"""Losses of ragged and packed batches are means over the samples, without padding."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.support.settings import in_type, quick_jit
from training.tasks import losses

LENGTHS = np.array([4, 0, 6])
IDS = np.array([[0, 0, -1, 1, 1, 1], [-1, -1, 2, 2, 0, 0], [7, 7, 7, 7, 7, -1]])
EXTENTS = {"lengths": {"lengths": LENGTHS}, "segment_ids": {"segment_ids": IDS}}
VALID = {"lengths": np.arange(6) < LENGTHS[:, None], "segment_ids": IDS >= 0}

REFERENCES = {
    "cross_entropy": losses.cross_entropy_reference,
    "probability_cross_entropy": losses.probability_cross_entropy_reference,
    "squared_error": losses.squared_error_reference,
    "accuracy": lambda output, labels: (output.argmax(-1) == labels).mean(),
    "absolute_error": lambda output, target: np.abs(output - target).mean(),
}


@pytest.mark.parametrize("kind", EXTENTS)
@pytest.mark.parametrize("name", REFERENCES)
def test_losses_are_means_over_the_samples_without_padding(name, kind):
    rng = np.random.default_rng(0)
    output, valid = rng.uniform(0.1, 1, (3, 6, 4)), VALID[kind]
    against_numbers = "error" in name
    target = rng.standard_normal((3, 6, 4)) if against_numbers else rng.integers(0, 4, (3, 6))
    spoilt = np.where(valid[..., None], output, np.nan)
    # Labels in the padding are not classes.
    other = np.where(valid[..., None], target, np.nan) if against_numbers else np.where(valid, target, -9)
    function = getattr(losses, name)
    run = quick_jit(jax.value_and_grad(lambda output, target: function(output, target, **EXTENTS[kind])))
    value, bar = in_type("float64", run, spoilt, other)
    assert value == pytest.approx(REFERENCES[name](output[valid], target[valid]), rel=1e-14)
    assert np.isfinite(bar).all() and (bar[~valid] == 0).all()
    definition = getattr(losses, f"{name}_reference", None)
    if definition is None:
        return
    assert definition(spoilt, other, **EXTENTS[kind]) == pytest.approx(value, rel=1e-14)
    for index in [tuple(np.argwhere(valid)[-1]) + (1,), tuple(np.argwhere(valid)[0]) + (0,)]:
        perturbed = spoilt.astype(complex)
        perturbed[index] += 1e-30j
        assert bar[index] == pytest.approx(definition(perturbed, other, **EXTENTS[kind]).imag / 1e-30, rel=1e-12)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", REFERENCES)
def test_losses_of_no_samples_are_zero(name):
    output = np.full((3, 6, 4), np.nan, np.float32)
    target = output if "error" in name else np.zeros((3, 6), int)
    value, bar = jax.value_and_grad(getattr(losses, name))(output, target, lengths=np.zeros(3, int))
    assert value == 0 and (bar == 0).all()


def test_one_output_per_sequence_takes_no_lengths():
    with pytest.raises(ValueError, match=r"lengths must be integers of shape \(\), got int32 of shape \(3,\)"):
        losses.cross_entropy(np.zeros((3, 4), np.float32), np.zeros(3, int), lengths=LENGTHS)


def test_smoothing_and_weights_by_their_formulas():
    rng = np.random.default_rng(2)
    logits, labels, weights = rng.standard_normal((7, 3)), rng.integers(0, 3, 7), np.array([0.5, 2.0, 1.25])
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    by_hand = 0.0
    for share, label in zip(shares, labels, strict=True):
        targets = [0.8 * (label == one) + 0.2 / 3 for one in range(3)]
        by_hand -= weights[label] * sum(t * np.log(s) for t, s in zip(targets, share, strict=True)) / 7
    both = {"smoothing": 0.2, "weights": weights}
    with jax.enable_x64(True):
        for loss, reference, output in (
            (losses.cross_entropy, losses.cross_entropy_reference, logits),
            (losses.probability_cross_entropy, losses.probability_cross_entropy_reference, shares),
        ):
            assert float(loss(jnp.asarray(output), labels, **both)) == pytest.approx(by_hand, rel=1e-13)
            assert float(reference(output, labels, **both)) == pytest.approx(by_hand, rel=1e-13)
            # Positions beyond the length have no effect.
            rows = np.stack([output[:4], np.concatenate([output[4:], np.full((1, 3), np.nan)])])
            own = np.stack([labels[:4], np.append(labels[4:], 99)])
            found = loss(jnp.asarray(rows), jnp.asarray(own), lengths=np.array([4, 3]), **both)
            assert float(found) == pytest.approx(by_hand, rel=1e-13)
            assert reference(rows, own, lengths=[4, 3], **both) == pytest.approx(by_hand, rel=1e-13)
    # The same smoothing by Optax.
    smoothed = optax.smooth_labels(jax.nn.one_hot(labels, 3), 0.2)
    expected = optax.softmax_cross_entropy(jnp.float32(logits), smoothed).mean()
    assert float(losses.cross_entropy(jnp.float32(logits), labels, smoothing=0.2)) == pytest.approx(float(expected))
