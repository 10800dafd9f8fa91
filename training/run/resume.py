"""Whether a run can be gone on with: the options and the data must be those that it was begun with."""

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
    """What the numbers of a run depend on, for its `config.json`: options, with what defaults came to, and contents.

    `held` are the examples that are held out for validation, None where none are.
    """
    model = Path(options.model)
    data = data._replace(name="", notes=())
    prints = {
        "data": fingerprint.of(data if held is None else (data, held)),
        "model": fingerprint.of_file(model) if model.is_file() else None,
        "shapes": fingerprint.of(jax.tree.map(lambda array: f"{array.dtype}{array.shape}", learner)),
    }
    return {"options": asked(options, plan), "fingerprints": prints}


def asked(options: Options, plan: Plan) -> dict[str, Any]:
    """The options that the numbers of a run depend on, with what defaults came to."""
    found = {name: value for name, value in options._asdict().items() if name not in FREE}
    return found | {name: value for name, value in plan._asdict().items() if name in found}


def check(
    folder: Path,
    begun: dict[str, Any],
    config: dict[str, Any],
    allow_changed_data: bool,
    allow_changed_conditions: bool = False,
) -> None:
    """Raise `UserError` where a run begun with one configuration cannot go on with the other.

    Other data and other conditions, which may round differently, can be allowed.
    """
    if not all(key in begun for key in ("options", "fingerprints", "platform", "versions")):
        raise UserError(f"{folder / run_folder.CONFIG}: is of a run that wrote no checkpoints; --overwrite it")
    then, now = (dict(side["options"], device=side["platform"]) for side in (begun, config))
    same_data, same_model = (begun["fingerprints"][of] == config["fingerprints"][of] for of in ("data", "model"))
    if same_data:
        # The same content may lie elsewhere.
        then["data"] = now["data"]
    check_options(folder, then, now)
    if not same_model:
        raise UserError(f"{now['model']}: the file has changed since {folder} was begun; --overwrite begins again")
    if begun["fingerprints"]["shapes"] != config["fingerprints"]["shapes"]:
        words = f"the network for it is of other shapes than when {folder} was begun"
        raise UserError(f"{now['data']}: {words}; --overwrite begins again")
    if not same_data and not allow_changed_data:
        raise UserError(
            f"{now['data']}: the data have changed since {folder} was begun; --allow-changed-data goes on with them"
        )
    then, now = changes(begun, config, same_data)
    if then:
        words = f"{folder} was begun with {', '.join(then)}, not {', '.join(now)}: the last digits may differ"
        if not allow_changed_conditions:
            raise UserError(f"{words}; --allow-changed-conditions goes on")
        tell(words)


def check_options(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise `UserError` where the options that a run was begun with are not those of now."""
    # What earlier versions did not record.
    then = {"algorithm": "auto", **then}
    names = [name for name in now if then.get(name) != now[name]]
    if names:
        was, given = (" ".join(_said(name, side.get(name)) for name in names) for side in (then, now))
        raise UserError(f"{folder} was begun with {was}, not {given}; --resume needs the same options")


def _said(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return option if value else f"no {option}"
    return f"no {option}" if value is None else f"{option} {value}"
