"""Train 1-D convolutional networks on series, after a proof of their gradients: `python -m training.fit`."""

from .commands.names import check as _check

# Python runs this before any module of the package that is given to `python -m`.
_check()
