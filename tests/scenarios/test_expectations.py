"""Expectations against what happened, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.expectations import Observed, check, check_end, includes, same
from scenarios.expected import CallExpectations, Expectations
from scenarios.results import ReplyResult, SeenEvent, ToolCallResult, TurnResult
from scenarios.words import error_share, plain_words


def _turn(**fields: Any) -> TurnResult:
    values: dict[str, Any] = {"number": 1, "kind": "say", "began_ms": 0.0, "ended_ms": 5000.0}
    return TurnResult(**(values | fields))


def _verdicts(expect: dict[str, Any], *events: dict[str, Any], **turn: Any) -> dict[str, bool]:
    seen = Observed(
        "turn 1", 1, [_turn(**turn)], [SeenEvent(at_ms=1.0, event=event) for event in events]
    )
    found = check(Expectations.model_validate(expect), seen)
    assert all(verdict.detail for verdict in found if not verdict.is_met)
    return {verdict.name.removeprefix("turn 1: "): verdict.is_met for verdict in found}


def _call(name: str, duration_ms: float | None = 100.0, **arguments: Any) -> ToolCallResult:
    answered = None if duration_ms is None else duration_ms
    return ToolCallResult(
        id=f"c-{name}", name=name, arguments=arguments, output="5 left", called_ms=0.0,
        answered_ms=answered,
    )  # fmt: skip


REPLY = ReplyResult(response_id="r", item_id="i", transcript="It ships today.", heard_text="")


@pytest.mark.parametrize(
    ("expected", "heard", "share"),
    [
        ("It ships today.", "well it ships today i think", 0.0),
        ("order seven", "Order 7", 0.0),
        ("order 1001", "order 1,001", 0.0),
        ("order 1 0 0 1", "order one zero zero one", 0.0),
        ("It ships today", "it sips today", 1 / 3),
        ("It ships today", "", 1.0),
        ("Good bye now", "well, goodbye now", 0.0),
        ("Goodbye now", "good bye now", 0.0),
        ("Ann's order", "ann\u2019s order", 0.0),
    ],
)
def test_words_are_compared_as_they_sound(expected: str, heard: str, share: float) -> None:
    assert error_share(expected, heard, is_whole=False) == pytest.approx(share)


def test_of_a_whole_text_additional_words_are_wrong_too() -> None:
    assert error_share("it ships", "it ships today", is_whole=True) == 0.5
    assert plain_words("Grüße, JÜRGEN!", "de") == ["grüsse", "jürgen"]


def test_equal_json_is_same_and_more_is_included() -> None:
    assert same({"a": 1}, {"a": 1.0})
    assert not same({"a": 1}, {"a": True})
    assert not same({"a": 1}, {"a": 1, "b": 2})
    assert includes({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3})
    assert not includes({"a": [1]}, {"a": [1, 2]})
    assert includes({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]})


def test_words_and_transcripts() -> None:
    expect = {
        "heard": "it ships today",
        "transcript": {
            "contains": ["SHIPS  today", "never"],
            "regex": r"ships \w+",
            "not_contains": "ships",
            "not_regex": "monday",
        },
        "understood": "where is",
    }
    found = _verdicts(
        expect, replies=(REPLY,), words_heard="It ships today", understood="Where is it?"
    )
    assert found == {
        "heard": True,
        'transcript.contains "SHIPS  today"': True,
        'transcript.contains "never"': False,
        "transcript.regex": True,
        'transcript.not_contains "ships"': False,
        "transcript.not_regex": True,
        'understood.contains "where is"': True,
    }


def test_tools_by_arguments_count_order_output_and_time() -> None:
    calls = (_call("a", number=7, to={"name": "Ann", "zip": "1"}), _call("b", 900.0))
    expect = {
        "tools": [
            {"name": "a", "arguments": {"number": 7, "to": {"name": "Ann", "zip": "1"}}},
            {"name": "a", "arguments": {"number": 8}},
            {"name": "a", "arguments_include": {"to": {"name": "Ann"}}, "count": 2},
            {"name": "a", "arguments_match": {"number": "^7$"}, "output": "5 LEFT"},
            {"name": "b", "within_ms": 500, "is_error": False},
            {"name": "b", "never": True},
            {"name": "c", "never": True},
            {"name": "d"},
        ],
        "tool_order": ["a", "b"],
    }
    found = [name for name, is_met in _verdicts(expect, tool_calls=calls).items() if not is_met]
    # The second one of the same name and kind is not met: the last of them is in the mapping.
    assert found == ["tools.a.arguments", "tools.a.count", "tools.b.within_ms", "tools.b.never",
                     "tools.d"]  # fmt: skip
    assert _verdicts({"tool_order": ["b", "a"]}, tool_calls=calls) == {"tool_order": False}
    open_call = (_call("b", None),)
    assert not _verdicts({"tools": [{"name": "b", "within_ms": 5}]}, tool_calls=open_call)[
        "tools.b.within_ms"
    ]


def test_who_was_interrupted_and_how_fast_it_fell_silent() -> None:
    over = {"spoke_over_agent": True, "was_interrupted": True}
    expect = {"interrupted": True, "silent_within_ms": 500}
    assert all(_verdicts(expect, silent_after_ms=300.0, **over).values())
    assert not _verdicts(expect, silent_after_ms=900.0, **over)["silent_within_ms"]
    assert not _verdicts(expect, silent_after_ms=None, **over)["silent_within_ms"]
    assert _verdicts(expect) == {"interrupted": False, "silent_within_ms": False}
    assert not _verdicts({"overlap_at_most_ms": 300}, overlap_ms=400.0)["overlap_at_most_ms"]


def test_times_replies_and_events() -> None:
    assert _verdicts({"within_ms": 800}, latency_ms=700.0) == {"within_ms": True}
    assert _verdicts({"within_ms": 800}) == {"within_ms": False}
    assert _verdicts({"replies": 1}, replies=(REPLY,)) == {"replies": True}
    assert _verdicts({"replies": 0}, replies=(REPLY,)) == {"replies": False}
    late = {"spoke_to_ms": 1000.0, "sounded_to_ms": 3500.0}
    assert _verdicts({"no_words_after_s": 2}, **late) == {"no_words_after_s": False}
    assert _verdicts({"no_words_after_s": 3}, **late) == {"no_words_after_s": True}
    event = {"type": "agent_handed_over", "current": "bills"}
    expect = {"events": [{"type": "agent_handed_over", "include": {"current": "bills"}}]}
    assert _verdicts(expect, event) == {"events.agent_handed_over": True}
    assert _verdicts(expect) == {"events.agent_handed_over": False}


def test_the_end_of_a_call() -> None:
    seen = Observed("call", None, [], [])
    expect = CallExpectations(exit_reason=("stopped", "user_left"), state={"order": {"number": 7}})
    state = {"order": {"number": 7, "size": 2}}
    assert [each.is_met for each in check_end(expect, seen, "stopped", state)] == [True, True]
    found = check_end(expect, seen, "crashed", {"order": None})
    assert [each.is_met for each in found] == [False, False]
    assert "crashed" in found[0].detail
    assert check_end(expect, seen, "stopped", None)[1].detail == "call.state is not known"
