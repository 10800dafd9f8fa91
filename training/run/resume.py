"""Checks that a run can be resumed: with the options, data and conditions that it was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UserError, tell
from . import run_folder


def check(
    folder: Path,
    started: dict[str, Any],
    config: dict[str, Any],
    allow_changed_data: bool,
    allow_changed_conditions: bool = False,
) -> None:
    """Raise `UserError` if a run with the configuration `started` cannot continue with `config`.

    Changed data can be allowed, and so can changed conditions, such as versions, with which results may round
    differently.
    """
    if not all(key in started for key in ("options", "fingerprints", "platform", "versions")):
        raise UserError(
            f"{folder / run_folder.CONFIG}: belongs to a run that wrote no checkpoints; --overwrite replaces it"
        )
    then, now = (dict(side["options"], device=side["platform"]) for side in (started, config))
    same_data, same_model = (started["fingerprints"][of] == config["fingerprints"][of] for of in ("data", "model"))
    if same_data:
        # The same content may have another path.
        then["data"] = now["data"]
    check_options(folder, then, now)
    if not same_model:
        raise UserError(f"{now['model']}: the file has changed since {folder} was started; --overwrite starts again")
    if started["fingerprints"]["shapes"] != config["fingerprints"]["shapes"]:
        message = f"the network for these data has other shapes than when {folder} was started"
        raise UserError(f"{now['data']}: {message}; --overwrite starts again")
    if not same_data and not allow_changed_data:
        raise UserError(
            f"{now['data']}: the data have changed since {folder} was started; --allow-changed-data continues with them"
        )
    was, present = _changes(started, config, same_data)
    if was:
        message = f"{folder} was started with {was}, not {present}: the last digits may differ"
        if not allow_changed_conditions:
            raise UserError(f"{message}; --allow-changed-conditions continues")
        tell(message)


def check_options(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise `UserError` if the run was started with other options."""
    # Earlier versions did not record the algorithm.
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


def _changes(started: dict[str, Any], now: dict[str, Any], same_data: bool) -> tuple[str, str]:
    """The conditions that differ, as text: those when the run was started, and the present ones.

    Conditions that an earlier version did not record are not compared. Programs are compared only for the same data,
    which may be constants in them.
    """
    then, here = _conditions(started), _conditions(now)
    names = [name for name in here if name in then and then[name] != here[name]]
    if not names and same_data and started.get("program", now["program"]) != now["program"]:
        return "other algorithms", "those chosen now"
    was, present = (", ".join(_condition_text(name, side[name]) for name in names) for side in (then, here))
    return was, present


def _conditions(config: dict[str, Any]) -> dict[str, Any]:
    count, shard_length = config.get("devices", (1, 1))
    own = {name: config[name] for name in ("hardware", "cores", "xla_flags") if name in config}
    return {**config["versions"], **own, "--devices": count, "--shard-length": shard_length}


def _condition_text(name: str, value: Any) -> str:
    if name == "xla_flags":
        return f"XLA_FLAGS {value}" if value else "no XLA_FLAGS"
    return str(value) if name == "hardware" else f"{name} {value}"
