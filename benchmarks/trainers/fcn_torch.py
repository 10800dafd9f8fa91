"""The network in PyTorch, in an ordinary training loop, with and without `torch.compile`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from . import fcn

# PyTorch warns that it pads the input of the first layer, which has 8 taps.
warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths")


class Torch:
    """An `nn.Sequential`, channels first, with Adam and the cross-entropy of logits."""

    version = f"PyTorch {torch.__version__}"

    def __init__(self, batch_size: int, compiled: bool) -> None:
        torch.manual_seed(0)
        x, y = fcn.series(batch_size)
        self.batch_size = batch_size
        self.x, self.y = torch.from_numpy(x.transpose(0, 2, 1).copy()), torch.from_numpy(y).long()
        model = _model()
        self.adam = torch.optim.Adam(model.parameters(), fcn.LEARNING_RATE, eps=fcn.ADAM_EPSILON)
        self.model: Any = torch.compile(model) if compiled else model
        self.loss = nn.CrossEntropyLoss()

    def losses(self) -> list[float]:
        """See `fcn.Trainer`."""
        return [float(self._step(slice(self.batch_size))) for _ in range(2)]

    def run(self, epochs: int) -> None:
        """See `fcn.Trainer`."""
        for _ in range(epochs):
            loss = torch.zeros(())
            for rows in torch.randperm(len(self.x)).split(self.batch_size):
                loss = self._step(rows)
            float(loss)

    def _step(self, rows: Any) -> torch.Tensor:
        self.adam.zero_grad()
        loss = self.loss(self.model(self.x[rows]), self.y[rows])
        loss.backward()
        self.adam.step()
        return loss.detach()


SIDES: dict[str, Callable[[int], fcn.Trainer]] = {
    "eager": partial(Torch, compiled=False),
    "compiled": partial(Torch, compiled=True),
}


def _model() -> nn.Module:
    parts: list[nn.Module] = []
    in_channels = fcn.CHANNELS
    for filters, kernel_size in fcn.BLOCKS:
        parts.append(nn.Conv1d(in_channels, filters, kernel_size, padding="same"))
        parts.append(nn.BatchNorm1d(filters, eps=fcn.NORM_EPSILON, momentum=1 - fcn.NORM_MOMENTUM))
        parts.append(nn.ReLU())
        in_channels = filters
    parts += [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(in_channels, fcn.CLASSES)]
    model = nn.Sequential(*parts)
    values = (array for layer in fcn.initial_params().values() for array in layer.values())
    with torch.no_grad():
        # Kernels (taps, in, out) or (in, out) are (out, in, taps) or (out, in) in PyTorch.
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.copy_(torch.from_numpy(value.T.copy()))
    return model
