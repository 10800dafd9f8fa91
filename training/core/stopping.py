"""When a run ends before its last epoch: by the rows of its metrics alone, so that a resumed one ends likewise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .learner import Row
from .plan import Plan


def watched(plan: Plan, row: Row) -> float:
    """The loss that says which epoch is the best; infinity for NaN."""
    loss = row.validation_loss if plan.watch == "validation" else row.train_loss
    assert loss is not None
    # No number is lower than NaN, so as a first loss it would stay the lowest.
    return math.inf if math.isnan(loss) else loss


def best_epoch(plan: Plan, rows: Sequence[Row]) -> int | None:
    """The first epoch of the lowest loss, None before any whose loss is finite."""
    best = min(rows, key=lambda row: watched(plan, row), default=None)
    return None if best is None or watched(plan, best) == math.inf else best.epoch


def ends(plan: Plan, rows: Sequence[Row]) -> bool:
    """Whether the last `plan.early_stopping` epochs have all had no lower loss than the best before them."""
    return plan.early_stopping is not None and len(rows) - (best_epoch(plan, rows) or 0) >= plan.early_stopping
