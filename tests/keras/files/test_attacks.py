"""Published attacks on loading Keras files: each is refused, and nothing is imported, opened or executed."""

from __future__ import annotations

import base64
import json
import marshal
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import jconv.keras
from tests.support.keras_crafted import (
    ARRAYS,
    KERNEL,
    archive,
    conv,
    functional,
    hdf5,
    layer,
    new_hdf5,
    operation,
    saved,
    tensor,
)
from tests.support.keras_watch import audit, peak, refused


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that `canary_module` creates when it is imported."""
    executed = tmp_path / "executed"
    (tmp_path / "canary_module.py").write_text(
        f"open({str(executed)!r}, 'w').close()\ndef run_code(*args): return args\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return executed


def bytecode(executed: Path) -> str:
    """The serialized code of a lambda that creates a file when it is called."""
    code = compile(f"lambda x: open({str(executed)!r}, 'w')", "lambda", "eval").co_consts[0]
    return base64.b64encode(marshal.dumps(code)).decode()


def lambdas(code: str) -> dict[str, dict[str, Any]]:
    """Code in a config, as Keras 2 and Keras 3 write it."""
    return {
        "keras_2": layer("Lambda", "f", {"function": [code, None, None], "function_type": "lambda"}),
        "keras_3": layer(
            "Lambda",
            "f",
            {"function": {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}},
            module="keras.layers",
        ),
        "safe_mode_off": layer("Lambda", "f", {"function": [code, None, None], "safe_mode": False}),
        "safe_mode_null": layer("Lambda", "f", {"function": [code, None, None], "safe_mode": None}),
        "op_lambda": layer("TFOpLambda", "f", {"function": "io.read_file"}),
    }


LAMBDAS = ["keras_2", "keras_3", "safe_mode_off", "safe_mode_null", "op_lambda"]


def check_lambda_is_refused(which: str, path: Path, canary: Path) -> None:
    """Check that loading names the layer and runs nothing."""
    why = "TensorFlow's 'io.read_file' is not supported" if which == "op_lambda" else "Python code, which is never run"
    refused(lambda: jconv.keras.load(path), "layer 'f'", why, "custom_layers")
    assert not canary.exists()


@pytest.mark.parametrize("which", LAMBDAS)
def test_cve_2024_3660_code_in_a_lambda_is_never_run(which: str, canary: Path, tmp_path: Path):
    """Also CVE-2026-12481, where `"safe_mode": null` let the code run."""
    config = functional(lambdas(bytecode(canary))[which])
    check_lambda_is_refused(which, saved(tmp_path, archive(config)), canary)


@pytest.mark.parametrize("which", LAMBDAS)
def test_cve_2025_9905_code_in_a_lambda_of_an_hdf5_file_is_never_run(which: str, canary: Path, tmp_path: Path):
    """In Keras the safe mode had no effect on HDF5 files."""
    config = functional(lambdas(bytecode(canary))[which])
    check_lambda_is_refused(which, saved(tmp_path, hdf5({}, model_config=json.dumps(config)), "model.h5"), canary)


def function(module: str | None, name: str) -> dict[str, Any]:
    """A function as Keras serializes it: the module to import it from, and its name."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.fixture
def refuse(canary: Path, tmp_path: Path) -> Callable[..., None]:
    """Checks that a model with this layer is refused, that only the model's file is opened, and that nothing runs."""

    def check(entry: dict[str, Any], weights: bytes | None = None, *parts: str) -> None:
        jconv.keras.load(saved(tmp_path, archive(functional(conv())), "honest.keras"))
        path = saved(tmp_path, archive(functional(entry), weights))
        with audit() as events:
            refused(lambda: jconv.keras.load(path), *(parts or (entry["name"],)))
        assert not [event for event in events if event != f"open {path}" and not event.startswith("import ")], events
        assert "canary_module" not in sys.modules and not canary.exists()

    return check


MODULES = {
    "class": layer("Popen", "f", {"args": ["touch", "executed"]}, module="subprocess"),
    "own_class": layer("run_code", "f", {}, module="canary_module"),
    "registered": layer("Dense", "f", {"units": 2}, module="keras.layers", registered_name="canary_module>run_code"),
    "prefix": layer("Dense", "f", {"units": 2}, module="keras_evil.layers"),
    "path_as_class": layer("../canary_module.run_code", "f", {}),
    "activation": conv("f", activation=function("canary_module", "run_code")),
    "activation_by_name": conv("f", activation="canary_module.run_code"),
    "inner_layer": layer(
        "TimeDistributed", "f", {"layer": {"class_name": "system", "module": "os", "config": {"name": "g"}}}
    ),
    "argument": operation(
        "Add", tensor("in0"), {"class_name": "Popen", "module": "subprocess", "config": {"args": "x"}}
    ),
    "policy": conv("f", dtype={"module": "canary_module", "class_name": "run_code", "config": {"name": "float32"}}),
    "rnn_cell": layer("RNN", "f", {"cell": {"class_name": "run_code", "module": "canary_module", "config": {}}}),
}


@pytest.mark.parametrize("name", MODULES)
def test_cve_2025_1550_no_module_of_the_config_is_imported(name: str, refuse: Callable[..., None]):
    """A config may name any class of any module, with arguments for it."""
    refuse(MODULES[name])


@pytest.mark.parametrize(
    "entry",
    [
        layer("Lambda", "f", {"function": function("keras.utils", "get_file"), "arguments": {"origin": "x"}}),
        operation("GetFile", tensor("in0"), module="keras.src.utils.file_utils"),
    ],
    ids=["lambda", "operation"],
)
def test_cve_2025_8747_functions_of_keras_that_fetch_files_are_not_called(
    entry: dict[str, Any], refuse: Callable[..., None]
):
    refuse(entry)


@pytest.mark.parametrize(
    "entry",
    [
        layer("enable_unsafe_deserialization", "f", {}, module="keras.config"),
        layer("Lambda", "f", {"function": function("keras.config", "enable_unsafe_deserialization")}),
        conv("f", activation=function("keras.config", "enable_unsafe_deserialization")),
    ],
    ids=["layer", "lambda", "activation"],
)
def test_cve_2025_9906_a_config_cannot_switch_a_safe_mode_off(entry: dict[str, Any], refuse: Callable[..., None]):
    refuse(entry)


@pytest.mark.parametrize(
    "entry",
    [
        layer("StringLookup", "f", {"vocabulary": "/etc/passwd"}, module="keras.layers"),
        layer("TextVectorization", "f", {"vocabulary": "http://127.0.0.1:9/x"}, module="keras.layers"),
        layer("IntegerLookup", "f", {"vocabulary": "file:///etc/passwd"}, module="keras.layers"),
    ],
    ids=["path", "url", "file_url"],
)
def test_cve_2025_12058_vocabularies_at_a_path_or_url_are_not_read(entry: dict[str, Any], refuse: Callable[..., None]):
    refuse(entry)


def test_cve_2025_49655_pickled_torch_modules_are_not_unpickled(refuse: Callable[..., None]):
    """Also CVE-2026-12484."""
    module = {"class_name": "__torch__", "config": {}}
    refuse(layer("TorchModuleWrapper", "f", {"module": module}, module="keras.layers"))
    refuse(layer("TorchModuleWrapper", "f", {"module": base64.b64encode(pickle.dumps(print)).decode()}))


def test_cve_2026_1462_a_saved_model_that_a_layer_points_to_is_not_loaded(refuse: Callable[..., None], tmp_path: Path):
    """In Keras a `TFSMLayer` loaded TensorFlow's graph from any path, also in safe mode."""
    outside = tmp_path / "saved_model"
    outside.mkdir()
    (outside / "saved_model.pb").write_bytes(b"\x08\x01")
    for path in (str(outside), "/etc"):
        refuse(layer("TFSMLayer", "f", {"filepath": path, "call_endpoint": "serve"}, module="keras.layers"))


def external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("layers/conv1d/vars/0", (2, 4, 3), "f4", external=[(str(secret), 0, 96)])


def external_link(file: h5py.File, secret: Path) -> None:
    file["layers/conv1d/vars/0"] = h5py.ExternalLink(str(secret), "/a")


def soft_link(file: h5py.File, secret: Path) -> None:
    file["layers/conv1d/vars/0"] = h5py.SoftLink("/layers/conv1d/vars/1")


def virtual_dataset(file: h5py.File, secret: Path) -> None:
    source = h5py.VirtualLayout((2, 4, 3), "f4")
    source[:] = h5py.VirtualSource(str(secret), "a", (2, 4, 3))
    file.create_virtual_dataset("layers/conv1d/vars/0", source)


def check_reference_is_refused(make: Callable[[h5py.File, Path], None], part: str, tmp_path: Path) -> None:
    """Check that weights that refer to another file are refused in either format, and that this file is not opened."""
    model, _, _ = jconv.keras.load(saved(tmp_path, archive(functional(conv())), "honest.keras"))
    secret = saved(tmp_path, hdf5({"a": KERNEL}), "secret.h5")
    with new_hdf5() as (file, done):
        file["layers/conv1d/vars/1"] = ARRAYS["layers/conv1d/vars/1"]
        make(file, secret)
        weights = done()
    weights_file = saved(tmp_path, weights, "a.weights.h5")
    model_file = saved(tmp_path, archive(functional(conv()), weights))
    for path, read in (
        (weights_file, lambda: jconv.keras.load_weights(weights_file, model)),
        (model_file, lambda: jconv.keras.load(model_file)),
    ):
        with audit() as events:
            refused(read, part)
        assert [event for event in events if event.startswith("open ")] == [f"open {path}"]


def test_cve_2026_1669_arrays_in_another_file_are_not_read(tmp_path: Path):
    """With HDF5's external storage, Keras read any file into the weights."""
    check_reference_is_refused(
        external_storage, "is stored in another file; references to other files are not followed", tmp_path
    )


@pytest.mark.parametrize("make", [external_link, soft_link])
def test_cve_2026_9335_links_to_other_files_are_not_followed(make: Callable[..., None], tmp_path: Path):
    check_reference_is_refused(make, "links are not followed", tmp_path)


def test_cve_2026_12480_virtual_arrays_of_other_files_are_not_read(tmp_path: Path):
    check_reference_is_refused(
        virtual_dataset, "is a virtual dataset; references to other datasets are not followed", tmp_path
    )


@pytest.mark.parametrize("chunks", [None, (2**20,)], ids=["contiguous", "chunked"])
def test_cve_2026_0897_arrays_that_declare_more_than_they_store_are_not_allocated(chunks: Any, tmp_path: Path):
    """Also CVE-2026-12570: a small file whose array declares 32 GiB."""
    with new_hdf5() as (file, done):
        file.create_dataset("layers/conv1d/vars/0", (2**33,), "f4", chunks=chunks)
        path = saved(tmp_path, archive(functional(conv()), done()))
    assert (
        peak(lambda: refused(lambda: jconv.keras.load(path, max_bytes=2**40), "declares 34,359,738,368 bytes")) < 2**21
    )


@pytest.mark.parametrize("name", ["..", "../../escaped", "a/../../escaped", "..\\..\\escaped", "/escaped", "C:escaped"])
def test_cve_2026_12479_names_of_layers_are_not_paths(name: str, tmp_path: Path):
    """Keras used a layer's name in a path, and created a folder there when a model was loaded or saved."""
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    path = saved(folder, archive(functional(conv(name))))
    # The first load imports modules.
    jconv.keras.load(path)
    before = sorted(tmp_path.rglob("*"))
    with audit() as events:
        model, params, state = jconv.keras.load(path)
    assert [event for event in events if not event.startswith("import ")] == [f"open {path}"]
    np.testing.assert_array_equal(params[name]["kernel"], KERNEL)
    for target in (folder / "again.keras", folder / "again.weights.h5"):
        with audit() as events:
            jconv.keras.save(target, model, params, state)
        # `save` creates only its temporary folder, beside the file.
        folders = [Path(event.removeprefix("os.mkdir ")) for event in events if event.startswith("os.mkdir")]
        assert all(created.parent == folder and "escaped" not in created.name for created in folders), folders
    assert sorted(tmp_path.rglob("*")) == sorted([*before, folder / "again.keras", folder / "again.weights.h5"])
    with zipfile.ZipFile(folder / "again.keras") as written:
        assert sorted(written.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
    (again,) = jconv.keras.load(folder / "again.keras")[1].values()
    np.testing.assert_array_equal(again["kernel"], KERNEL)


def test_unused_objects_are_ignored(canary: Path, tmp_path: Path):
    """Initializers, regularizers and constraints have no effect on a loaded model; nothing is imported for them."""
    evil = function("canary_module", "run_code")
    entry = conv(kernel_initializer=evil, bias_regularizer=evil, kernel_constraint=evil)
    config = functional(entry) | {"compile_config": {"optimizer": evil, "loss": evil, "metrics": [evil]}}
    path = saved(tmp_path, archive(config | {"module": "canary_module", "build_config": evil}))
    model, params, _ = jconv.keras.load(path)
    assert model.outputs == ("conv1d",) and params["conv1d"]["kernel"].shape == (2, 4, 3)
    assert "canary_module" not in sys.modules and not canary.exists()
    refused(lambda: jconv.keras.load_training(path), "'run_code'", "not imported")
    assert "canary_module" not in sys.modules and not canary.exists()


@pytest.mark.parametrize(
    "loss", [function("canary_module", "run_code"), "canary_module.run_code", {"class_name": "system"}]
)
def test_losses_regularizers_and_constraints_are_not_imported(loss: Any, canary: Path, tmp_path: Path):
    compiled = {"optimizer": {"class_name": "SGD", "config": {"learning_rate": 0.1}}, "loss": loss}
    path = saved(tmp_path, archive(functional(conv()) | {"compile_config": compiled}))
    assert jconv.keras.load_training(path).loss is None
    for key, evil in (("kernel_regularizer", loss), ("kernel_constraint", loss)):
        path = saved(tmp_path, archive(functional(conv(**{key: evil})) | {"compile_config": compiled}))
        refused(lambda path=path: jconv.keras.load_training(path), key)
    assert "canary_module" not in sys.modules and not canary.exists()


@pytest.mark.parametrize("class_name", ["system", "Model2", "Subclassed", "ModelCheckpoint"])
def test_models_of_other_classes_are_refused(class_name: str, tmp_path: Path):
    config = {"module": "os", "class_name": class_name, "config": {"name": "touch executed"}, "registered_name": None}
    path = saved(tmp_path, archive(config))
    refused(lambda: jconv.keras.load(path), class_name, "only Sequential and Functional models")
