"""The gradient proof: it passes for the networks, and fails with an error of one part in a million."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import ad

from jconv import layers, sequential
from jconv.algorithms import ALGORITHMS, OPERATIONS
from jconv.primitive import bilinear
from tests.support.settings import algorithms_for
from training import tasks
from training.core.learner import init_learner
from training.core.plan import Plan
from training.data import datasets
from training.proof import proof
from training.proof.layers import prove_layers

ERROR = 1e-6


@pytest.fixture(autouse=True)
def _fresh_caches(request):
    """Programs must be compiled with the planted error, and again without it."""
    planted = "monkeypatch" in request.fixturenames
    if planted:
        _clear()
    yield
    if planted:
        _clear()


def _clear():
    jax.clear_caches()
    bilinear._compiled.cache_clear()


def _start(task):
    plan = Plan(1, 4, 1e-3, seed=0, evaluate_every=1)
    learner = init_learner(task, plan, jnp.float32)
    return learner.params, learner.state


def _small(algorithm="auto"):
    """The fully convolutional network with few channels, on shortened GunPoint series."""
    task = tasks.classification(datasets.load("gunpoint"))
    blocks = [
        layer
        for filters, kernel_size in ((3, 4), (4, 3))
        for layer in (
            layers.Conv1D(filters, kernel_size, padding="same", algorithm=algorithm),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        )
    ]
    model = sequential([*blocks, layers.GlobalAveragePooling1D(), layers.Dense(2)])
    return task._replace(model=model, train=tasks.Examples(task.train.x[:, 40:60], task.train.y))


def _failures(task):
    return proof.prove(task, *_start(task), seed=0).failures()


def _scaled(function):
    return lambda *args, **kwargs: jax.tree.map(lambda a: a * (1 + ERROR), function(*args, **kwargs))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", ["fcn", "two-layer"])
def test_the_trained_networks_pass(name):
    task = tasks.TASKS["forecast" if name == "two-layer" else "classification"](datasets.load("gunpoint"), name)
    if name == "fcn":  # A part of each series exercises the complete network, in a third of the time.
        task = task._replace(train=tasks.Examples(task.train.x[:, 40:90], task.train.y))
    params, state = _start(task)
    found = proof.prove(task, params, state, seed=0)
    assert found.failures() == {}
    assert {tensor.name for tensor in found.tensors} == {f"{node}/{key}" for node in params for key in params[node]}
    assert [layer.name for layer in found.layers] == [node for node in params if node.startswith("conv1d")]
    zero = {tensor.name for tensor in found.tensors if tensor.exactly_zero}
    assert zero == ({"conv1d/bias", "conv1d_1/bias", "conv1d_2/bias"} if name == "fcn" else set())
    for tensor in found.tensors:
        assert tensor.exactly_zero or max(tensor.along_directions, tensor.along_coordinates) < 1e-12
    assert not jax.config.jax_enable_x64


def test_a_small_network_passes_and_json_has_the_deviations():
    for algorithm in algorithms_for("network"):
        task = _small(algorithm)
        found = proof.prove(task, *_start(task), seed=1)
        assert found.failures() == {}
        results = json.loads(json.dumps(proof.as_json(found)))
        assert results["passed"] and results["threshold"] == 1e-11
        assert results["worst"]["deviation"] == found.worst()[1]
        assert len(results["tensors"]) == 10 and len(results["layers"]) == 2


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_error_in_an_operation_is_caught_by_the_network(monkeypatch, operation):
    module = ALGORITHMS["lax"]
    monkeypatch.setattr(module, operation, _scaled(getattr(module, operation)))
    caught = _failures(_small("lax"))
    # The first convolution's input is data, so its input gradient is not in the network's gradient.
    expected = {
        "forward": {"loss", "input adjoint of conv1d", "kernel adjoint of conv1d_1"},
        "input_gradient": {"gradient of conv1d/kernel", "gradient of batch_normalization/gamma"},
        "kernel_gradient": {"gradient of conv1d/kernel", "gradient of conv1d_1/kernel"},
    }
    assert expected[operation] <= set(caught)


def _layer_failures(algorithm="lax"):
    """The failures of the proof of a single convolution, which uses every rule of every primitive."""
    model = sequential([layers.Conv1D(2, 3, stride=2, padding="same", dilation=2, algorithm=algorithm)])
    params, state = model.init(jax.random.key(0), (9, 2))
    exact = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        (found,) = prove_layers(model, exact, state, rng.standard_normal((2, 9, 2)), rng)
    return {name for name, value in found.deviations().items() if not value <= proof.THRESHOLD}


def test_a_single_convolution_passes():
    assert _layer_failures() == set()


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_an_error_in_an_operation_is_caught_by_a_single_convolution(monkeypatch, algorithm, operation):
    module = ALGORITHMS[algorithm]
    monkeypatch.setattr(module, operation, _scaled(getattr(module, operation)))
    caught = _layer_failures(algorithm)
    expected = {
        "forward": {"input adjoint", "kernel adjoint"},
        "input_gradient": {"input adjoint", "second derivative in the input"},
        "kernel_gradient": {"kernel adjoint", "second derivative in the kernel"},
    }
    assert expected[operation] <= caught


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("primitive", list(bilinear.OPERATION), ids=str)
@pytest.mark.parametrize("operand", [0, 1])
def test_an_error_in_a_transpose_rule_is_caught(primitive, operand):
    first, second = bilinear._TRANSPOSE[primitive]
    right = [partial(bilinear._transpose, first, True), partial(bilinear._transpose, second, False)]
    wrong = list(right)
    wrong[operand] = _scaled(right[operand])
    try:
        ad.defbilinear(primitive, *wrong)
        assert _layer_failures()
    finally:
        ad.defbilinear(primitive, *right)


@pytest.mark.parametrize("primitive", list(bilinear.OPERATION), ids=str)
def test_an_error_in_a_derivative_rule_is_caught(monkeypatch, primitive):
    rule = ad.primitive_jvps[primitive]

    def wrong(primals, tangents, **params):
        out, tangent = rule(primals, tangents, **params)
        return out, tangent if type(tangent) is ad.Zero else tangent * (1 + ERROR)

    monkeypatch.setitem(ad.primitive_jvps, primitive, wrong)
    assert _layer_failures()


def test_an_error_in_the_loss_or_a_layer_is_caught():
    task = _small()
    wrong_loss = task._replace(loss=lambda out, y: task.loss(out, y) * (1 + ERROR))
    assert {"loss", "gradient of dense/kernel", "gradient of conv1d/kernel"} <= set(_failures(wrong_loss))


def test_smoothing_and_weights_are_proved_with_the_loss():
    task = _small()
    weights = tasks.balanced(np.append(task.train.y, 0), 2)
    assert weights[0] != weights[1]
    both = tasks.with_cross_entropy(task, 0.1, weights)
    assert not _failures(both)
    for smoothing, own in ((0.1 + ERROR, weights), (0.1, weights * (1 + ERROR))):
        wrong = tasks.with_cross_entropy(task, smoothing, own)
        assert "loss" in _failures(both._replace(loss_reference=wrong.loss_reference))


def test_nan_is_the_largest_deviation_and_a_failure():
    tensor = proof.TensorResult("conv1d/kernel", (1,), 1.0, False, float("nan"), 0.0)
    found = proof.Proof(1e-3, (tensor,), ())
    assert found.worst()[0] == "gradient of conv1d/kernel"
    assert np.isnan(found.failures()["gradient of conv1d/kernel"])
