"""Nothing that comes from outside ends a line, begins another one or steers a terminal."""

from __future__ import annotations

import json
import logging
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs.lines import JsonFormatter, LineFormatter, TextFormatter, escape

FORGED = "x\r\n12:00:00.000 INFO    control.api: all is well"
ODD = [
    FORGED,
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "a\u2028b\u2029c\x85d\x0b\x0c",
    "\u202eevil\u2066",
    "half \ud83d",
    "nul \x00 del \x7f tab \t",
]
FIRST = re.compile(r"\d\d:\d\d:\d\d\.\d{3} WARNING x: ")


def record(
    message: str, *arguments: object, name: str = "x", error: Exception | None = None
) -> logging.LogRecord:
    exc_info = (type(error), error, None) if error is not None else None
    return logging.LogRecord(name, logging.WARNING, "", 0, message, arguments, exc_info)


def text_of(one: logging.LogRecord) -> str:
    return TextFormatter({}, has_colours=False).format(one)


def is_safe(line: str) -> bool:
    kinds = {unicodedata.category(character) for character in line}
    return not kinds & {"Cc", "Cs", "Zl", "Zp"} and not re.search(
        "[\u202a-\u202e\u2066-\u2069]", line
    )


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("formatter", [TextFormatter({}, has_colours=False), JsonFormatter({})])
def test_a_message_is_one_line_of_harmless_characters(odd: str, formatter: LineFormatter) -> None:
    for one in (record(odd.replace("%", "%%")), record("from %s", odd), record("x", name=odd)):
        line = formatter.format(one)
        assert is_safe(line)
        assert len(line.splitlines()) == 1
        line.encode()


@given(st.text(st.characters(), max_size=40))
def test_whatever_is_said_stays_in_its_line(said: str) -> None:
    line = text_of(record("%s", said))
    assert is_safe(line)
    assert FIRST.match(line)


@pytest.mark.parametrize("odd", ODD)
def test_lines_of_a_traceback_are_marked_as_such(odd: str) -> None:
    first, *rest = text_of(record("it failed", error=ValueError(odd))).split("\n")
    assert FIRST.match(first)
    assert rest
    for line in rest:
        assert line.startswith("    | ")
        assert is_safe(line)


@pytest.mark.parametrize("odd", ODD)
def test_marks_of_the_context_are_harmless_too(odd: str) -> None:
    assert is_safe(TextFormatter({"channel": odd}, has_colours=False).format(record("x")))


def test_what_was_said_can_still_be_read() -> None:
    assert escape("a\r\n\tb\x1b\x85\u202e") == "a\\r\\n\\tb\\x1b\\x85\\u202e"
    assert escape("Grüße, 你好 👋") == "Grüße, 你好 👋"
    assert json.loads(JsonFormatter({}).format(record(FORGED)))["message"] == FORGED


def test_colours_are_asked_for() -> None:
    assert "\x1b[33mWARNING\x1b[0m x: " in TextFormatter({}, has_colours=True).format(record("x"))


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("arguments", [(Odd(),), (1, 2)])
def test_a_message_that_does_not_fit_its_arguments_is_logged(arguments: tuple[object, ...]) -> None:
    assert "got %d" in text_of(record("got %d", *arguments))


def test_lines_are_bounded() -> None:
    said = text_of(record("%s", "a" * 1_000_000))
    assert len(said) < 20_000
    assert "(1000000 characters)" in said
    assert len(JsonFormatter({}).format(record("x", error=ValueError("a" * 1_000_000)))) < 64 * 1024
