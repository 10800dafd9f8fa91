"""JSON that is too deep or too large, or has invalid numbers and keys."""

from __future__ import annotations

from typing import Any

import pytest

from jconv.keras.files.json_text import parse_json
from tests.support.keras_watch import peak, refused

MIB = 2**20


def read(text: str | bytes) -> dict[str, Any]:
    return parse_json(text if isinstance(text, bytes) else text.encode(), "config.json")


INVALID = {
    "deep": (b"[" * 100_000, "is nested deeper than 200 levels"),
    "deep_and_complete": (b'{"a":' * 201 + b"1" + b"}" * 201, "is nested deeper"),
    "deep_in_a_list": (b"[" * 201 + b"]" * 201, "is nested deeper"),
    "closed_before_it_is_deep": (b"]" * 10_000 + b"[" * 10_000, "is not JSON in UTF-8"),
    "a_string_without_end": (b'{"a": "' + b'\\"' * MIB, "is not JSON in UTF-8"),
    "many_strings_without_end": (b'"' + b"\\" * MIB, "is not JSON in UTF-8"),
    "too_many_values": (b"[" + b"1," * 2_100_000 + b"1]", "more than 2,000,000 values"),
    "too_many_lists": (b"[" + b"[],"[:2] * 2_100_000, "more than 2,000,000 values"),
    "too_long": (b'{"a":"' + b"a" * 33 * MIB + b'"}', "the limit for a config is 33,554,432"),
    "a_key_twice": (b'{"a": 1, "a": 2}', "duplicate key 'a'"),
    "the_last_of_many_keys_twice": (
        b"{" + b",".join(b'"%d":1' % i for i in range(100_000)) + b',"99999":1}',
        "duplicate key '99999'",
    ),
    "nan": (b'{"a": NaN}', "NaN is not a JSON number"),
    "infinity": (b'{"a": [-Infinity]}', "Infinity is not a JSON number"),
    "too_large_float": (b'{"a": 1e999}', "too large for a float"),
    "too_large_integer": (b'{"a": 18446744073709551616}', "has more than 64 bits"),
    "integer_with_many_digits": (b'{"a": ' + b"9" * 100_000 + b"}", "more than 64 bits"),
    "negative_integer_with_many_digits": (b'{"a": -' + b"9" * 4_400 + b"}", "more than 64 bits"),
    "list": (b"[]", "must contain an object, got list"),
    "null": (b"null", "must contain an object, got NoneType"),
    "empty": (b"", "is not JSON in UTF-8"),
    "other_encoding": ('{"a": 1}'.encode("utf-16"), "is not JSON in UTF-8"),
    "not_text": (b'{"a": "\xff"}', "is not JSON in UTF-8"),
    "half_a_surrogate_pair": (b'{"a": ["\\uDFFF"]}', "half of a surrogate pair, which is not valid Unicode"),
    "half_a_surrogate_pair_as_a_key": (b'{"\\ud83d": "\\ud83d\\ude00"}', "not valid Unicode"),
    "two_objects": (b"{}{}", "is not JSON in UTF-8"),
    "python_code": (b"{'a': __import__('os')}", "is not JSON in UTF-8"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_json_is_refused(name: str):
    text, part = INVALID[name]
    assert peak(lambda: refused(lambda: read(text), "config.json", part)) < 120 * MIB


def test_numbers_of_64_bits_and_maximum_depth_are_accepted():
    assert read('{"a": [18446744073709551615, -18446744073709551615, 1.7e308, "\\\\\\"[[["]}')["a"][3] == '\\"[[['
    assert read('{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    assert read('{"a":' * 199 + "{}" + "}" * 199)
