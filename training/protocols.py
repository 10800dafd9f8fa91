"""Published ways to train, by name, each with its numbers and its source."""

from __future__ import annotations

from typing import NamedTuple

from .errors import UserError


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


def batch_size(own: Numbers, examples: int) -> int:
    """The examples of a step.

    >>> batch_size(Numbers(2000, 16), 50), batch_size(Numbers(2000, 16), 390), batch_size(Numbers(2000, 16), 7)
    (5, 16, 1)
    """
    return max(1, min(examples // 10, own.batch))
