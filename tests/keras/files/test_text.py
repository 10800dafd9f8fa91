"""JSON texts that are no config: too deep, too many, too large, and with numbers and keys that JSON does not have."""

from __future__ import annotations

from typing import Any

import pytest

from jconv.keras.files.json_text import parse
from tests.support.keras_watch import peak, refused

MIB = 2**20


def read(text: str | bytes) -> dict[str, Any]:
    return parse(text if isinstance(text, bytes) else text.encode(), "config.json")


TEXTS = {
    "deep": (b"[" * 100_000, "nests deeper than 200 levels"),
    "deep_and_whole": (b'{"a":' * 201 + b"1" + b"}" * 201, "nests deeper"),
    "deep_in_a_list": (b"[" * 201 + b"]" * 201, "nests deeper"),
    "closed_before_it_is_deep": (b"]" * 10_000 + b"[" * 10_000, "not a JSON text"),
    "a_string_without_end": (b'{"a": "' + b'\\"' * MIB, "not a JSON text"),
    "many_strings_without_end": (b'"' + b"\\" * MIB, "not a JSON text"),
    "too_many_values": (b"[" + b"1," * 2_100_000 + b"1]", "more than 2,000,000 values"),
    "too_many_lists": (b"[" + b"[],"[:2] * 2_100_000, "more than 2,000,000 values"),
    "too_long": (b'{"a":"' + b"a" * 33 * MIB + b'"}', "more than 33,554,432 describe no model"),
    "a_key_twice": (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
    "the_last_of_many_keys_twice": (
        b"{" + b",".join(b'"%d":1' % i for i in range(100_000)) + b',"99999":1}',
        "the key '99999' stands twice",
    ),
    "nan": (b'{"a": NaN}', "NaN is not a JSON number"),
    "infinity": (b'{"a": [-Infinity]}', "Infinity is not a JSON number"),
    "infinite": (b'{"a": 1e999}', "too large for a number"),
    "whole": (b'{"a": 18446744073709551616}', "a whole number of more than 64 bits"),
    "long": (b'{"a": ' + b"9" * 100_000 + b"}", "more than 64 bits"),
    "negative": (b'{"a": -' + b"9" * 4_400 + b"}", "more than 64 bits"),
    "list": (b"[]", "must hold an object, got list"),
    "null": (b"null", "must hold an object, got NoneType"),
    "empty": (b"", "not a JSON text"),
    "other_encoding": ('{"a": 1}'.encode("utf-16"), "not a JSON text"),
    "not_text": (b'{"a": "\xff"}', "not a JSON text"),
    "half_a_pair": (b'{"a": ["\\uDFFF"]}', "is no Unicode: half of a surrogate pair stands alone"),
    "half_a_pair_as_a_key": (b'{"\\ud83d": "\\ud83d\\ude00"}', "is no Unicode"),
    "two": (b"{}{}", "not a JSON text"),
    "python": (b"{'a': __import__('os')}", "not a JSON text"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_are_no_config(name: str):
    text, part = TEXTS[name]
    assert peak(lambda: refused(lambda: read(text), "config.json", part)) < 120 * MIB


def test_numbers_of_64_bits_and_deep_texts_are_read():
    assert read('{"a": [18446744073709551615, -18446744073709551615, 1.7e308, "\\\\\\"[[["]}')["a"][3] == '\\"[[['
    assert read('{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    assert read('{"a":' * 199 + "{}" + "}" * 199)
