"""Published ways to train, by name, each with its numbers and its source."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import UserError
from .plan import Plan


class Numbers(NamedTuple):
    """What a protocol says of a network: epochs, and the batch, a tenth of the training set and at most `batch`."""

    epochs: int
    batch: int


PROTOCOLS: dict[str, dict[str, Numbers]] = {
    # Fawaz et al., Deep learning for time series classification: a review, Data Mining and Knowledge Discovery 2019,
    # section 4 and its code: Adam at 0.001, halved after 50 epochs of no lower training loss, to 0.0001 at least; the
    # params of the lowest training loss; each series moved to mean 0 and scaled to deviation 1.
    "dl4tsc": {"fcn": Numbers(2000, 16), "resnet": Numbers(1500, 64)},
}


def numbers(protocol: str, network: str) -> Numbers:
    """Those of a protocol for a network. Raises `UserError` for a network of which it says nothing.

    >>> numbers("dl4tsc", "fcn").epochs
    2000
    """
    said = PROTOCOLS[protocol]
    if network not in said:
        raise UserError(f"--protocol {protocol} is one for {' and '.join(said)}, not for {network}")
    return said[network]


def plan(
    protocol: str,
    network: str,
    examples: int,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    optimizer: str | None = None,
    seed: int = 0,
) -> Plan:
    """The plan of a protocol for so many training examples, with what is given in place of its own.

    Raises `UserError` as `numbers` does.

    >>> plan("dl4tsc", "fcn", 50)[:3], plan("dl4tsc", "fcn", 390).batch_size, plan("dl4tsc", "fcn", 7).batch_size
    ((2000, 5, 0.001), 16, 1)
    """
    own = numbers(protocol, network)
    epochs = epochs or own.epochs
    return Plan(
        epochs=epochs,
        batch_size=batch_size or max(1, min(examples // 10, own.batch)),
        learning_rate=learning_rate or 1e-3,
        seed=seed,
        evaluate_every=-(-epochs // 50),
        optimizer=optimizer or "adam",
        keep="best",
        schedule="plateau",
    )
