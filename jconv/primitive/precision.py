"""The `precision` of a call: checked once, and each meaning one value."""

from __future__ import annotations

from typing import Any

from jax.lax import DotAlgorithm, DotAlgorithmPreset, Precision

from .jax_context import default_matmul_precision

Canonical = Precision | tuple[Precision, Precision] | None
# These ask for products and sums in the operands' own type. lax's convolution takes any other preset for its default.
FULL = (DotAlgorithmPreset.F32_F32_F32, DotAlgorithmPreset.F64_F64_F64)


def canonical_precision(precision: Any) -> Canonical:
    """What a caller's `precision` means to a convolution; None is `jax.default_matmul_precision`, if that is set.

    Args:
      precision: None, a name, a `jax.lax.Precision`, a pair of these for both operands, a `jax.lax.DotAlgorithmPreset`
        or its name, or a `jax.lax.DotAlgorithm`.

    Returns:
      One precision, a pair of two that differ, or None.

    Raises:
      ValueError: for anything else.

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
        both = tuple(_one(one) for one in precision)
        if len(both) == 2 and both[0] is not None and both[1] is not None:
            return both[0] if both[0] == both[1] else (both[0], both[1])
    elif (one := _one(precision)) is not None:
        return one
    elif (algorithm := _algorithm(precision)) is not None:
        return Precision.HIGHEST if algorithm in FULL else Precision.DEFAULT
    raise ValueError(
        "precision must be None, default, high or highest, a jax.lax.Precision, a pair of these, or a "
        f"jax.lax.DotAlgorithmPreset, got {precision!r}"
    )


def wants_highest(precision: Canonical) -> bool:
    """Whether an operand is to have the highest precision.

    >>> wants_highest(Precision.HIGHEST), wants_highest(None)
    (True, False)
    """
    return Precision.HIGHEST in (precision if isinstance(precision, tuple) else (precision,))


def _one(precision: Any) -> Precision | None:
    """The precision of one operand; None if it is none."""
    if not isinstance(precision, (str, Precision)):
        return None
    try:
        return Precision(precision)
    except ValueError:
        return None


def _algorithm(precision: Any) -> DotAlgorithm | DotAlgorithmPreset | None:
    if isinstance(precision, str):
        return DotAlgorithmPreset.__members__.get(precision)
    return precision if isinstance(precision, (DotAlgorithm, DotAlgorithmPreset)) else None
