"""JSON parsed with bounded time, memory and depth."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from .errors import KerasFileError
from .limits import MAX_CONFIG_BYTES, MAX_CONFIG_DEPTH, MAX_CONFIG_VALUES

# A string, or the rest of the text if it does not end. The possessive quantifiers prevent backtracking.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Possibly half of a surrogate pair.
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Seeds are the largest integers in a config.
MAX_INTEGER = 2**64


def parse_json(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `data`.

    Raises `KerasFileError`, naming `what`, for anything but a JSON object in UTF-8 within the limits of `limits.py`.
    Duplicate keys, unpaired surrogates, NaN, infinity and integers of more than 64 bits are errors too.

    >>> parse_json(b'{"layers": [1, 2]}', "config.json")
    {'layers': [1, 2]}
    """
    if len(data) > MAX_CONFIG_BYTES:
        raise KerasFileError(f"{what} has {len(data):,} bytes; the limit for a config is {MAX_CONFIG_BYTES:,}")
    _check_size(data, what)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_reject_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise KerasFileError(f"{what} is not JSON in UTF-8: {reason}") from None
    if not isinstance(value, dict):
        raise KerasFileError(f"{what} must contain an object, got {type(value).__name__}")
    if SURROGATE.search(data) and not is_unicode(json.dumps(value, ensure_ascii=False)):
        raise KerasFileError(f"{what} has a string with half of a surrogate pair, which is not valid Unicode")
    return value


def is_unicode(text: str) -> bool:
    """Whether a string can be encoded: Python's strings may contain unpaired surrogates."""
    return re.search(r"[\ud800-\udfff]", text) is None


def _check_size(data: bytes, what: str) -> None:
    # Before parsing, since a recursive parser would exhaust the stack, and values need more memory than their text.
    without_strings = STRING.sub(b"", data)
    brackets = without_strings.translate(None, NO_BRACKETS)
    if without_strings.count(b",") + len(brackets) > MAX_CONFIG_VALUES:
        raise KerasFileError(f"{what} has more than {MAX_CONFIG_VALUES:,} values, the limit for a config")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_CONFIG_DEPTH:
            raise KerasFileError(f"{what} is nested deeper than {MAX_CONFIG_DEPTH} levels")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"duplicate key {name[:80]!r}")
        values[name] = value
    return values


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits) > len(str(MAX_INTEGER)) + 1 or abs(int(digits)) >= MAX_INTEGER:
        raise ValueError(f"the integer {digits[:80]} has more than 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:80]} is too large for a float")
    return value
