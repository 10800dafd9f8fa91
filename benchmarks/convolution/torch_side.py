# pyright: reportMissingImports=false
# It is checked where the library is installed; the test extra does not install it.

"""PyTorch's programs of a row, in its usual layout, channels before time; arrays are transposed before the timing.

PyTorch pads both ends equally, so a causal convolution is written in the two usual ways: pad first, or pad both ends
and drop the end. An ensemble is a loop over its models or a vmap. Only the fastest way is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..shared.timing import Call, once
from .programs import Program
from .rows import Operands, Row

Convolution = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Operations = tuple[torch.Tensor, ...]


def convolutions(row: Row) -> list[Convolution]:
    """The ways to write one convolution of the row."""
    low, high = row.amounts
    options: dict[str, Any] = {"stride": row.stride, "dilation": row.dilation, "groups": row.groups}
    if row.transposed:
        longer = max(row.stride - row.reach, 0)
        return [lambda x, w: F.conv_transpose1d(x, w, output_padding=longer, **options)]
    if low == high:
        return [lambda x, w: F.conv1d(x, w, padding=low, **options)]
    ways: list[Convolution] = [lambda x, w: F.conv1d(F.pad(x, (low, high)), w, **options)]
    if low > high:
        ways.append(lambda x, w: F.conv1d(x, w, padding=low, **options)[..., : row.out_length])
    return ways


def forward_program(row: Row, o: Operands, device: str = "cpu") -> Program:
    """The forward pass."""
    x, kernel, _ = _placed(o, device)

    def call(function: Callable[..., Any]) -> Call:
        def run() -> Any:
            with torch.inference_mode():
                return _wait((function(x, kernel),), device)

        return run

    return _fastest([call(f) for way in convolutions(row) for f in _over_models(row, way, way)])


def gradient_program(row: Row, o: Operands, device: str = "cpu") -> Program:
    """The forward pass and both gradients, by autograd; for an ensemble also by `torch.func`."""
    placed = _placed(o, device)

    def call(function: Callable[..., Operations]) -> Call:
        return lambda: _wait(function(*placed), device)

    ways = [(partial(_gradients, way), partial(_functional, way)) for way in convolutions(row)]
    return _fastest([call(f) for looped, mapped in ways for f in _over_models(row, looped, mapped)])


def set_threads(cores: int) -> None:
    """Use as many threads as JAX, and true float32, also on a GPU."""
    torch.set_num_threads(cores)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _gradients(convolution: Convolution, x: torch.Tensor, kernel: torch.Tensor, y_bar: torch.Tensor) -> Operations:
    leaves = [a.detach().requires_grad_() for a in (x, kernel)]
    y = convolution(*leaves)
    return y.detach(), *torch.autograd.grad(y, leaves, y_bar)


def _functional(convolution: Convolution, x: torch.Tensor, kernel: torch.Tensor, y_bar: torch.Tensor) -> Operations:
    y, pull = torch.func.vjp(convolution, x, kernel)[:2]
    return y, *pull(y_bar)


def _over_models(row: Row, looped: Callable[..., Any], mapped: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The function itself; for an ensemble, a loop over the models with stacked results, and a vmap."""
    if row.ensemble == 1:
        return [looped]

    def loop(x: torch.Tensor, kernel: torch.Tensor, *others: torch.Tensor) -> Any:
        kernels = [kernel] * row.ensemble if row.shared_kernel else kernel
        results = [looped(*one) for one in zip(x, kernels, *others, strict=True)]
        if isinstance(results[0], torch.Tensor):
            return torch.stack(results)
        return tuple(torch.stack(operation) for operation in zip(*results, strict=True))

    def over_all(*operands: torch.Tensor) -> Any:
        axes = (0, None if row.shared_kernel else 0, 0)
        return torch.func.vmap(mapped, axes[: len(operands)])(*operands)

    return [loop, over_all]


def _placed(o: Operands, device: str) -> list[torch.Tensor]:
    """`x` and `y_bar` as (..., channels, time), and the kernel as (..., out, in, taps)."""
    x, y_bar = (_tensor(np.swapaxes(a, -1, -2), device) for a in (o.x, o.y_bar))
    return [x, _tensor(np.swapaxes(o.kernel, -1, -3), device), y_bar]


def _tensor(array: Any, device: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _wait(result: Operations, device: str) -> Operations:
    if device != "cpu":
        torch.cuda.synchronize()
    return result


def _read(result: Operations) -> tuple[Any, ...]:
    arrays = [operation.cpu().numpy() for operation in result]
    turned = [np.swapaxes(operation, -1, -2) for operation in arrays[:2]]
    return *turned, *(np.swapaxes(operation, -1, -3) for operation in arrays[2:])


def _fastest(calls: Sequence[Call]) -> Program:
    """The program with the fastest of the calls, by the time of the second call."""
    best = min(calls, key=_second) if len(calls) > 1 else calls[0]
    return Program(best, best, _read)


def _second(call: Call) -> float:
    call()
    return once(call)[1]
