"""Published training protocols by name."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import UserError
from .plan import Plan


class Settings(NamedTuple):
    """A protocol's settings for a network. A batch is a tenth of the training set, and has at most `batch` examples."""

    epochs: int
    batch: int


PROTOCOLS: dict[str, dict[str, Settings]] = {
    # Fawaz et al., Deep learning for time series classification: a review, Data Mining and Knowledge Discovery 2019,
    # section 4 and its code: Adam at 0.001, halved after 50 epochs without a lower training loss, down to 0.0001; the
    # params of the lowest training loss; each series standardized separately.
    "dl4tsc": {"fcn": Settings(2000, 16), "resnet": Settings(1500, 64)},
}


def settings(protocol: str, network: str) -> Settings:
    """The settings of a protocol for a network. Raises `UserError` for a network that it does not cover.

    >>> settings("dl4tsc", "fcn").epochs
    2000
    """
    networks = PROTOCOLS[protocol]
    if network not in networks:
        raise UserError(f"--protocol {protocol} supports --model {' and '.join(networks)}, not {network}")
    return networks[network]


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
    """The plan of a protocol for a number of training examples; arguments replace the protocol's own values.

    Raises `UserError` as `settings` does.

    >>> plan("dl4tsc", "fcn", 50)[:3], plan("dl4tsc", "fcn", 390).batch_size, plan("dl4tsc", "fcn", 7).batch_size
    ((2000, 5, 0.001), 16, 1)
    """
    own = settings(protocol, network)
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
