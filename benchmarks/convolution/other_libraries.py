"""The other libraries that are installed, and a line for each that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .programs import ONNX, TORCH, Program
from .rows import Operands, Row

Build = Callable[[Row, Operands], Program]


class Library(NamedTuple):
    """The functions that build a library's programs; None for a program that it does not have."""

    forward: Build
    gradients: Build | None


def find(device: str, cores: int) -> tuple[dict[str, Library], list[str]]:
    """The installed libraries by name, set up for a device, and why the others are left out."""
    found, missing = {}, []
    for name, load in ((TORCH, _torch), (ONNX, _onnx)):
        try:
            found[name] = load(device, cores)
        except (ImportError, LookupError) as error:
            missing.append(f"{name} is left out: {error}")
    return found, missing


def _torch(device: str, cores: int) -> Library:
    from . import torch_side

    torch_side.set_threads(cores)
    if device == "gpu" and not torch_side.torch.cuda.is_available():
        raise LookupError("this PyTorch finds no GPU")
    where = "cuda" if device == "gpu" else "cpu"
    return Library(
        lambda row, o: torch_side.forward_program(row, o, where),
        lambda row, o: torch_side.gradient_program(row, o, where),
    )


def _onnx(device: str, cores: int) -> Library:
    if device == "gpu":
        raise LookupError("it is measured on a CPU only")
    from . import onnx_side

    return Library(lambda row, o: onnx_side.forward_program(row, o, cores), None)
