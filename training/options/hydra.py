"""The options of `training.fit` that apply to `--model hydra`, which trains no network."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .options import FREE, Options

HYDRA_OPTIONS = (
    *("data", "channels", "model", "task", "validation", "fold", "folds", "seed"),
    *("out", "overwrite", "resume", "json", "device", "skip_proof"),
)
"""The options that a run of Hydra has."""


def check(options: Options) -> None:
    """Raise `UserError` for options that do not apply to `--model hydra`."""
    given = [name for name in options.given if name.removeprefix("--").replace("-", "_") not in HYDRA_OPTIONS]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in HYDRA_OPTIONS if name != "skip_proof")
        raise UserError(f"{given[0]} does not apply to --model hydra, which trains no network; it has {names}")
    if options.task not in (None, "classification"):
        raise UserError(f"--model hydra does not support --task {options.task}; it classifies series")


def recorded(options: Options) -> dict[str, Any]:
    """The options that the results of `--model hydra` depend on."""
    return {name: getattr(options, name) for name in HYDRA_OPTIONS if name not in FREE}
