"""A JSON text into dicts and lists, in bounded time, memory and depth."""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import KerasFileError
from .limits import CONFIG_BYTES, CONFIG_DEPTH

# A whole string, or one bracket outside of strings.
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def parse(data: bytes, what: str) -> dict[str, Any]:
    """The dict that `data` describes.

    Raises `KerasFileError`, naming `what`, for anything but a JSON object in UTF-8, one larger or deeper than the
    limits, one with a key twice, and one with NaN or infinite numbers, which JSON does not have.

    >>> parse(b'{"layers": [1, 2]}', "config.json")
    {'layers': [1, 2]}
    """
    if len(data) > CONFIG_BYTES:
        raise KerasFileError(f"{what} has {len(data):,} bytes; more than {CONFIG_BYTES:,} describe no model")
    _check_depth(data, what)
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise KerasFileError(f"{what} is not a JSON text in UTF-8: {reason}") from None
    if not isinstance(value, dict):
        raise KerasFileError(f"{what} must hold an object, got {type(value).__name__}")
    return value


def _check_depth(data: bytes, what: str) -> None:
    # Before parsing: a parser that calls itself would run out of stack first.
    depth = 0
    for match in TOKEN.finditer(data):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth > CONFIG_DEPTH:
                raise KerasFileError(f"{what} nests deeper than {CONFIG_DEPTH} levels")
        elif token in (b"]", b"}"):
            depth -= 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice")
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
