"""State dicts and safetensors files of jconv.torch, compared with PyTorch and with loops of its definitions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jconv
import jconv.torch
from jconv.layers import BatchNormalization, Conv1D, Dense

RNG = np.random.default_rng(0)
STATE_DICT = {
    "encoder.0.weight": RNG.standard_normal((8, 2, 5)).astype("float32"),
    "encoder.0.bias": RNG.standard_normal(8).astype("float32"),
    "encoder.1.weight": RNG.standard_normal(8).astype("float32"),
    "encoder.1.bias": RNG.standard_normal(8).astype("float32"),
    "encoder.1.running_mean": RNG.standard_normal(8),
    "encoder.1.running_var": RNG.random(8),
    "encoder.1.num_batches_tracked": np.array(7),
    "head.weight": RNG.standard_normal((3, 8)).astype("float16"),
    "half.weight": RNG.standard_normal((4, 8, 1)).astype(jnp.bfloat16),
}


def convolved(
    x: np.ndarray, weight: np.ndarray, bias: Any, stride: int, padding: int, dilation: int, groups: int
) -> Any:
    """`torch.nn.Conv1d` by its definition: output channel `o` of a group sums over the group's input channels."""
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding)])
    outputs, per_group, size = weight.shape
    length = (x.shape[2] - dilation * (size - 1) - 1) // stride + 1
    y = np.zeros((len(x), outputs, length))
    for o in range(outputs):
        first = o // (outputs // groups) * per_group
        for t in range(length):
            window = x[:, first : first + per_group, t * stride : t * stride + dilation * (size - 1) + 1 : dilation]
            y[:, o, t] = (window * weight[o]).sum((1, 2)) + (0 if bias is None else bias[o])
    return y


def convolved_transpose(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, dilation: int) -> np.ndarray:
    """`torch.nn.ConvTranspose1d` by its definition: each sample adds the kernel to the output."""
    _, outputs, size = weight.shape
    y = np.zeros((len(x), outputs, (x.shape[2] - 1) * stride + dilation * (size - 1) + 1)) + bias[:, None]
    for t in range(x.shape[2]):
        for k in range(size):
            y[:, :, t * stride + k * dilation] += np.einsum("bi,io->bo", x[:, :, t], weight[:, :, k])
    return y


CONVOLUTIONS = [(1, 0, 1, 1, True), (2, 3, 1, 1, False), (1, 2, 3, 2, True), (3, 1, 2, 4, False)]


@pytest.mark.parametrize("stride, padding, dilation, groups, has_bias", CONVOLUTIONS)
def test_convolution_agrees_with_the_definition_of_pytorch(
    stride: int, padding: int, dilation: int, groups: int, has_bias: bool
) -> None:
    arrays = {"weight": RNG.standard_normal((8, 4 // groups, 5)), "bias": RNG.standard_normal(8)}
    arrays = {name: array for name, array in arrays.items() if has_bias or name == "weight"}
    x = RNG.standard_normal((2, 4, 30))
    params, state = jconv.torch.from_state_dict(arrays)
    assert state == {} and params.keys() == ({"kernel", "bias"} if has_bias else {"kernel"})
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = jconv.conv1d(params, x.swapaxes(1, 2), **options).swapaxes(1, 2)
    wanted = convolved(x, arrays["weight"], arrays.get("bias"), stride, padding, dilation, groups)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-5 * abs(wanted).max())
    back = jconv.torch.to_state_dict(params)
    assert back.keys() == arrays.keys() and all((back[name] == arrays[name]).all() for name in arrays)


@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_transposed_convolution_agrees_with_the_definition_of_pytorch(stride: int, dilation: int) -> None:
    arrays = {"weight": RNG.standard_normal((4, 6, 5)), "bias": RNG.standard_normal(6)}
    x = RNG.standard_normal((2, 4, 9))
    params, _ = jconv.torch.from_state_dict(arrays)
    y = jconv.conv1d_transpose(params, x.swapaxes(1, 2), stride=stride, dilation=dilation, output_padding=0)
    wanted = convolved_transpose(x, arrays["weight"], arrays["bias"], stride, dilation)
    np.testing.assert_allclose(y.swapaxes(1, 2), wanted, rtol=0, atol=1e-5 * abs(wanted).max())


def assert_equal_bits(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype and one[name].shape == other[name].shape, name
        assert np.asarray(one[name]).tobytes() == np.asarray(other[name]).tobytes(), name


def test_state_dict_of_a_network_round_trips() -> None:
    params, state = jconv.torch.from_state_dict(STATE_DICT)
    shapes = jax.tree.map(np.shape, (params, state), is_leaf=lambda leaf: isinstance(leaf, np.ndarray))
    assert shapes == (
        {
            "encoder.0": {"kernel": (5, 2, 8), "bias": (8,)},
            "encoder.1": {"gamma": (8,), "beta": (8,)},
            "head": {"kernel": (8, 3)},
            "half": {"kernel": (1, 8, 4)},
        },
        {"encoder.1": {"moving_mean": (8,), "moving_variance": (8,)}},
    )
    wanted = {key: array for key, array in STATE_DICT.items() if not key.endswith("num_batches_tracked")}
    assert_equal_bits(jconv.torch.to_state_dict(params, state), wanted)
    nested = {"encoder": {"0": params["encoder.0"], "1": params["encoder.1"]}, "head": params["head"]}
    assert jconv.torch.to_state_dict(nested).keys() < wanted.keys()
    assert_equal_bits(
        jconv.torch.to_state_dict(jax.tree.map(jnp.asarray, params["encoder.0"])),
        {"weight": STATE_DICT["encoder.0.weight"], "bias": STATE_DICT["encoder.0.bias"]},
    )


def test_converted_arrays_are_copies() -> None:
    weight, bias = np.ones((1, 1, 1)), np.ones(1)
    params, _ = jconv.torch.from_state_dict({"weight": weight, "bias": bias})
    back = jconv.torch.to_state_dict(params)
    for array in (*params.values(), *back.values()):
        array += 1
    assert weight == 1 and bias == 1 and params["kernel"] == 2 and params["bias"] == 2


def test_safetensors_file_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(STATE_DICT, path)
    params, state = jconv.torch.load_safetensors(path)
    assert params["half"]["kernel"].dtype == jnp.bfloat16
    jconv.torch.save_safetensors(tmp_path / "again.safetensors", params, state)
    wanted = {key: array for key, array in STATE_DICT.items() if not key.endswith("num_batches_tracked")}
    assert_equal_bits(load_file(tmp_path / "again.safetensors"), wanted)
    words = r"^\S+model\.safetensors is not a safetensors file with dtypes of NumPy: "
    content = path.read_bytes()
    save_file({"weight": np.zeros((2, 3, 4), jnp.float8_e4m3fn)}, path)
    for damaged in (content[:-1], path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=words):
            jconv.torch.load_safetensors(path)
    with pytest.raises(FileNotFoundError):
        jconv.torch.load_safetensors(tmp_path / "none.safetensors")


LAYERS = [Conv1D(8, 5, groups=2, padding=2), BatchNormalization(epsilon=1e-5), Dense(3)]


def model_of_layers() -> Any:
    model = jconv.sequential(LAYERS, names=["encoder.0", "encoder.1", "head"], input_shape=(30, 4))
    return model, *model.init(jax.random.key(0))


def test_state_dict_of_a_model_with_the_module_names_as_layer_names() -> None:
    model, params, state = model_of_layers()
    arrays = jconv.torch.to_state_dict(params, state)
    changed = {key: RNG.random(array.shape).astype("float32") for key, array in arrays.items()}
    params, state = jconv.torch.from_state_dict(changed, like=(params, state))
    x = RNG.standard_normal((2, 4, 30))
    y, _ = model.apply(params, state, x.swapaxes(1, 2))
    wanted = convolved(x, changed["encoder.0.weight"], changed["encoder.0.bias"], 1, 2, 1, 2)
    mean, variance = (changed[f"encoder.1.running_{name}"][:, None] for name in ("mean", "var"))
    wanted = (wanted - mean) / np.sqrt(variance + 1e-5)
    wanted = wanted * changed["encoder.1.weight"][:, None] + changed["encoder.1.bias"][:, None]
    wanted = np.einsum("bct,oc->bto", wanted, changed["head.weight"]) + changed["head.bias"]
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-5 * abs(wanted).max())


W = np.zeros((8, 4, 5))
INVALID = {
    "conv2d": (
        {"a.weight": np.zeros((8, 4, 5, 5))},
        r"a\.weight must have 3 axes \(Conv1d, ConvTranspose1d\), 2 ",
    ),
    "bias": (
        {"a.weight": W, "a.bias": np.zeros(5)},
        r"a\.bias must have shape \(8,\) or \(4,\) for a\.weight ",
    ),
    "linear": (
        {"weight": W[0], "bias": np.zeros(5)},
        r"bias must have shape \(4,\) for weight of shape \(4, 5\)",
    ),
    "axes": ({"a.weight": W, "a.bias": np.zeros((8, 1))}, r"a\.bias must have 1 axis, got shape \(8, 1\)"),
    "no weight": ({"a.b.bias": np.zeros(8)}, r"a\.b\.weight is missing; a\.b\.bias has shape \(8,\)"),
    "lstm": (
        {"a.weight_ih_l0": W[0]},
        r"a\.weight_ih_l0 of shape \(4, 5\) is not supported; the supported names are weight, ",
    ),
    "norm": (
        {"a.bias": np.zeros(8), "a.weight_g": W},
        r"a\.weight_g of shape \(8, 4, 5\) belongs to a weight normalization",
    ),
    "parametrized": (
        {"a.bias": np.zeros(8), "a.parametrizations.weight.original0": W},
        r"a\.parametrizations\.weight\.original0 of shape \(8, 4, 5\) belongs to a weight normalization; remove it",
    ),
    "moving": (
        {"a.running_mean": np.zeros(3), "a.running_var": np.zeros(4)},
        r"a\.running_var must have shape \(3,\) for a\.running_mean of shape \(3,\), got shape \(4,\)",
    ),
    "no array": ({"a.weight": 3.0}, r"a\.weight must be an array, got 3\.0"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_state_dict_raises(name: str) -> None:
    arrays, message = INVALID[name]
    with pytest.raises(ValueError, match=f"^{message}") as error:
        jconv.torch.from_state_dict(arrays)
    assert "\n" not in str(error.value)


def test_state_dict_that_does_not_fit_a_model_raises() -> None:
    _, params, state = model_of_layers()
    arrays = jconv.torch.to_state_dict(params, state)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"encoder.0.bias": None}, r"encoder\.0\.bias is missing; it must have shape \(8,\)"),
        ({"head.0.weight": W}, r"head\.0\.weight of shape \(8, 4, 5\) is not in the model"),
        ({"encoder.0.weight": W}, r"encoder\.0\.weight must have shape \(8, 2, 5\), got shape \(8, 4, 5\)"),
    ]
    for change, message in changes:
        changed = {key: array for key, array in (arrays | change).items() if array is not None}
        with pytest.raises(ValueError, match=f"^{message}$"):
            jconv.torch.from_state_dict(changed, like=(params, state))


def test_params_without_a_pytorch_equivalent_raise() -> None:
    with pytest.raises(ValueError, match=r"^lstm\.recurrent_kernel has no name in PyTorch; the names are kernel, "):
        jconv.torch.to_state_dict({"lstm": {"recurrent_kernel": W}})
    with pytest.raises(ValueError, match=r"^a\.kernel must have 3 or 2 axes, got shape \(4,\)"):
        jconv.torch.to_state_dict({"a": {"kernel": np.zeros(4)}})
    with pytest.raises(ValueError, match=r"^a\.bias must have 1 axis, got shape \(8, 4, 5\)"):
        jconv.torch.to_state_dict({"a": {"bias": W}})


def test_missing_safetensors_package_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    words = r'^this needs safetensors: pip install "safetensors>=0\.8"$'
    with pytest.raises(ImportError, match=words):
        jconv.torch.save_safetensors(tmp_path / "model.safetensors", {"kernel": W})
    with pytest.raises(ImportError, match=words):
        jconv.torch.load_safetensors(tmp_path / "model.safetensors")


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_pytorch_modules_round_trip_with_the_same_outputs(dtype: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_model, save_model

    def module() -> Any:
        layers = torch.nn.Sequential(
            torch.nn.Conv1d(4, 8, 5, stride=2, padding=3, dilation=2, groups=2),
            torch.nn.BatchNorm1d(8),
            torch.nn.ConvTranspose1d(8, 6, 4, stride=2, padding=1, output_padding=1, bias=False),
        )
        return layers.to(getattr(torch, dtype))

    original, copy = module(), module()
    original(torch.randn(3, 4, 30, dtype=getattr(torch, dtype)))
    original.eval()
    params, state = jconv.torch.from_state_dict(original.state_dict())
    if dtype == "float32":
        x = RNG.standard_normal((2, 4, 30)).astype(dtype)
        y = jconv.conv1d(params["0"], x.swapaxes(1, 2), stride=2, padding=3, dilation=2, groups=2)
        y, _ = BatchNormalization(epsilon=1e-5).apply(params["1"], state["1"], y)
        y = jconv.conv1d_transpose(params["2"], y, stride=2, output_padding=1)[:, 1:-1].swapaxes(1, 2)
        wanted = original(torch.from_numpy(x)).numpy(force=True)
        np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-5 * abs(wanted).max())
    # Back to PyTorch as arrays, and through files in both directions.
    arrays = jconv.torch.to_state_dict(params, state)
    if dtype == "bfloat16":
        arrays = {key: array.astype("float32") for key, array in arrays.items()}
    copy.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    save_model(original, str(tmp_path / "torch.safetensors"))
    jconv.torch.save_safetensors(
        tmp_path / "jconv.safetensors", *jconv.torch.load_safetensors(tmp_path / "torch.safetensors")
    )
    from_file = module()
    load_model(from_file, str(tmp_path / "jconv.safetensors"), strict=False)
    for other in (copy, from_file):
        for key, tensor in original.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                found = other.state_dict()[key]
                assert found.dtype == tensor.dtype and torch.equal(found, tensor), key
