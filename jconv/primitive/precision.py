"""Checks the `precision` of a call and converts equivalent values to the same value."""

from __future__ import annotations

from typing import Any

from jax.lax import DotAlgorithm, DotAlgorithmPreset, Precision

from .jax_context import default_matmul_precision

Canonical = Precision | tuple[Precision, Precision] | None
# Presets that multiply and add in the dtype of the operands. lax's convolution treats all other presets as the default.
FULL_PRECISION = (DotAlgorithmPreset.F32_F32_F32, DotAlgorithmPreset.F64_F64_F64)


def canonical_precision(precision: Any) -> Canonical:
    """Returns what `precision` means to a convolution. None means `jax.default_matmul_precision`, if that is set.

    Args:
        precision: None, a name, a `jax.lax.Precision`, a pair of these for both operands, a
            `jax.lax.DotAlgorithmPreset` or its name, or a `jax.lax.DotAlgorithm`.

    Returns:
        One precision, a pair of two that differ, or None.

    Raises:
        ValueError: `precision` is anything else.

    >>> [str(canonical_precision(precision)) for precision in ("highest", ["float32", "highest"], "F32_F32_F32")]
    ['HIGHEST', 'HIGHEST', 'HIGHEST']
    >>> canonical_precision(("default", "high"))
    (Precision.DEFAULT, Precision.HIGH)
    """
    if precision is None:
        precision = default_matmul_precision()
    if precision is None:
        return None
    if isinstance(precision, (list, tuple)) and not isinstance(precision, DotAlgorithm):
        pair = tuple(_parse_precision(one) for one in precision)
        if len(pair) == 2 and pair[0] is not None and pair[1] is not None:
            return pair[0] if pair[0] == pair[1] else (pair[0], pair[1])
    elif (parsed := _parse_precision(precision)) is not None:
        return parsed
    elif (algorithm := _parse_dot_algorithm(precision)) is not None:
        return Precision.HIGHEST if algorithm in FULL_PRECISION else Precision.DEFAULT
    raise ValueError(
        "precision must be None, default, high or highest, a jax.lax.Precision, a pair of these, or a "
        f"jax.lax.DotAlgorithmPreset, got {precision!r}"
    )


def wants_highest(precision: Canonical) -> bool:
    """Returns whether the precision of any operand is the highest.

    >>> wants_highest(Precision.HIGHEST), wants_highest(None)
    (True, False)
    """
    return Precision.HIGHEST in (precision if isinstance(precision, tuple) else (precision,))


def _parse_precision(precision: Any) -> Precision | None:
    if not isinstance(precision, (str, Precision)):
        return None
    try:
        return Precision(precision)
    except ValueError:
        return None


def _parse_dot_algorithm(precision: Any) -> DotAlgorithm | DotAlgorithmPreset | None:
    if isinstance(precision, str):
        return DotAlgorithmPreset.__members__.get(precision)
    return precision if isinstance(precision, (DotAlgorithm, DotAlgorithmPreset)) else None
