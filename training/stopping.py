"""When a run ends before its last epoch: by the rows of its metrics alone, so that a resumed one ends likewise."""

from __future__ import annotations

from collections.abc import Sequence

from .learner import Row
from .plan import Plan


def watched(plan: Plan, row: Row) -> float:
    """The loss that says which epoch is the best."""
    loss = row.validation_loss if plan.watch == "validation" else row.train_loss
    assert loss is not None
    return loss


def best_epoch(plan: Plan, rows: Sequence[Row]) -> int | None:
    """The first epoch of the lowest loss, None before any."""
    return min(rows, key=lambda row: watched(plan, row)).epoch if rows else None


def ends(plan: Plan, rows: Sequence[Row]) -> bool:
    """Whether the last `plan.early_stopping` epochs have all had no lower loss than the best before them."""
    best = best_epoch(plan, rows)
    return plan.early_stopping is not None and best is not None and len(rows) - best >= plan.early_stopping
