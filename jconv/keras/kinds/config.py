"""Reads values of a config, which comes from a JSON file and is not trusted.

`Config` returns one value at a time and checks that it has the type that the caller expects. Errors name the place in
the file. It records which keys were read, so that no option is ignored silently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..files.errors import KerasFileError


@dataclass(frozen=True)
class Config:
    """The dict `values` found at `place`, such as `"layer 'conv1d' (Conv1D) at config.layers[3]"`.

    >>> config = Config({"units": 3}, "layer 'dense' (Dense)")
    >>> config.get("units", integer), config.get("use_bias", flag, True)
    (3, True)
    >>> config.get("units", flag)
    Traceback (most recent call last):
    jconv.keras.files.errors.KerasFileError: layer 'dense' (Dense): units must be true or false, got 3
    """

    values: Mapping[str, Any]
    place: str
    _used: set[str] = field(default_factory=set, compare=False, repr=False)

    def get(self, key: str, read: Callable[[Any], Any], *default: Any) -> Any:
        """The value of a key, converted by `read`; if the key is missing, the `default`, which is not converted.

        Raises `KerasFileError`, with the place and the key, if the key is missing and has no default, or if `read`
        raises `ValueError`, whose message says what the value must be.
        """
        self._used.add(key)
        if key not in self.values:
            if default:
                return default[0]
            self.fail(f"{key} is missing")
        value = self.values[key]
        try:
            return read(value)
        except KerasFileError:
            raise
        except ValueError as error:
            self.fail(f"{key} {error}, got {shortened(value)}")

    def has(self, key: str) -> bool:
        """Whether `key` has a value other than null."""
        return self.values.get(key) is not None

    def unused_keys(self) -> list[str]:
        """The keys that `get` was never called for."""
        return [key for key in self.values if key not in self._used]

    def fail(self, message: str) -> NoReturn:
        """Raise `KerasFileError` with the place before the message."""
        raise KerasFileError(f"{self.place}: {message}")


def values_in(config: Any) -> Iterator[Any]:
    """Every value in a config, also dicts and lists, outer ones first.

    A dict or list may be changed before the next value is requested.

    >>> list(values_in({"layers": [{"name": "a"}, 3]}))
    [{'layers': [{'name': 'a'}, 3]}, [{'name': 'a'}, 3], {'name': 'a'}, 'a', 3]
    """
    # A stack in place of recursion: a config may be nested deeper than Python's stack.
    waiting = [config]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict):
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)


def objects_in(config: Any) -> Iterator[dict[str, Any]]:
    """Every dict in a config, outer ones first. A dict may be changed before the next one is requested.

    >>> [value["name"] for value in objects_in({"name": "a", "layers": [{"name": "b"}, {"name": "c"}]})]
    ['a', 'b', 'c']
    """
    return (value for value in values_in(config) if isinstance(value, dict))


def shortened(value: Any) -> str:
    """A value for an error message: one line of at most 80 characters."""
    text = ascii(value) if not isinstance(value, (dict, list)) or len(value) < 20 else f"{type(value).__name__}..."
    return text if len(text) <= 80 else f"{text[:77]}..."


# Each of these functions returns the converted value, or raises `ValueError`, whose message says what it must be.


def number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("must be a finite number")
    # JAX accepts no Python integer of more than 32 bits.
    return value if abs(value) < 2**31 else float(value)


def _checked(is_valid: Callable[[Any], bool], description: str) -> Callable[[Any], Any]:
    """A function that returns a value for which `is_valid` is true; the `description` says which values that are."""

    def read(value: Any) -> Any:
        if not is_valid(value):
            raise ValueError(f"must be {description}")
        return value

    return read


integer = _checked(lambda value: isinstance(value, int) and not isinstance(value, bool), "an integer")
flag = _checked(lambda value: isinstance(value, bool), "true or false")
text = _checked(lambda value: isinstance(value, str), "a string")
as_list = _checked(lambda value: isinstance(value, list), "a list")
as_dict = _checked(lambda value: isinstance(value, dict), "an object")


def one_of(*allowed: str) -> Callable[[Any], str]:
    """One of the strings `allowed`."""
    return _checked(lambda value: value in allowed, f"one of {', '.join(allowed)}")


def only(allowed: Any) -> Callable[[Any], Any]:
    """The value `allowed`."""
    return _checked(
        lambda value: type(value) is type(allowed) and value == allowed,
        f"{allowed!r}; jconv supports no other value here",
    )


def single(value: Any) -> int:
    """An integer, from an integer or a list of one: Keras writes sizes in one dimension in both forms."""
    return integer(value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value)


def integers(value: Any) -> tuple[int, ...]:
    """A tuple of integers, from a list."""
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of integers")
    return tuple(integer(v) for v in value)


def one_or_more_integers(value: Any) -> int | tuple[int, ...]:
    """An integer, or a tuple of integers from a list."""
    return integers(value) if isinstance(value, (list, tuple)) else integer(value)


def sizes(value: Any) -> tuple[int | None, ...]:
    """A tuple of integers and None, from a list."""
    return tuple(optional(integer)(size) for size in as_list(value))


def anything(value: Any) -> Any:
    """Any value, unchanged."""
    return value


def array(value: Any) -> Any:
    """A number, or nested tuples of numbers, from lists or from Keras's form of a serialized array."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        inner = value.get("config")
        value = inner.get("value") if isinstance(inner, dict) else None
    return tuple(array(part) for part in value) if isinstance(value, (list, tuple)) else number(value)


def optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """None for null; otherwise what `read` returns."""
    return lambda value: None if value is None else read(value)


def as_lists(value: Any) -> Any:
    """Nested tuples as lists, for JSON; other values unchanged."""
    return [as_lists(part) for part in value] if isinstance(value, tuple) else value
