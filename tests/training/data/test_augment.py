"""Augmentations: pure functions of the key that keep padding, do nothing at strength zero, and act only in training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import waves
from training import tasks
from training.core import loop
from training.core.plan import Plan
from training.data import augment, datasets
from training.errors import UserError


def _resampled(times):
    return lambda key, x, strength, lengths=None: augment.resample(x, times(key, x, strength, lengths), lengths)


FUNCTIONS = augment.VALUE_CHANGES | {name: _resampled(times) for name, times in augment.TIME_CHANGES.items()}
STRENGTHS = {"jitter": 0.1, "scaling": 0.1, "slice": 0.8, "warp": 0.3}
NO_CHANGE = {"jitter": 0.0, "scaling": 0.0, "slice": 1.0, "warp": 0.0}
LENGTHS = np.array([1, 2, 17, 30], np.int32)
KEY = jax.random.key(3)


def _batch(n=4, length=30, channels=2):
    return jnp.asarray(np.random.default_rng(0).standard_normal((n, length, channels)), jnp.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
def test_augmentations_are_pure_functions_of_the_key(name, lengths):
    call, x = FUNCTIONS[name], _batch()
    y = call(KEY, x, STRENGTHS[name], lengths)
    assert y.shape == x.shape and y.dtype == x.dtype
    np.testing.assert_array_equal(y, call(KEY, x, STRENGTHS[name], lengths))
    np.testing.assert_allclose(y, jax.jit(call)(KEY, x, STRENGTHS[name], lengths), atol=1e-5)
    other = call(jax.random.key(4), x, STRENGTHS[name], lengths)
    assert not np.array_equal(y[2:], other[2:])
    # Each series is changed by its own draw.
    same = jnp.broadcast_to(x[3], x.shape)
    assert not np.array_equal(*(call(KEY, same, STRENGTHS[name])[number] for number in (0, 1)))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
def test_strength_zero_changes_nothing(name, lengths):
    x = _batch()
    np.testing.assert_array_equal(FUNCTIONS[name](KEY, x, NO_CHANGE[name], lengths), x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_padding_is_kept_and_has_no_effect(name):
    x = np.array(_batch())
    behind = np.arange(30) >= LENGTHS[:, None]
    y, spoilt = (
        np.asarray(FUNCTIONS[name](KEY, jnp.asarray(np.where(behind[..., None], fill, x)), STRENGTHS[name], LENGTHS))
        for fill in (0, np.nan)
    )
    assert (y[behind] == 0).all() and np.isnan(spoilt[behind]).all()
    np.testing.assert_array_equal(y[~behind], spoilt[~behind])


def test_augmentations_have_the_requested_strength():
    ones = jnp.ones((4000, 2, 2))
    noise = np.asarray(augment.jitter(KEY, ones, 0.5)) - 1
    assert noise.std() == pytest.approx(0.5, rel=0.03) and abs(noise.mean()) < 0.02
    factors = np.asarray(augment.scaling(KEY, ones, 0.2))
    assert factors.std() == pytest.approx(0.2, rel=0.03) and factors.mean() == pytest.approx(1, abs=0.01)
    assert np.corrcoef(factors[:, 0].T)[0, 1] < 0.1
    x = jnp.zeros((4000, 101, 1))
    begins = np.asarray(augment.slice_times(KEY, x, 0.9))[:, 0]
    assert begins.min() < 0.1 and begins.max() > 9.9 and begins.mean() == pytest.approx(5, rel=0.05)
    speeds = np.log(np.diff(np.asarray(augment.warp_times(KEY, x, 0.2)), axis=1))
    # The mean speed of each series is subtracted.
    speeds = speeds - speeds.mean(1, keepdims=True)
    assert speeds.std() == pytest.approx(0.2, rel=0.05)


def test_times_increase_and_stay_within_the_series():
    x = jnp.zeros((200, 50, 1))
    lengths = np.arange(200, dtype=np.int32) % 50 + 1
    for times, is_complete in (
        (augment.warp_times(KEY, x, 1.0, lengths), True),
        (augment.slice_times(KEY, x, 0.5, lengths), False),
    ):
        for row, length in zip(np.asarray(times), lengths, strict=True):
            assert (np.diff(row[:length]) > 0).all()
            assert row[0] >= 0 and row[length - 1] <= length - 1 + 1e-4
            if is_complete:
                assert row[0] == 0 and row[length - 1] == pytest.approx(length - 1, rel=1e-5)


def test_sample_labels_move_with_their_samples():
    x = jnp.broadcast_to(jnp.arange(40.0)[:, None], (3, 40, 1))
    labels = (x[..., 0] >= 20).astype(jnp.int32)
    times = augment.warp_times(KEY, x, 0.5)
    moved, followed = augment.resample(x, times)[..., 0], augment.resample_labels(labels, times)
    assert set(np.unique(followed)) == {0, 1}
    np.testing.assert_array_equal(followed, np.round(moved) >= 20)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("blur=1", "must be some of slice=R, warp=R, jitter=R, scaling=R, each once, got 'blur=1'"),
        ("jitter=1,jitter=2", "must be some of slice=R, warp=R, jitter=R, scaling=R, each once, got 'jitter=2'"),
        ("jitter", "jitter must be a number above zero, got ''"),
        ("slice=1.5", "slice must be a share between zero and one, got '1.5'"),
        ("warp=inf", "warp must be a number above zero, got 'inf'"),
    ],
)
def test_a_mistake_is_one_line(text, words):
    with pytest.raises(ValueError) as caught:
        augment.parse(text)
    assert str(caught.value) == words


def test_only_training_steps_are_augmented():
    plain = waves.task()
    task = tasks.with_augment(plain, STRENGTHS)
    assert task.train is plain.train and task.test is plain.test
    plan = Plan(epochs=1, batch_size=8, learning_rate=1e-2, seed=0, evaluate_every=1)
    begin = waves.start(task, plan)
    batch = loop.to_device(task.train, begin.learner).at(np.arange(8))
    ours, once_more, without = (
        jax.jit(loop.make_step(one, plan))(begin.learner, (batch, KEY)) for one in (task, task, plain)
    )
    waves.assert_same_bits(ours, once_more)
    assert float(ours[1][0]) != float(without[1][0])
    # The step's loss is the loss of the series that this key changes.
    changed, key = task.transformed(batch, KEY)
    value = task.objective(begin.learner.params, begin.learner.state, changed, key)[0]
    assert float(ours[1][0]) == pytest.approx(float(value), rel=1e-5)
    waves.assert_same_bits(*(loop.make_evaluation(one)(*begin.learner[:2], batch) for one in (task, plain)))


def test_targets_are_augmented_or_the_augmentation_is_an_error():
    data = datasets.load("gunpoint")
    with pytest.raises(UserError) as caught:
        tasks.with_augment(tasks.forecast(data), {"warp": 0.1})
    assert str(caught.value) == "--augment warp does not fit --task forecast, which supports jitter"
    noisy = tasks.with_augment(tasks.denoise(data, noise=0.1), {"scaling": 0.5})
    batch = jax.tree.map(jnp.asarray, noisy.train.at(slice(5)))
    x, y, _ = noisy.transform(KEY, batch)
    assert float(jnp.std(x - y)) == pytest.approx(0.1, rel=0.1)
    assert float(jnp.abs(y - batch.y).mean()) > 0.1
