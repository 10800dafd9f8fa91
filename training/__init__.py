"""Training 1-D convolutional networks on series, with the gradients proved first: `python -m training.fit`."""

from .commands.names import check as _check

# The one place that Python passes before any module of the package that it runs.
_check()
