"""`tune`: what is timed and stored, and its effect on later calls."""

import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import planner, reference
from jconv.algorithms import OPERATIONS
from jconv.geometry import make_geometry
from jconv.planner import cache
from jconv.primitive import bilinear
from jconv.sizes import Sizes

tune_module = importlib.import_module("jconv.inspect.tune")  # jconv.tune itself is the function

PARAMS = {"kernel": np.random.default_rng(0).standard_normal((3, 4, 8)).astype(np.float32), "bias": np.ones(8, "f4")}
X = np.random.default_rng(1).standard_normal((2, 30, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JCONV_CACHE_DIR", str(tmp_path))
    cache._entries.cache_clear()
    yield tmp_path
    cache._entries.cache_clear()
    bilinear.clear_cache()


@pytest.fixture
def fastest(monkeypatch):
    """Replaces the measured times so that one algorithm is the fastest; nothing is compiled."""

    def make_fastest(name: str, by: float = 0.5) -> None:
        def medians(calls, repeats):
            return {call: by if call == name else 1.0 for call in calls}

        monkeypatch.setattr(tune_module, "_medians", medians)
        monkeypatch.setattr(tune_module, "_compile", lambda run, operands: run)

    return make_fastest


def test_all_candidates_are_measured_and_the_fastest_stored(folder):
    tuning = jconv.tune(PARAMS, X, repeats=1, padding="same", activation="relu")
    assert tuning.path == folder / "tuned.json" == cache.cache_file()
    assert tuple(tuning.milliseconds) == tuple(tuning.fastest) == OPERATIONS
    sizes = Sizes(make_geometry(30, 3, padding="same"), 2, 4, 8)
    for operation in OPERATIONS:
        times = tuning.milliseconds[operation]
        assert set(times) == set(planner.candidates(operation, sizes))
        assert min(times.values()) > 0
        for policy in ("auto", "fastest"):
            found = cache.lookup(policy, operation, sizes, jnp.dtype("float32"), None, "cpu")
            assert found == tuning.fastest[operation][policy]
    written = json.loads(tuning.path.read_text(encoding="utf-8"))["fastest"]
    assert sorted(map(str, written.values())) == sorted(map(str, tuning.fastest.values()))


def test_auto_uses_the_fastest_local_algorithm(monkeypatch):
    times = {"fft": 0.1, "winograd": 0.2, "shifts": 0.3, "lax": 1.0}
    monkeypatch.setattr(tune_module, "_medians", lambda calls, repeats: {n: times.get(n, 1.0) for n in calls})
    monkeypatch.setattr(tune_module, "_compile", lambda run, operands: run)
    params = {"kernel": jnp.ones((16, 4, 4))}
    tuning = jconv.tune(params, jnp.ones((2, 300, 4)))
    assert tuning.fastest == {key: {"auto": "shifts", "fastest": "fft"} for key in OPERATIONS}
    lines = str(tuning).splitlines()
    assert lines[0].split() == ["auto", "fastest", "milliseconds"]
    assert [line.split()[:5] for line in lines[1:]] == [
        [operation, "shifts", "fft", "fft", "0.1,"] for operation in OPERATIONS
    ]
    for policy, name in (("auto", "shifts"), ("fastest", "fft")):
        plan = jconv.explain(params, jnp.ones((2, 300, 4)), algorithm=policy)
        assert {own.algorithm for own in plan} == {name}


@pytest.mark.parametrize("kernel", [np.ones((3, 4, 8), "f4"), np.ones((3, 1, 4), "f4")], ids=["dense", "depthwise"])
def test_segment_ids_raise(kernel, folder):
    with pytest.raises(ValueError, match="segment_ids") as error:
        jconv.tune(
            {"kernel": kernel}, X, groups=4 // kernel.shape[1], padding="causal", segment_ids=np.zeros((2, 30), int)
        )
    assert "\n" not in str(error.value) and not list(folder.iterdir())


def test_lengths_with_a_stride_are_tuned(fastest):
    fastest("shifts")
    options = {"stride": 2, "padding": "same", "lengths": np.array([10, 30])}
    assert {own["auto"] for own in jconv.tune(PARAMS, X, **options).fastest.values()} == {"shifts"}
    assert {own.algorithm for own in jconv.explain(PARAMS, X, **options)} == {"shifts"}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("algorithm", ["einsum", "matmul", "shifts"])
def test_later_calls_use_the_measurements(algorithm, fastest):
    before = jconv.conv1d(PARAMS, X, padding="causal")  # compiled with the planner's own choice
    fastest(algorithm)
    tuning = jconv.tune(PARAMS, X, padding="causal")
    assert tuning.fastest == {key: {"auto": algorithm, "fastest": algorithm} for key in OPERATIONS}
    plan = jconv.explain(PARAMS, X, padding="causal")
    assert {operation.algorithm for operation in plan} == {algorithm}
    assert {operation.reason for operation in plan} == {"fastest in the measurements of jconv.tune on this machine"}
    np.testing.assert_allclose(jconv.conv1d(PARAMS, X, padding="causal"), before, atol=1e-5)

    y, pull = jax.vjp(lambda p, x: jconv.conv1d(p, x, padding="causal"), PARAMS, X)
    y_bar = np.ones(y.shape, np.float32)
    params_bar, x_bar = pull(y_bar)
    expected_params_bar, expected_x_bar = reference.conv1d_vjp(PARAMS, X, y_bar, padding="causal")
    np.testing.assert_allclose(y, reference.conv1d(PARAMS, X, padding="causal"), atol=1e-5)
    np.testing.assert_allclose(x_bar, expected_x_bar, atol=1e-5)
    np.testing.assert_allclose(params_bar["kernel"], expected_params_bar["kernel"], atol=1e-4)

    # Another size and a requested algorithm are not affected.
    assert jconv.explain(PARAMS, X).forward.reason != "fastest in the measurements of jconv.tune on this machine"
    assert jconv.explain(PARAMS, X, padding="causal", algorithm="lax").forward.reason == "requested by name"


def test_calls_outside_jit_are_compiled_again(fastest, monkeypatch):
    choices = []
    choose = planner.choose
    monkeypatch.setattr(planner, "choose", lambda *a, **o: choices.append(choose(*a, **o)) or choices[-1])
    jconv.conv1d(PARAMS, X)
    fastest("einsum")
    jconv.tune(PARAMS, X)
    choices.clear()
    jconv.conv1d(PARAMS, X)
    assert [choice.algorithm for choice in choices] == ["einsum"]


def test_differences_within_the_noise_are_ignored(fastest):
    def stored() -> set[str]:
        return {own["auto"] for own in jconv.tune(PARAMS, X).fastest.values()}

    own = {own.algorithm for own in jconv.explain(PARAMS, X)}
    fastest("einsum", by=tune_module.MAX_TIME_RATIO + 0.01)
    assert stored() == own
    fastest("einsum", by=tune_module.MAX_TIME_RATIO - 0.01)
    assert stored() == {"einsum"}


def test_measurements_apply_to_a_dtype_and_to_flattened_leading_axes(fastest):
    fastest("matmul")
    params = {"kernel": jnp.ones((3, 4, 8), jnp.bfloat16)}
    jconv.tune(params, jnp.ones((2, 3, 30, 4), jnp.bfloat16))
    assert jconv.explain(params, jnp.ones((6, 30, 4), jnp.bfloat16)).forward.algorithm == "matmul"
    jconv.tune({"kernel": params["kernel"]}, jnp.ones((30, 4), jnp.bfloat16))
    assert jconv.explain(params, jnp.ones((1, 30, 4), jnp.bfloat16)).forward.algorithm == "matmul"
    reasons = {operation.reason for operation in jconv.explain(params, jnp.ones((6, 30, 4), jnp.float32))}
    assert "fastest in the measurements of jconv.tune on this machine" not in reasons


@pytest.mark.parametrize("algorithm", ["auto", "lax", "nothing"])
def test_algorithm_option_raises(algorithm, folder):
    with pytest.raises(ValueError) as error:
        jconv.tune(PARAMS, X, algorithm=algorithm)
    assert str(error.value) == "tune measures every algorithm; leave algorithm out"
    assert not list(folder.iterdir())


@pytest.mark.parametrize("repeats", [0, -1, 1.5, True, "7", None])
def test_invalid_repeats_raise(repeats, folder):
    with pytest.raises(ValueError) as error:
        jconv.tune(PARAMS, X, repeats=repeats)
    assert str(error.value) == f"repeats must be an integer of at least 1, got {repeats!r}"
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("params", "options"),
    [(PARAMS, {"stride": 0}), (PARAMS, {"padding": "some"}), ({}, {}), (PARAMS, {"groups": 3}), ([], {})],
)
def test_errors_have_the_messages_of_conv1d(params, options):
    with pytest.raises((ValueError, TypeError)) as expected:
        jconv.conv1d(params, X, **options)
    with pytest.raises(expected.type) as error:
        jconv.tune(params, X, **options)
    assert str(error.value) == str(expected.value)


def _clocked(monkeypatch, milliseconds: dict[str, list[float]]):
    """Calls that take the given times in order, then the last time, on a clock that only they advance."""
    clock, order = [0.0], []
    monkeypatch.setattr(tune_module.time, "perf_counter", lambda: clock[0])

    def call(name):
        def run():
            order.append(name)
            times = milliseconds[name]
            clock[0] += 1e-3 * (times.pop(0) if len(times) > 1 else times[0])

        return run

    return {name: call(name) for name in milliseconds}, order


def test_medians_exclude_the_first_call(monkeypatch):
    # First an untimed call and a timed one, then in each round an untimed call and a timed one.
    calls, _ = _clocked(monkeypatch, {"a": [900, 2, 900, 3, 900, 100, 900, 4], "b": [1.0]})
    found = tune_module._medians(calls, 3)
    assert found == {"a": pytest.approx(4), "b": pytest.approx(1)}


def test_medians_do_not_repeat_slow_calls(monkeypatch):
    calls, order = _clocked(monkeypatch, {"slow": [60.0], "a": [10.0], "b": [11.0]})
    found = tune_module._medians(calls, 4)
    assert found == {"slow": pytest.approx(60), "a": pytest.approx(10), "b": pytest.approx(11)}
    assert (order.count("slow"), order.count("a"), order.count("b")) == (2, 10, 10)


def test_medians_rotate_the_order(monkeypatch):
    calls, order = _clocked(monkeypatch, {"a": [1.0], "b": [1.0], "c": [1.0]})
    tune_module._medians(calls, 3)
    assert "".join(order) == "abc" + "abc" + "aabbcc" + "bbccaa" + "ccaabb"


def test_median_of_one_call(monkeypatch):
    calls, _ = _clocked(monkeypatch, {"a": [2.0]})
    assert tune_module._medians(calls, 1) == {"a": pytest.approx(2)}
