"""The types of NumPy arrays, and of params and state: dicts of arrays by layer and name."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Tree = dict[str, dict[str, Any]]
