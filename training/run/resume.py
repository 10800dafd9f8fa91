"""Checks that a run can be resumed: options, data and conditions must be those that it was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from ..core.learner import Learner
from ..core.plan import Plan
from ..data.datasets import Dataset
from ..errors import UserError, tell
from ..options.options import FREE, Options
from . import fingerprint, run_folder
from .conditions import changes


def identity(options: Options, plan: Plan, data: Dataset, held: Any, learner: Learner) -> dict[str, Any]:
    """What the results of a run depend on, for `config.json`: options with the values of defaults, and fingerprints.

    `held` are the examples held out for validation, None without any.
    """
    model = Path(options.model)
    data = data._replace(name="", notes=())
    prints = {
        "data": fingerprint.of(data if held is None else (data, held)),
        "model": fingerprint.of_file(model) if model.is_file() else None,
        "shapes": fingerprint.of(jax.tree.map(lambda array: f"{array.dtype}{array.shape}", learner)),
    }
    return {"options": recorded_options(options, plan), "fingerprints": prints}


def recorded_options(options: Options, plan: Plan) -> dict[str, Any]:
    """The options that the results of a run depend on, with the values of their defaults."""
    found = {name: value for name, value in options._asdict().items() if name not in FREE}
    return found | {name: value for name, value in plan._asdict().items() if name in found}


def check(
    folder: Path,
    begun: dict[str, Any],
    config: dict[str, Any],
    allow_changed_data: bool,
    allow_changed_conditions: bool = False,
) -> None:
    """Raise `UserError` if a run that was started with one configuration cannot continue with another.

    Changed data, and changed conditions, which may round differently, can be allowed.
    """
    if not all(key in begun for key in ("options", "fingerprints", "platform", "versions")):
        raise UserError(f"{folder / run_folder.CONFIG}: is of a run that wrote no checkpoints; --overwrite replaces it")
    then, now = (dict(side["options"], device=side["platform"]) for side in (begun, config))
    same_data, same_model = (begun["fingerprints"][of] == config["fingerprints"][of] for of in ("data", "model"))
    if same_data:
        # The same content may have another path.
        then["data"] = now["data"]
    check_options(folder, then, now)
    if not same_model:
        raise UserError(f"{now['model']}: the file has changed since {folder} was started; --overwrite starts again")
    if begun["fingerprints"]["shapes"] != config["fingerprints"]["shapes"]:
        words = f"the network for it has other shapes than when {folder} was started"
        raise UserError(f"{now['data']}: {words}; --overwrite starts again")
    if not same_data and not allow_changed_data:
        raise UserError(
            f"{now['data']}: the data have changed since {folder} was started; --allow-changed-data continues with them"
        )
    then, now = changes(begun, config, same_data)
    if then:
        words = f"{folder} was started with {', '.join(then)}, not {', '.join(now)}: the last digits may differ"
        if not allow_changed_conditions:
            raise UserError(f"{words}; --allow-changed-conditions continues")
        tell(words)


def check_options(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise `UserError` if the run was started with other options."""
    # Earlier versions did not record it.
    then = {"algorithm": "auto", **then}
    names = [name for name in now if then.get(name) != now[name]]
    if names:
        was, given = (" ".join(_option_text(name, side.get(name)) for name in names) for side in (then, now))
        raise UserError(f"{folder} was started with {was}, not {given}; --resume needs the same options")


def _option_text(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return option if value else f"no {option}"
    return f"no {option}" if value is None else f"{option} {value}"
