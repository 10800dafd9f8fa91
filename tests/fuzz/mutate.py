"""Changes to configs and to bytes, chosen by numbers from a random generator or a fuzzer."""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Iterator
from typing import Any, Protocol

from tests.support.keras_crafted import tensor


class Random:
    """Choices made by a random generator."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, count: int) -> int:
        """A number from 0 to `count - 1`."""
        return self._random.randrange(count)


class Choices(Protocol):
    """A source of choices: a random generator or a fuzzer."""

    def below(self, count: int) -> int:
        """A number from 0 to `count - 1`."""
        ...


NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 7, 100, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, 10**12, 10**17),
    *(0.5, -0.0, 1e308, -1e308, 1e-320, True, False, None),
)
TEXTS: tuple[Any, ...] = (
    *("", "a", "in0", "0", "1", "valid", "same", "causal", "relu", "glu", "float16", "mixed_bfloat16", "float64"),
    *("channels_first", "x" * 3000, "a\nb\x00\u202e\ud800", "../../etc/passwd", "abc,cd->abd", "Dense", "Lambda"),
    *("keras", "keras.layers", "keras.src.ops.numpy", "keras.regularizers", "builtins", "tensorflow", "tcn.tcn", "os"),
    *("Add", "TCN", "TensorFlowOpLayer", "TFOpLambda", "Custom>Dense", "keras.x>"),
)
LISTS: tuple[Any, ...] = (
    *([], [0], [1], [-1], [None], [1, 2], [2, 1], [[1]], [2**40], ["a"], [[]], [0, 0], [10**9] * 3, [[0, 10**9]]),
    *(["in0", 0, 0], [["in0", 0, 0]], [["in0", 0, 0, {}]], [[-5, 3]], [list(range(60))], [[0] * 40] * 3),
)
OBJECTS: tuple[Any, ...] = (
    {},
    {"a": 1},
    tensor("in0"),
    tensor("in0", 7, 7),
    {"class_name": "__ellipsis__", "config": {}},
    {"class_name": "__slice__", "config": {"start": 0, "stop": 10**15, "step": -1}},
    {"class_name": "__numpy__", "config": {"value": [[1, 2], [3, 4]], "dtype": "int32"}},
    {"class_name": "Functional", "config": {"name": "m", "layers": [], "input_layers": [], "output_layers": []}},
    {"class_name": "Sequential", "config": {"name": "m", "layers": []}},
    {"class_name": "DTypePolicy", "config": {"name": "float16"}},
    {"module": "os", "class_name": "system", "config": {"name": "x"}, "registered_name": None},
)
VALUES = (*NUMBERS, *TEXTS, *LISTS, *OBJECTS)
# The shapes of tensors are not changed, because jconv does not read them.
UNCHANGED_KEYS = ("shape",)

Path = tuple[Any, ...]


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    """The path of every part of a config that may be changed."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        if key not in UNCHANGED_KEYS:
            yield (*above, key)
            yield from paths(part, (*above, key))


def at(value: Any, path: Path) -> Any:
    """The part at a path."""
    for key in path:
        value = value[key]
    return value


def changed_config(config: Any, where: list[Path], choices: Choices) -> Any:
    """A config with one to three parts deleted, or replaced by unusual values or by other parts of the config."""
    changed = copy.deepcopy(config)
    for _ in range(1 + choices.below(8) // 5 + choices.below(8) // 6):
        path = where[choices.below(len(where))]
        way = choices.below(10)
        try:
            owner = at(changed, path[:-1])
            if way == 0:
                del owner[path[-1]]
            elif way < 3:
                owner[path[-1]] = copy.deepcopy(at(config, where[choices.below(len(where))]))
            else:
                owner[path[-1]] = copy.deepcopy(VALUES[choices.below(len(VALUES))])
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change removed this part
    return changed


SIZES = (0, 1, 2, 4, 8, 16, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)


def changed_bytes(data: bytes, choices: Choices) -> bytes:
    """The bytes with a few changes: flipped bits, other bytes, sizes and addresses, copied parts, deleted parts."""
    found = bytearray(data)
    for _ in range(1 + choices.below(12) // 8 + choices.below(12) // 9 * 3):
        at, way = choices.below(max(len(found), 1)), choices.below(16)
        if way < 4:
            found[at : at + 1] = bytes([found[at] ^ 1 << choices.below(8)]) if found else b""
        elif way < 6:
            found[at : at + 1] = bytes([choices.below(256)])
        elif way < 10:
            width = 1 << choices.below(4)
            at -= at % width
            number = SIZES[choices.below(len(SIZES))] % 256**width
            found[at : at + width] = number.to_bytes(width, "little")
        elif way < 13 and len(found) > 16:
            # Eight bytes from elsewhere in the file, which may be an address.
            other = choices.below(len(found) // 8) * 8
            at -= at % 8
            found[at : at + 8] = found[other : other + 8].ljust(8, b"\0")
        elif way < 14:
            found[at : at + 8] = struct.pack("<Q", choices.below(max(len(found), 1)) // 8 * 8)
        elif way < 15:
            size, other = 8 << choices.below(5), choices.below(max(len(found), 1))
            found[at : at + size] = found[other : other + size]
        else:
            del found[at : at + choices.below(64) if choices.below(2) else len(found)]
    return bytes(found)
