"""A JSON text into dicts and lists, in bounded time, memory and depth."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from .errors import KerasFileError
from .limits import CONFIG_BYTES, CONFIG_DEPTH, CONFIG_VALUES

# A whole string, or the rest of the text where it has no end. The possessive quantifiers take each byte once.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# What may be half of a surrogate pair.
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Seeds are the largest whole numbers in a config.
LARGEST = 2**64


def parse(data: bytes, what: str) -> dict[str, Any]:
    """The dict that `data` describes.

    Raises `KerasFileError`, naming `what`, for anything but a JSON object in UTF-8, one larger or deeper than the
    limits, one with a key twice, one with half of a surrogate pair, one with NaN or infinite numbers, which JSON does
    not have, and one with a whole number of more than 64 bits.

    >>> parse(b'{"layers": [1, 2]}', "config.json")
    {'layers': [1, 2]}
    """
    if len(data) > CONFIG_BYTES:
        raise KerasFileError(f"{what} has {len(data):,} bytes; more than {CONFIG_BYTES:,} describe no model")
    _check_size(data, what)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise KerasFileError(f"{what} is not a JSON text in UTF-8: {reason}") from None
    if not isinstance(value, dict):
        raise KerasFileError(f"{what} must hold an object, got {type(value).__name__}")
    if SURROGATE.search(data) and not is_unicode(json.dumps(value, ensure_ascii=False)):
        raise KerasFileError(f"{what} has a text that is no Unicode: half of a surrogate pair stands alone")
    return value


def is_unicode(text: str) -> bool:
    """Whether a text can be written: Python's may also hold halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_size(data: bytes, what: str) -> None:
    # Before parsing: a parser that calls itself would run out of stack first, and values take more room than text.
    bare = STRING.sub(b"", data)
    brackets = bare.translate(None, NO_BRACKETS)
    if bare.count(b",") + len(brackets) > CONFIG_VALUES:
        raise KerasFileError(f"{what} has more than {CONFIG_VALUES:,} values; they describe no model")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > CONFIG_DEPTH:
            raise KerasFileError(f"{what} nests deeper than {CONFIG_DEPTH} levels")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"the key {name[:80]!r} stands twice")
        values[name] = value
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits) > len(str(LARGEST)) + 1 or abs(int(digits)) >= LARGEST:
        raise ValueError(f"{digits[:80]} is a whole number of more than 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:80]} is too large for a number")
    return value
