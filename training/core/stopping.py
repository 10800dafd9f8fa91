"""Early stopping. It depends on the rows of the metrics alone, so a resumed run stops at the same epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .learner import Row
from .plan import Plan


def watched_loss(plan: Plan, row: Row) -> float:
    """The loss that decides which epoch is the best; infinity if it is NaN, because a NaN cannot be compared."""
    loss = row.validation_loss if plan.watch == "validation" else row.train_loss
    assert loss is not None
    return math.inf if math.isnan(loss) else loss


def best_epoch(plan: Plan, rows: Sequence[Row]) -> int | None:
    """The first epoch with the lowest loss; None if no loss is finite."""
    best = min(rows, key=lambda row: watched_loss(plan, row), default=None)
    return None if best is None or watched_loss(plan, best) == math.inf else best.epoch


def should_stop(plan: Plan, rows: Sequence[Row]) -> bool:
    """Whether the loss has not improved for `plan.early_stopping` epochs."""
    return plan.early_stopping is not None and len(rows) - (best_epoch(plan, rows) or 0) >= plan.early_stopping
