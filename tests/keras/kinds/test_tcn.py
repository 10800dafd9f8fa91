"""The `TCN` layer of keras-tcn, in files that `keras_two_files/make_tcn.py` wrote with keras-tcn and Keras 2.15."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pytest

import jconv.keras
from jconv.keras.layers import TCN
from tests.support.keras_crafted import archive, functional, layer, saved
from tests.support.keras_files import deviation
from tests.support.keras_watch import refused
from tests.support.paths import KERAS_TWO_FILES


@pytest.mark.parametrize("name", ["tcn.h5", "tcn.keras"])
def test_equals_keras_tcn(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, gzip.decompress((KERAS_TWO_FILES / f"{name}.gz").read_bytes()), name)
    stored = np.load(KERAS_TWO_FILES / "tcn.npz")
    model, params, state = jconv.keras.load(path)
    y = jax.jit(model.apply)(params, state, stored["x"])[0]
    exact = model.reference(params, state, stored["x"])
    assert set(model.outputs) == set(stored.files) - {"x"}
    for output in model.outputs:
        assert deviation(y[output], stored[output]) < 1e-5, output
        assert deviation(exact[output], stored[output]) < 1e-5, output


def test_arrays_in_another_order_are_found_by_their_names(tmp_path: Path) -> None:
    stream = io.BytesIO(gzip.decompress((KERAS_TWO_FILES / "tcn.h5.gz").read_bytes()))
    with h5py.File(stream, "r+") as opened:
        file: Any = opened
        group = file["model_weights"]["batch"]
        group.attrs["weight_names"] = group.attrs["weight_names"][::-1]
    stored = np.load(KERAS_TWO_FILES / "tcn.npz")
    model, params, state = jconv.keras.load(saved(tmp_path, stream.getvalue(), "a.h5"))
    assert deviation(model.apply(params, state, stored["x"])[0]["batch"], stored["batch"]) < 1e-5


def unregistered(**options: Any) -> bytes:
    """`tcn.h5` with the class name that keras-tcn wrote before 3.5.1, and with more `options` in the layer's config."""
    stream = io.BytesIO(gzip.decompress((KERAS_TWO_FILES / "tcn.h5.gz").read_bytes()))
    with h5py.File(stream, "r+") as opened:
        file: Any = opened
        config = json.loads(file.attrs["model_config"])
        for entry in config["config"]["layers"]:
            if entry["class_name"] == "Custom>TCN":
                entry["class_name"] = "TCN"
                entry["config"] |= options
        file.attrs["model_config"] = json.dumps(config).encode()
    return stream.getvalue()


def test_the_unregistered_class_name_is_read(tmp_path: Path) -> None:
    stored = np.load(KERAS_TWO_FILES / "tcn.npz")
    model, params, state = jconv.keras.load(saved(tmp_path, unregistered(use_weight_norm=False), "a.h5"))
    y = jax.jit(model.apply)(params, state, stored["x"])[0]
    for output in model.outputs:
        assert deviation(y[output], stored[output]) < 1e-5, output


def test_configs_without_use_weight_norm_are_refused(tmp_path: Path) -> None:
    """Earlier versions of keras-tcn, which had other activations between the convolutions, wrote such configs."""
    path = saved(tmp_path, unregistered(), "a.h5")
    refused(lambda: jconv.keras.load(path), "layer 'TCN' is not supported")


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"nb_filters": [3], "dilations": [1, 2]}, "filters must be as many as the dilations"),
        ({"use_weight_norm": True}, "its normalization must be one of batch and layer, got ['weight']"),
        ({"return_state": True}, "return_state must be false"),
        ({"padding": "valid"}, "padding must be one of causal, same"),
        ({"nb_stacks": 0}, "stacks must be at least 1"),
        ({"lookahead": 3}, "the option 'lookahead'"),
    ],
)
def test_unsupported_options_and_modules_are_refused(config: Any, part: str, tmp_path: Path) -> None:
    entry = layer("TCN", "tcn", config, module="tcn.tcn", registered_name="Custom>TCN")
    refused(lambda: jconv.keras.load(saved(tmp_path, archive(functional(entry)))), part)
    other = json.loads(json.dumps(entry))
    other["module"] = "tcn_evil.tcn"
    refused(lambda: jconv.keras.load(saved(tmp_path, archive(functional(other)))), "which is not imported")


def test_padding_same_refuses_an_unknown_length() -> None:
    with pytest.raises(ValueError, match="TCN: the middle of a sequence of unknown length"):
        TCN((3,), (1,), padding="same").output_shape((None, 2))
