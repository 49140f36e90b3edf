from __future__ import annotations

import contextlib
import logging

import pytest

from logs.expected import describe
from logs.repeats import MAX_OF_PLACE, MAX_SAME, TRACEBACK_AGAIN_S, WINDOW_S, Repeats


def record(
    text: str, *arguments: object, level: int = logging.WARNING, line: int = 1, error: object = None
) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if isinstance(error, Exception) else None
    return logging.LogRecord("x", level, "/x.py", line, text, arguments, exc_info)


def told(repeats: Repeats, now_s: float, one: logging.LogRecord) -> list[str]:
    """Return the lines logged for this record."""
    records = [*repeats.due(now_s), repeats.judge(one, now_s)]
    return [one.getMessage() for one in records if one is not None]


def fail(error: Exception) -> None:
    raise error


def failure(text: str = "on purpose") -> ValueError:
    error = ValueError(text)
    with contextlib.suppress(ValueError):
        fail(error)
    return error


def test_a_repeated_line_is_logged_a_few_times_then_counted_and_summed_up() -> None:
    repeats = Repeats()
    lines = [line for _ in range(1_000) for line in told(repeats, 1.0, record("no %s", "room"))]
    assert lines == ["no room"] * MAX_SAME
    assert told(repeats, 1.0 + WINDOW_S, record("no %s", "room")) == [
        f"no room (and {1_000 - MAX_SAME} times the same within 10 s)",
        "no room",
    ]
    assert repeats.due(1.0 + 3 * WINDOW_S) == []


def test_different_lines_of_one_place_are_limited_too() -> None:
    repeats = Repeats()
    lines = [
        line for number in range(1_000) for line in told(repeats, 1.0, record("peer %d", number))
    ]
    assert lines == [f"peer {number}" for number in range(MAX_OF_PLACE)]
    assert told(repeats, 2.0, record("another place", line=2)) == ["another place"]
    (summed,) = repeats.due(2.0, is_end=True)
    assert summed.getMessage() == f"peer {MAX_OF_PLACE} (and 900 lines like it within 10 s)"


def test_state_changes_of_many_calls_are_all_logged() -> None:
    repeats = Repeats()
    lines = [
        line
        for number in range(400)
        for line in told(repeats, 1.0, record("%d: ready", number, level=logging.INFO))
    ]
    assert len(lines) == 400


def test_debug_lines_are_never_suppressed() -> None:
    repeats = Repeats()
    one = record("frame", level=logging.DEBUG)
    assert sum(len(told(repeats, 1.0, one)) for _ in range(200)) == 200


def test_the_memory_of_repeats_is_bounded() -> None:
    repeats = Repeats()
    for number in range(5_000):
        told(repeats, 1.0, record(f"{number}" * 50, line=number, error=failure()))
    assert len(repeats) <= 3 * 512


def test_a_traceback_is_logged_once_then_its_error_alone() -> None:
    repeats = Repeats()
    first = repeats.judge(record("task failed", error=failure("one")), 1.0)
    second = repeats.judge(record("task failed", error=failure("two")), 2.0)
    other = repeats.judge(record("task failed", error=OSError("elsewhere")), 3.0)
    again = repeats.judge(record("task failed", error=failure("three")), 2.0 + TRACEBACK_AGAIN_S)
    assert first is not None
    assert first.exc_info
    assert second is not None
    assert not second.exc_info
    assert second.exc_text is not None
    assert second.exc_text.startswith("ValueError: two at test_repeats.py:")
    assert second.exc_text.endswith(": as before, 2 times")
    assert other is not None
    assert other.exc_info
    assert again is not None
    assert again.exc_info


def group_whose_member_has_it_for_cause() -> Exception:
    member = ValueError("one")
    member.__context__ = ExceptionGroup("tasks", [member])
    return member


def deep() -> Exception:
    error = ValueError("0")
    for number in range(5_000):
        outer = ValueError(str(number))
        outer.__cause__ = error
        error = outer
    return error


@pytest.mark.parametrize("make", [group_whose_member_has_it_for_cause, deep])
def test_causes_may_go_in_circles_and_without_end(make: object) -> None:
    assert callable(make)
    repeats = Repeats()
    one = repeats.judge(record("failed", error=make()), 1.0)
    assert one is not None
    assert one.exc_info


def test_a_group_is_described_by_its_members() -> None:
    inner = ExceptionGroup("inner", [OSError("b"), TimeoutError()])
    assert describe(ExceptionGroup("g", [ValueError("a"), inner])) == (
        "ValueError: a; OSError: b; TimeoutError"
    )
