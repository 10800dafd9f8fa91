"""A fitted ridge classifier on Hydra's features, which predicts without scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..errors import UserError
from ..options.options import HYDRA
from ..run import run_folder, trained
from ..tasks.metrics import softmax
from . import hydra_features


class HydraRidge(NamedTuple):
    """The random kernels, the scaling of their features, and the ridge classifier on them.

    `scaling` is what `sparse_scaling` returns. `coefficients` are (rows, features) and `intercept`
    (rows,): one row for two classes, else one per class. `numbers` are the class numbers in the training set, and
    `classes` is the number of classes of the data.
    """

    hydra: hydra_features.Hydra
    scaling: tuple[Array, Array]
    coefficients: Array
    intercept: Array
    numbers: Array
    classes: int

    def probabilities(self, x: Any, lengths: Any = None) -> Array:
        """The softmax of the ridge classifier's scores (n, classes) of series x (n, length, channels)."""
        features = features_of(self.hydra, x, lengths)
        scores = scaled(features, self.scaling) @ self.coefficients.T + self.intercept
        found = np.zeros((len(features), self.classes))
        found[:, self.numbers] = softmax_of_scores(scores[:, 0] if scores.shape[1] == 1 else scores)
        return found


def features_of(hydra: hydra_features.Hydra, x: Array, lengths: Any = None) -> Array:
    """Hydra's features (n, features) of series x (n, length, channels), float32.

    Raises:
        UserError: for values that are too large for float32.
    """
    with np.errstate(over="ignore"):
        found = np.asarray(hydra_features.features(hydra, x, lengths))
    bad = ~np.isfinite(found).all(1)
    if bad.any():
        number = int(bad.argmax())
        largest = f"values up to {abs(x[number]).max():g}, too large for features in float32"
        raise UserError(f"series {number + 1} has {largest}; use another unit")
    return found


def softmax_of_scores(scores: Array) -> Array:
    """Probabilities (n, classes) of a linear classifier's scores, (n,) of two classes, else (n, classes).

    >>> softmax_of_scores(np.array([0.0])).tolist()
    [[0.5, 0.5]]
    """
    return softmax(np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores)


def sparse_scaling(features: Array) -> tuple[Array, Array]:
    """The mean of each feature's square root, and its standard deviation plus a term for its zeros.

    The term is the fourth power of the fraction of zeros. Without it, a feature that is rarely nonzero would be
    scaled up to the size of the others.
    """
    roots = np.sqrt(np.maximum(features, 0))
    zeros = (roots == 0).mean(0) ** 4 + 1e-8
    return roots.mean(0), (roots.std(0, ddof=1) + zeros).astype(features.dtype)


def scaled(features: Array, scaling: tuple[Array, Array]) -> Array:
    """Square roots minus `scaling[0]`, divided by `scaling[1]`; zeros stay zero.

    >>> scaled(np.array([[0.0, 4.0]]), (np.array([1.0, 1.0]), np.array([2.0, 2.0]))).tolist()
    [[0.0, 0.5]]
    """
    roots = np.sqrt(np.maximum(features, 0))
    return np.where(roots != 0, (roots - scaling[0]) / scaling[1], 0)


def arrays(model: HydraRidge) -> dict[str, dict[str, Array]]:
    """The arrays by name, for `run_folder.write_params`."""
    kernels, mixing = model.hydra
    return {
        "hydra": {"kernels": kernels} | ({} if mixing is None else {"mixing": mixing}),
        "scaling": {"mean": model.scaling[0], "deviation": model.scaling[1]},
        "ridge": {
            "coefficients": model.coefficients,
            "intercept": model.intercept,
            "classes": model.numbers,
        },
    }


class TrainedHydra(NamedTuple):
    """A run of `training.fit --model hydra`, for `training.predict`, with the fields of `trained.Trained`."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int]
    is_fixed: bool
    channels_first: bool
    model: HydraRidge
    kind: str = "classification"
    x64: bool = False

    @property
    def length(self) -> int:
        """The length of the longest training series."""
        return self.shape[0]


def read(folder: Path) -> TrainedHydra | None:
    """The classifier of a run folder; None if the folder has another model.

    Raises `UserError` if its files are missing, damaged, or of another version.
    """
    config = run_folder.read_json(folder, run_folder.CONFIG)
    if config is None or config.get("model") != HYDRA:
        return None
    params, _ = trained.read_arrays(folder)
    try:
        hydra = hydra_features.Hydra(params["hydra"]["kernels"], params["hydra"].get("mixing"))
        scaling = params["scaling"]["mean"], params["scaling"]["deviation"]
        coefficients, intercept, numbers = (params["ridge"][name] for name in ("coefficients", "intercept", "classes"))
        classes, shape = tuple(config["classes"]), tuple(config["series_shape"])
        channels_first = config["options"]["channels"] == "first"
        model = HydraRidge(hydra, scaling, coefficients, intercept, numbers, len(classes))
        return TrainedHydra(str(folder), classes, shape, not config["unequal_lengths"], channels_first, model)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{folder}: {run_folder.CONFIG} is not what this version writes") from None
