"""Checks that a run can be resumed: options, data and conditions must be those that it was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UserError, tell
from . import run_folder


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
        words = f"the network for these data has other shapes than when {folder} was started"
        raise UserError(f"{now['data']}: {words}; --overwrite starts again")
    if not same_data and not allow_changed_data:
        raise UserError(
            f"{now['data']}: the data have changed since {folder} was started; --allow-changed-data continues with them"
        )
    was, present = _changes(begun, config, same_data)
    if was:
        words = f"{folder} was started with {was}, not {present}: the last digits may differ"
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


def _changes(begun: dict[str, Any], now: dict[str, Any], same_data: bool) -> tuple[str, str]:
    """The conditions that differ, in words: those when the run began, and the present ones.

    Conditions that an earlier version did not record are not compared. Programs are compared only for the same data,
    which may be constants in them.
    """
    then, here = _named(begun), _named(now)
    names = [name for name in here if name in then and then[name] != here[name]]
    if not names and same_data and begun.get("program", now["program"]) != now["program"]:
        return "other algorithms", "those chosen now"
    was, present = (", ".join(_words(name, side[name]) for name in names) for side in (then, here))
    return was, present


def _named(config: dict[str, Any]) -> dict[str, Any]:
    count, shard_length = config.get("devices", (1, 1))
    own = {name: config[name] for name in ("hardware", "cores", "xla_flags") if name in config}
    return {**config["versions"], **own, "--devices": count, "--shard-length": shard_length}


def _words(name: str, value: Any) -> str:
    if name == "xla_flags":
        return f"XLA_FLAGS {value}" if value else "no XLA_FLAGS"
    return str(value) if name == "hardware" else f"{name} {value}"
