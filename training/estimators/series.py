"""Series and targets as scikit-learn and aeon pass them, checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ..arrays import Array
from ..data.datasets import Series
from ..data.parts import pad_series

# Any, since type checkers take scikit-learn's parameters for text, as their defaults are.
FLOAT: Any = np.float64


def read_series(estimator: Any, X: Any, *, fitting: bool) -> Series:
    """X as series (n, length, channels), with zeros after the end of shorter ones.

    Args:
        estimator: when it is fitted, it gets the attribute `series_shape_`, (length, channels), and for tables
            `n_features_in_` and `feature_names_in_`.
        X: an array (n, channels, length) or (n, length), or a list of arrays (channels, length) or (length,), which may
            differ in length; an array of objects is such a list.
        fitting: whether the estimator is being fitted; otherwise the series must have the channels of the series that
            it was fitted to, and their length if they had one length.

    Raises:
        ValueError: for other shapes, and for missing or infinite values.
    """
    fewest = 2 if fitting else 1
    if fitting:
        # They describe a table that the estimator was fitted to before.
        for name in ("n_features_in_", "feature_names_in_"):
            vars(estimator).pop(name, None)
    if _is_list_of_series(X):
        series = _padded(list(_checked(X)))
        check_array(series.x[:, 0], ensure_min_samples=fewest)
    elif getattr(X, "ndim", 2) == 3:
        x = check_array(X, allow_nd=True, dtype=FLOAT, ensure_min_samples=fewest)
        series = Series(x.swapaxes(1, 2), None)
    else:
        table: Any = X
        x = validate_data(estimator, table, reset=fitting, dtype=FLOAT, ensure_min_samples=fewest)
        series = Series(np.asarray(x)[:, :, None], None)
    length, channels = series.x.shape[1:]
    shape = None if series.lengths is not None else length, channels
    if fitting:
        estimator.series_shape_ = shape
    else:
        _check_same_shape(estimator, shape)
    return series


def class_numbers(estimator: Any, series: Series, y: Any) -> Array:
    """The number of the class of each series; the classes, in order, become `estimator.classes_`.

    Raises:
        ValueError: for labels that are not one class for each series, and for fewer than two classes.
    """
    y = _targets(estimator, series, y)
    check_classification_targets(y)
    estimator.classes_, numbers = np.unique(y, return_inverse=True)
    if len(estimator.classes_) < 2:
        raise ValueError(f"y has one class, {estimator.classes_.tolist()[0]!r}; at least two classes are needed")
    return numbers.astype(np.int32)


def target_values(estimator: Any, series: Series, y: Any) -> Array:
    """The targets of a regression (n,).

    Raises:
        ValueError: for targets that are not one finite number for each series.
    """
    return check_array(_targets(estimator, series, y), ensure_2d=False, dtype=FLOAT, input_name="y")


def _targets(estimator: Any, series: Series, y: Any) -> Array:
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    y = column_or_1d(y, warn=True)
    check_consistent_length(series.x, y)
    return y


def _is_list_of_series(X: Any) -> bool:
    """Whether X is a list of arrays, or of lists that cannot be rows of a table: of unequal length or with channels."""
    if isinstance(X, np.ndarray):
        return X.dtype == object and X.ndim == 1 and any(np.ndim(one) for one in X)
    if not isinstance(X, (list, tuple)):
        return False
    rows = [one for one in X if isinstance(one, (list, tuple))]
    has_channels = any(isinstance(one[0], (list, tuple)) for one in rows if one)
    return any(isinstance(one, np.ndarray) for one in X) or has_channels or len({len(one) for one in rows}) > 1


def _checked(X: Any) -> Iterator[Array]:
    """Each series as (length, channels)."""
    for number, one in enumerate(X):
        one = np.asarray(one)
        if one.ndim not in (1, 2) or not one.size:
            raise ValueError(
                f"X[{number}] must be (channels, length) or (length,) and not empty, got shape {one.shape}"
            )
        yield check_array(one.reshape(-1, one.shape[-1]), dtype=FLOAT, input_name=f"X[{number}]").T


def _padded(rows: list[Array]) -> Series:
    channels = {row.shape[1] for row in rows}
    if len(channels) > 1:
        raise ValueError(f"all series of X must have the same number of channels, got {sorted(channels)}")
    lengths = np.array([len(row) for row in rows], np.int32)
    return Series(pad_series(rows, 0.0), None if (lengths == lengths[0]).all() else lengths)


def _check_same_shape(estimator: Any, shape: tuple[int | None, int]) -> None:
    length, channels = estimator.series_shape_
    if shape[1] != channels:
        raise ValueError(f"series must have {channels} channels, as in fit, got {shape[1]}")
    if length is not None and shape[0] != length:
        found = "several lengths" if shape[0] is None else f"{shape[0]}"
        raise ValueError(
            f"series must have {length} samples, as in fit, got {found}; fit with a list of series of unequal length "
            "to predict for any length"
        )
