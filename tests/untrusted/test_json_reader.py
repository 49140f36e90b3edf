"""Every document is read, or refused with one kind of error; what is read can be written again."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from untrusted.json_reader import (
    MAX_DEPTH,
    InvalidJsonError,
    mend_text,
    read_base64,
    read_json,
    read_object,
)

_HALF = "\\ud83d"

_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (f'{{"a": "{_HALF}"}}', {"a": "\ufffd"}),
        ('{"a": "\\ude00\\ud83d\\ude00"}', {"a": "\ufffd😀"}),
        (f'{{"a": "\\\\ud83d{_HALF}"}}', {"a": "\\ud83d\ufffd"}),
        ('{"a": "\ud83d"}', {"a": "\ufffd"}),
        ('{"a": "\ud83d\ude00"}', {"a": "😀"}),
        (b'"\xc3\xa9"', "é"),
        ("1", 1),
    ],
)
def test_text_that_no_strict_parser_takes_is_mended(text: str | bytes, value: Any) -> None:
    assert read_json(text) == value
    json.dumps(read_json(text), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[NaN]",
        "[Infinity]",
        "[1e999]",
        "[-1E+9999]",
        "[" + "9" * 5000 + "]",
        "[" + "9" * 400 + ".0]",
        "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2),
        "[" * 100_000,
        '{"a":' * 2_000 + "1" + "}" * 2_000,
        f'"{_HALF}' + "[" * 3_000,
        b"\xff\xfe",
        b'"\xed\xa0\xbd"',
        '"\\ud83d\\',
    ],
    ids=lambda text: repr(text[:12]),
)
def test_invalid_json_is_refused_with_one_kind_of_error(text: str | bytes) -> None:
    with pytest.raises(InvalidJsonError, match="not valid JSON"):
        read_json(text)


@pytest.mark.parametrize("text", ["[]", '"text"', "null", "1"])
def test_an_object_is_asked_for(text: str) -> None:
    with pytest.raises(InvalidJsonError, match="not a JSON object"):
        read_object(text)


def test_numbers_that_are_no_json_are_taken_where_the_caller_says_so() -> None:
    assert read_json("[Infinity, 1e999]", allow_nan=True) == [float("inf")] * 2


def test_lone_surrogates_are_kept_for_joining_the_pieces() -> None:
    first = read_object('{"delta": "a\\ud83d"}', should_keep_halves=True)["delta"]
    second = read_object('{"delta": "\\ude00b"}', should_keep_halves=True)["delta"]
    assert mend_text(first + second) == "a😀b"


@given(_VALUES)
def test_whatever_was_written_is_read(value: Any) -> None:
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value, ensure_ascii=False)) == value


@given(
    st.text(st.characters(codec=None) | st.sampled_from('\ud83d\ude00\\u[]{}"d8e0'), max_size=60)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    for document in (text, f'"{text}"'):
        try:
            value = read_json(document)
        except InvalidJsonError:
            continue
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@given(st.binary(max_size=80))
def test_base64_is_read_in_each_of_its_forms(data: bytes) -> None:
    for text in (base64.b64encode(data), base64.urlsafe_b64encode(data), base64.encodebytes(data)):
        assert read_base64(text.decode()) == data
        assert read_base64(text.decode().rstrip("=\n")) == data


@pytest.mark.parametrize("text", ["é", "AAA*", "A", "AAAAA", "AA=A", "\ud83d"])
def test_invalid_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not base64"):
        read_base64(text)
