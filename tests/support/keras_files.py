"""Checks of files that Keras wrote: outputs, gradients, params in both file formats, and files written for Keras."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import keras
import numpy as np

import jconv.keras
from tests.support.keras_cases.case import Case

BATCH = 3
# The length of random inputs where the model's length is unknown.
LENGTH = 23


def model_of(case: Case) -> tuple[Any, list[str]]:
    """The Keras model whose outputs are all branches of a case, in order, and a label for each output."""
    shapes = case.shape if isinstance(case.shape[0], tuple) else (case.shape,)
    inputs = [keras.Input(shape, dtype=case.dtype, name=f"in{i}") for i, shape in enumerate(shapes)]
    outputs: list[Any] = []
    labels: list[str] = []
    for name, branch in case.branches.items():
        made = _listed(branch(*inputs))
        outputs += made
        labels += [f"{name}[{i}]" for i in range(len(made))]
    return keras.Model(inputs, outputs), labels


def randomize(model: Any, seed: int = 0) -> None:
    """Assign random weights; those that are not trained, such as variances, are positive."""
    rng = np.random.default_rng(seed)
    trained = {id(w) for w in model.trainable_weights}
    for weight in model.weights:
        if "float" in str(weight.dtype):
            draw = (
                rng.standard_normal(weight.shape) * 0.5 if id(weight) in trained else rng.uniform(0.5, 2, weight.shape)
            )
            weight.assign(draw)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            # The layer computes with arrays that are derived from its weights.
            layer.finalize_state()


def drawn(model: Any, seed: int = 1) -> list[np.ndarray[Any, Any]]:
    """A random batch for each input; integers from 0 to 3 for integer inputs."""
    rng = np.random.default_rng(seed)
    arrays = []
    for tensor in model.inputs:
        shape = (BATCH, *(LENGTH if n is None else n for n in tensor.shape[1:]))
        is_integer = "int" in str(tensor.dtype)
        arrays.append(rng.integers(0, 4, shape) if is_integer else np.float32(rng.standard_normal(shape)))
    return arrays


def packed(model: Any, x: list[Any]) -> Any:
    """The arrays in the structure of the model's inputs, such as a dict."""
    return x[0] if isinstance(model, keras.Sequential) else keras.tree.pack_sequence_as(model._inputs_struct, x)


def save(model: Any, path: Path) -> Path:
    """Save a Keras model, without Keras's warning about `.h5`; returns the path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def save_weights(model: Any, path: Path) -> Path:
    """Save the weights of a Keras model, without warnings; returns the path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_weights(path)
    return path


def same(a: Any, b: Any) -> bool:
    """Whether two trees have the same structure and equal arrays."""
    return jax.tree.structure(a) == jax.tree.structure(b) and jax.tree.all(jax.tree.map(np.array_equal, a, b))


def deviation(a: Any, b: Any, floor: float = 0.0) -> float:
    """The largest difference, relative to the largest absolute value of `b` or to `floor` if that is larger."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape, (a.shape, b.shape)
    scale = max(np.max(np.abs(b), initial=0), floor) or 1.0
    return float(np.max(np.abs(a - b), initial=0) / scale)


def keras_function(model: Any) -> Any:
    """A function from a list of inputs to the list of the outputs of a Keras model."""
    trained = [v.value for v in model.trainable_variables]
    rest = [v.value for v in model.non_trainable_variables]

    def run(x: list[Any]) -> list[Any]:
        return keras.tree.flatten(model.stateless_call(trained, rest, packed(model, x), training=False)[0])

    return run


def keras_run(model: Any, x: list[Any], y_bars: list[Any]) -> tuple[list[Any], list[Any]]:
    """The outputs, and the gradients of the trained weights for the cotangents `y_bars` of the outputs."""
    trained = [v.value for v in model.trainable_variables]
    rest = [v.value for v in model.non_trainable_variables]

    def loss(trained: Any) -> Any:
        ys, _ = model.stateless_call(trained, rest, packed(model, x), training=False)
        ys = ys if isinstance(ys, (list, tuple)) else [ys]
        return sum((y.astype("float32") * y_bar).sum() for y, y_bar in zip(ys, y_bars, strict=True)), ys

    (_, ys), bars = jax.jit(jax.value_and_grad(loss, has_aux=True))(trained)
    return ys, bars


def check(case: Case, *, rtol: float = 1e-5, gradient_rtol: float = 1e-4) -> None:
    """Check one Keras model with all branches of a case; see `check_model`."""
    model, labels = model_of(case)
    randomize(model)
    check_model(model, labels, rtol=rtol, gradient_rtol=gradient_rtol)


def check_model(model: Any, labels: list[str], *, rtol: float = 1e-5, gradient_rtol: float = 1e-4) -> None:
    """Check outputs, the reference, gradients, both file formats and the file written for Keras."""
    x = drawn(model)
    shapes = [y.shape for y in jax.eval_shape(keras_function(model), x)]
    rng = np.random.default_rng(2)
    y_bars = [np.float32(rng.standard_normal(shape)) for shape in shapes]
    expected, bars = keras_run(model, x, y_bars)
    with TemporaryDirectory() as folder:
        ours, params, state = jconv.keras.load(save(model, Path(folder, "model.keras")))
        check_h5(model, Path(folder), params, state)
        # Keras's gradients are saved in place of the weights, so that the loader gives them jconv's names.
        kept = [np.asarray(v) for v in model.trainable_variables]
        for variable, bar in zip(model.trainable_variables, bars, strict=True):
            variable.assign(bar)
        _, expected_bars, _ = jconv.keras.load(save(model, Path(folder, "bars.keras")))
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)
        returned = returned_outputs(Path(folder), (ours, params, state), x)

    named = dict(zip(ours.inputs, x, strict=True))

    def loss(params: Any) -> Any:
        y, _ = ours.apply(params, state, named)
        ys = [y[name] for name in ours.outputs] if len(ours.outputs) > 1 else [y]
        return sum((y.astype("float32") * y_bar).sum() for y, y_bar in zip(ys, y_bars, strict=True)), ys

    (_, ys), our_bars = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    exact = ours.reference(params, state, named)
    exacts = [exact[name] for name in ours.outputs] if len(ours.outputs) > 1 else [exact]
    for label, y, e, r, want in zip(labels, ys, exacts, returned, expected, strict=True):
        assert deviation(r, want) < rtol, f"{label}: from the written file {deviation(r, want):.1e}"
        assert str(y.dtype) == str(want.dtype), label
        assert deviation(y, want) < rtol, f"{label}: output {deviation(y, want):.1e}"
        assert deviation(e, want) < rtol, f"{label}: reference {deviation(e, want):.1e}"
    for key, arrays in expected_bars.items():
        # Some gradients are zero except for rounding, such as the gradient of the bias of an attention layer's keys.
        floor = 1e-2 * max(float(np.abs(array).max()) for array in arrays.values())
        for name, want in arrays.items():
            found = deviation(our_bars[key][name], want, floor)
            assert found < gradient_rtol, f"gradient of {key} {name}: {found:.1e}"


def check_outputs(model: Any, *, rtol: float = 1e-5) -> None:
    """Check the outputs, the reference, both file formats and the file written for Keras."""
    x = drawn(model)
    expected = jax.jit(keras_function(model))(x)
    with TemporaryDirectory() as folder:
        ours, params, state = jconv.keras.load(save(model, Path(folder, "model.keras")))
        check_h5(model, Path(folder), params, state)
        returned = returned_outputs(Path(folder), (ours, params, state), x)
    named = dict(zip(ours.inputs, x, strict=True))
    y = jax.jit(lambda params, x: ours.apply(params, state, x)[0])(params, named)
    exact = ours.reference(params, state, named)
    for what, found in (("JAX", y), ("NumPy", exact), ("written file", returned)):
        outputs = (
            found
            if isinstance(found, list)
            else [found[n] for n in ours.outputs]
            if isinstance(found, dict)
            else [found]
        )
        for number, (have, want) in enumerate(zip(outputs, expected, strict=True)):
            assert deviation(have, want) < rtol, f"output {number}, {what}: {deviation(have, want):.1e}"


def check_h5(model: Any, folder: Path, params: Any, state: Any) -> None:
    """Check that the `.h5` file of the model gives the same params and state as its `.keras` file."""
    _, other_params, other_state = jconv.keras.load(save(model, folder / "model.h5"))
    assert jax.tree.structure((params, state)) == jax.tree.structure((other_params, other_state))
    for a, b in zip(jax.tree.leaves((params, state)), jax.tree.leaves((other_params, other_state)), strict=True):
        np.testing.assert_array_equal(a, b)


def returned_outputs(folder: Path, ours: Any, x: list[Any]) -> list[Any]:
    """Keras's outputs for a file that jconv wrote; checks that jconv writes the same bytes again."""
    model, params, state = ours
    jconv.keras.save(folder / "back.keras", model, params, state)
    jconv.keras.save(folder / "again.keras", model, params, state)
    assert (folder / "back.keras").read_bytes() == (folder / "again.keras").read_bytes()
    return jax.jit(keras_function(keras.models.load_model(folder / "back.keras")))(x)


def check_fits(model: Any, path: Path) -> None:
    """Check that a `.weights.h5` file has the weights of a Keras model, by loading it into the model."""
    kept = [np.asarray(weight) for weight in model.weights]
    randomize(model, seed=7)
    model.load_weights(path)
    for weight, want in zip(model.weights, kept, strict=True):
        np.testing.assert_array_equal(weight, want, err_msg=weight.path)


def _listed(y: Any) -> list[Any]:
    return list(y) if isinstance(y, (list, tuple)) else [y]


def one_layer_model(layer: Any = None, shape: tuple[int, ...] = (5,)) -> Any:
    """A Keras model of one layer, by default a Dense."""
    x = keras.Input(shape)
    return keras.Model(x, (layer or keras.layers.Dense(2))(x))
