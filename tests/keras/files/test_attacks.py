"""The published attacks on the loading of Keras files, one by one: refused in a line, with nothing done."""

from __future__ import annotations

import base64
import json
import marshal
import sys
from pathlib import Path
from typing import Any

import pytest

import jconv.keras
from tests.support.keras_crafted import archive, conv, functional, hdf5, layer, operation, saved, tensor
from tests.support.keras_watch import deeds, refused


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that can be imported, and the file that says that it was."""
    sung = tmp_path / "sung"
    (tmp_path / "canary_module.py").write_text(f"open({str(sung)!r}, 'w').close()\ndef sing(*args): return args\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return sung


def bytecode(sung: Path) -> str:
    """A function's code as Keras writes a lambda, which leaves a file when it is run."""
    code = compile(f"lambda x: open({str(sung)!r}, 'w')", "lambda", "eval").co_consts[0]
    return base64.b64encode(marshal.dumps(code)).decode()


def lambdas(code: str) -> dict[str, dict[str, Any]]:
    """CVE-2024-3660: code in the file, as Keras 2 and Keras 3 write it."""
    return {
        "keras_2": layer("Lambda", "f", {"function": [code, None, None], "function_type": "lambda"}),
        "keras_3": layer(
            "Lambda",
            "f",
            {"function": {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}},
            module="keras.layers",
        ),
        "safe_mode_off": layer("Lambda", "f", {"function": [code, None, None], "safe_mode": False}),
        "op_lambda": layer("TFOpLambda", "f", {"function": "io.read_file"}),
    }


@pytest.mark.parametrize("which", ["keras_2", "keras_3", "safe_mode_off", "op_lambda"])
@pytest.mark.parametrize("form", ["keras", "h5"])
def test_code_in_a_lambda_is_never_run(which: str, form: str, canary: Path, tmp_path: Path):
    """CVE-2024-3660; as a whole-model .h5, in which safe mode had no effect, CVE-2025-9905."""
    config = functional(lambdas(bytecode(canary))[which])
    data = archive(config) if form == "keras" else hdf5({}, model_config=json.dumps(config))
    path = saved(tmp_path, data, f"model.{form}")
    why = "TensorFlow's 'io.read_file' is not one" if which == "op_lambda" else "Python code, which is never run"
    refused(lambda: jconv.keras.load(path), "layer 'f'", why, "custom_layers")
    assert not canary.exists()


def function(module: str | None, name: str) -> dict[str, Any]:
    """A function as Keras serializes one: by where to import it from."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


NAMED = {
    # CVE-2025-1550: any class of any module, with arguments of the attacker's.
    "class": layer("Popen", "f", {"args": ["touch", "sung"]}, module="subprocess"),
    "own_class": layer("sing", "f", {}, module="canary_module"),
    "registered": layer("Dense", "f", {"units": 2}, module="keras.layers", registered_name="canary_module>sing"),
    "prefix": layer("Dense", "f", {"units": 2}, module="keras_evil.layers"),
    "path_as_class": layer("../canary_module.sing", "f", {}),
    # CVE-2025-8747: functions of Keras itself that fetch files.
    "get_file": layer("Lambda", "f", {"function": function("keras.utils", "get_file"), "arguments": {"origin": "x"}}),
    "own_operation": operation("GetFile", tensor("in0"), module="keras.src.utils.file_utils"),
    # CVE-2025-9906: the one that switches safe mode off, before the layer that needs it.
    "unsafe": layer("Lambda", "f", {"function": function("keras.config", "enable_unsafe_deserialization")}),
    "activation": conv("f", activation=function("canary_module", "sing")),
    "activation_by_name": conv("f", activation="canary_module.sing"),
    "activation_of_keras": conv("f", activation=function("keras.config", "enable_unsafe_deserialization")),
    "inner_layer": layer(
        "TimeDistributed", "f", {"layer": {"class_name": "system", "module": "os", "config": {"name": "g"}}}
    ),
    "argument": operation(
        "Add", tensor("in0"), {"class_name": "Popen", "module": "subprocess", "config": {"args": "x"}}
    ),
    "policy": conv("f", dtype={"module": "canary_module", "class_name": "sing", "config": {"name": "float32"}}),
    "rnn_cell": layer("RNN", "f", {"cell": {"class_name": "sing", "module": "canary_module", "config": {}}}),
    # CVE-2025-12058: vocabularies, and state, that are read from a path or an address.
    "vocabulary": layer("StringLookup", "f", {"vocabulary": "/etc/passwd"}, module="keras.layers"),
    "vocabulary_url": layer("TextVectorization", "f", {"vocabulary": "http://127.0.0.1:9/x"}, module="keras.layers"),
    "hashing": layer("IntegerLookup", "f", {"vocabulary": "file:///etc/passwd"}, module="keras.layers"),
    "torch": layer(
        "TorchModuleWrapper", "f", {"module": {"class_name": "__torch__", "config": {}}}, module="keras.layers"
    ),
    "saved_model": layer("TFSMLayer", "f", {"filepath": "/etc", "call_endpoint": "serve"}, module="keras.layers"),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_a_config_names_is_neither_imported_nor_opened(name: str, canary: Path, tmp_path: Path):
    honest = saved(tmp_path, archive(functional(conv())), "honest.keras")
    jconv.keras.load(honest)
    path = saved(tmp_path, archive(functional(NAMED[name])))
    with deeds() as heard:
        refused(lambda: jconv.keras.load(path), NAMED[name]["name"])
    assert not [deed for deed in heard if deed != f"open {path}" and not deed.startswith("import ")], heard
    assert "canary_module" not in sys.modules and not canary.exists()


def test_what_is_not_needed_is_not_looked_at(canary: Path, tmp_path: Path):
    """Initializers and the like have no effect on a model that has its weights; nothing of theirs is imported."""
    evil = function("canary_module", "sing")
    entry = conv(kernel_initializer=evil, bias_regularizer=evil, kernel_constraint=evil)
    config = functional(entry) | {"compile_config": {"optimizer": evil, "loss": evil, "metrics": [evil]}}
    path = saved(tmp_path, archive(config | {"module": "canary_module", "build_config": evil}))
    model, params, _ = jconv.keras.load(path)
    assert model.outputs == ("conv1d",) and params["conv1d"]["kernel"].shape == (2, 4, 3)
    assert "canary_module" not in sys.modules and not canary.exists()
    refused(lambda: jconv.keras.load_training(path), "'sing'", "not imported")
    assert "canary_module" not in sys.modules and not canary.exists()


@pytest.mark.parametrize("loss", [function("canary_module", "sing"), "canary_module.sing", {"class_name": "system"}])
def test_the_words_of_training_import_nothing(loss: Any, canary: Path, tmp_path: Path):
    compiled = {"optimizer": {"class_name": "SGD", "config": {"learning_rate": 0.1}}, "loss": loss}
    path = saved(tmp_path, archive(functional(conv()) | {"compile_config": compiled}))
    assert jconv.keras.load_training(path).loss is None
    for key, evil in (("kernel_regularizer", loss), ("kernel_constraint", loss)):
        path = saved(tmp_path, archive(functional(conv(**{key: evil})) | {"compile_config": compiled}))
        refused(lambda path=path: jconv.keras.load_training(path), key)
    assert "canary_module" not in sys.modules and not canary.exists()


@pytest.mark.parametrize("class_name", ["system", "Model2", "Subclassed", "ModelCheckpoint"])
def test_a_whole_model_of_another_class_is_refused(class_name: str, tmp_path: Path):
    config = {"module": "os", "class_name": class_name, "config": {"name": "touch sung"}, "registered_name": None}
    path = saved(tmp_path, archive(config))
    refused(lambda: jconv.keras.load(path), class_name, "only Sequential and Functional models")
