"""What the agent's events say: replies, what was heard of them, tool calls."""

from __future__ import annotations

from typing import Any

from scenarios.reply_log import ReplyLog


def _log(*events: dict[str, Any]) -> ReplyLog:
    log = ReplyLog()
    for at, event in enumerate(events):
        log.handle(event, float(at))
    return log


CREATED = {"type": "agent_response_created", "response_id": "r"}
DELTA = {
    "type": "agent_response_audio_transcript_delta",
    "response_id": "r",
    "item_id": "i",
    "delta": "One two three.",
}
DONE = {"type": "agent_response_done", "response_id": "r"}
PLAYED = {"type": "agent_playout_done", "response_id": "r", "item_id": "i"}


def test_a_reply_is_going_on_until_it_was_played() -> None:
    assert _log(CREATED).is_busy
    assert _log(CREATED, DELTA, DONE).is_busy
    assert not _log(CREATED, DELTA, DONE, PLAYED).is_busy


def test_a_word_is_heard_when_the_agent_says_so() -> None:
    progress = {
        "type": "agent_playout_progress",
        "response_id": "r",
        "item_id": "i",
        "heard_characters": 7,
    }
    log = _log(CREATED, DELTA, progress)
    assert log.has_heard("two", 0.0, 0.0)
    assert not log.has_heard("three", 0.0, 100.0)
    assert not log.has_heard("two", 2.0, 0.0)


def test_without_its_word_the_pace_of_a_voice_places_it() -> None:
    log = _log(CREATED, DELTA)
    assert not log.has_heard("two", 0.0, 0.2)
    assert log.has_heard("two", 0.0, 0.6)
    # Part of another word.
    assert not log.has_heard("hre", 0.0, 9.0)


def test_a_tool_call_is_waited_for() -> None:
    use = {
        "type": "agent_response_tool_use_done",
        "tool_use": {"id": "c", "name": "t", "input": {"a": 1}},
    }
    result = {
        "type": "agent_response_tool_result",
        "tool_result": {"id": "c", "name": "t", "output": "5", "is_error": False},
    }
    log = _log(use)
    assert log.is_busy
    log.handle(result, 3.0)
    assert not log.is_busy
    (call,) = log.calls_since(0.0)
    assert (call.arguments, call.output, call.called_s, call.answered_s) == ({"a": 1}, "5", 0, 3)


def test_an_interruption_ends_a_reply_with_what_was_heard() -> None:
    cut = {"type": "agent_interrupted", "response_id": "r", "item_id": "i", "heard": "One"}
    log = _log(CREATED, DELTA, cut, DONE)
    assert not log.is_busy
    assert log.replies["i"].heard_text == "One"
    assert log.interruptions == [2.0]


def test_an_agent_that_is_lost_leaves_nothing_open() -> None:
    log = _log(CREATED, DELTA)
    log.handle_agent_left()
    assert not log.is_busy
