"""Digests of what a run depends on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np


def of(tree: Any) -> str:
    """The SHA-256 of the arrays and other values of a tree, with their paths, types and shapes.

    >>> of({"x": np.zeros(3)}) == of({"x": np.zeros(3)}), of({"x": np.zeros(3)}) == of({"x": np.zeros((3, 1))})
    (True, False)
    """
    digest = hashlib.sha256()
    for path, value in jax.tree_util.tree_leaves_with_path(tree):
        digest.update(jax.tree_util.keystr(path).encode())
        if hasattr(value, "dtype"):
            array = np.ascontiguousarray(value)
            digest.update(f"{array.dtype} {np.shape(value)} ".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def of_file(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
