"""Files and configs that fuzz tests change, and files that caused errors in the reader."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CONFIGS = FOLDER / "configs.json.gz"


def configs() -> dict[str, Any]:
    """Configs of Functional models, by name, that together contain nearly every layer; see `fuzz/make_seeds.py`."""
    return json.loads(gzip.decompress(CONFIGS.read_bytes()))


def found() -> dict[str, bytes]:
    """Files, by name, with which a fuzzer found errors in the reader."""
    return {path.name: path.read_bytes() for path in sorted((FOLDER / "found").glob("*"))}
