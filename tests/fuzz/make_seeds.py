"""Writes `keras_seeds/configs.json.gz` from the tables of `keras_cases`; needs Keras.

    KERAS_BACKEND=jax python -m tests.fuzz.make_seeds

Initializers, build configs and ids of shared objects are removed, because the reader ignores them.
"""

from __future__ import annotations

import gzip
import importlib
import json
import pkgutil
from typing import Any

from tests.support import keras_cases
from tests.support.keras_files import model_of
from tests.support.keras_seeds import CONFIGS


def main() -> None:
    """Write the file; the same tables give the same bytes."""
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(keras_cases.__path__):
        cases = getattr(importlib.import_module(f"tests.support.keras_cases.{module.name}"), "CASES", {})
        for name, case in cases.items():
            # This case has hundreds of layers, all of which occur in other cases.
            if (module.name, name) != ("small", "masks"):
                found[f"{module.name}: {name}"] = _without_ignored_keys(json.loads(model_of(case)[0].to_json()))
    text = json.dumps(found, separators=(",", ":"), sort_keys=True)
    CONFIGS.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(found)} configs, {len(text):,} bytes, {CONFIGS.stat().st_size:,} compressed")


def _without_ignored_keys(value: Any) -> Any:
    if isinstance(value, dict):
        ignored = ("build_config", "shared_object_id")
        kept = {k: v for k, v in value.items() if k not in ignored and not k.endswith("_initializer")}
        return {key: _without_ignored_keys(part) for key, part in kept.items()}
    return [_without_ignored_keys(part) for part in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
