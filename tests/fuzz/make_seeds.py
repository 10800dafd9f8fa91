"""Writes `keras_seeds/configs.json.gz` from the tables of `keras_cases`; needs Keras.

    KERAS_BACKEND=jax PYTHONPATH=.:tests python -m fuzz.make_seeds

Initializers, and what building left behind, are taken out: nothing reads them.
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
    """Write the file, the same bytes for the same tables."""
    found: dict[str, Any] = {}
    for room in pkgutil.iter_modules(keras_cases.__path__):
        cases = getattr(importlib.import_module(f"tests.support.keras_cases.{room.name}"), "CASES", {})
        for name, case in cases.items():
            # It has hundreds of layers, all of which are in the others.
            if (room.name, name) != ("small", "masks"):
                found[f"{room.name}: {name}"] = _bare(json.loads(model_of(case).to_json()))
    text = json.dumps(found, separators=(",", ":"), sort_keys=True)
    CONFIGS.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(found)} configs, {len(text):,} bytes, {CONFIGS.stat().st_size:,} packed")


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = ("build_config", "shared_object_id")
        kept = {k: v for k, v in value.items() if k not in left_out and not k.endswith("_initializer")}
        return {key: _bare(part) for key, part in kept.items()}
    return [_bare(part) for part in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
