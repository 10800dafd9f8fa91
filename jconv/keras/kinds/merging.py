"""Layers that merge several inputs."""

from __future__ import annotations

from ...layers import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
from .config import as_lists, flag, integer, one_or_more_integers
from .kind import Key, Kind

KINDS = (
    *(Kind(layer, mask="propagate", mask_join="any") for layer in (Add, Average, Subtract)),
    *(Kind(layer, mask="propagate", mask_join="any", reads_masks=True) for layer in (Maximum, Minimum, Multiply)),
    Kind(Concatenate, (Key("axis", integer),), mask="propagate", mask_join="concatenate"),
    Kind(Dot, (Key("axes", one_or_more_integers, as_lists), Key("normalize", flag))),
)
