"""`Context` as chat messages."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from speech.dialogue.context import Context, Entry, Tool, ToolCall, ToolOutput, Turn
from speech.language_model.messages import (
    CUT_MARK,
    NO_RESULT_YET,
    SPOKEN_STYLE,
    chat_messages,
    chat_request,
)

NOW = datetime(2026, 11, 29, 8, 5, tzinfo=UTC)
TIME = Tool("get_time")


def _context(*history: Entry, **fields: Any) -> Context:
    return Context(history=history, now=NOW, **fields)


def _said(*history: Entry, **fields: Any) -> list[tuple[str, str | None]]:
    """Role and text of each message after the system text."""
    messages = chat_messages(_context(*history, **fields))
    return [(message["role"], message["content"]) for message in messages[1:]]


def test_system_text_has_instructions_style_and_date() -> None:
    system = chat_messages(_context(instructions=" Be kind. ", zone_name="Europe/Berlin"))[0]
    assert system["role"] == "system"
    assert system["content"] == (
        f"Be kind.\n\n{SPOKEN_STYLE}\n\n"
        "Today is Sunday, November 29, 2026, time zone Europe/Berlin."
    )
    written = chat_messages(_context(), is_spoken=False)[0]["content"]
    assert written == "Today is Sunday, November 29, 2026, time zone UTC."


def test_the_time_of_day_changes_no_message() -> None:
    context = _context(Turn("user", "Hi"), instructions="Be kind.")
    assert chat_messages(context) == chat_messages(
        replace(context, now=NOW + timedelta(hours=9, minutes=3))
    )


def test_turns_are_as_heard_and_cut_ones_are_marked() -> None:
    assert _said(
        Turn("user", "Tell me a story."),
        Turn("assistant", "Once upon a time there", is_cut=True),
        Turn("user", "Shorter."),
    ) == [
        ("user", "Tell me a story."),
        ("assistant", f"Once upon a time there{CUT_MARK}"),
        ("user", "Shorter."),
    ]
    assert CUT_MARK in SPOKEN_STYLE


def test_turns_of_one_side_are_joined_and_unheard_ones_left_out() -> None:
    assert _said(
        Turn("user", "How much is 27"),
        Turn("assistant", "", is_cut=True),
        Turn("user", "times 14?"),
        Turn("assistant", "378."),
        Turn("assistant", "Anything else?"),
        Turn("user", "No."),
    ) == [
        ("user", "How much is 27 times 14?"),
        ("assistant", "378. Anything else?"),
        ("user", "No."),
    ]


def test_instructions_of_one_response_come_last() -> None:
    said = _said(Turn("user", "Hi"), request="Answer in French.", instructions="Be kind.")
    assert said == [("user", "Hi"), ("system", "Answer in French.")]


def test_a_reply_that_nobody_asked_for_is_asked_for_in_words() -> None:
    assert [role for role, _ in _said()] == ["system"]
    assert [role for role, _ in _said(Turn("user", "Hi"), Turn("assistant", "Hello."))] == [
        "user",
        "assistant",
        "system",
    ]


def _paired(*history: Entry) -> list[dict[str, Any]]:
    return chat_messages(_context(*history, Turn("user", "And?")))[1:-1]


def _call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    function = {"name": "get_time", "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _output(call_id: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def test_parallel_calls_share_a_message_with_what_was_said_before_them() -> None:
    assert _paired(
        Turn("user", "Time here and there?"),
        Turn("assistant", "One moment."),
        ToolCall("a", "get_time", "{}"),
        ToolCall("b", "get_time", "{}"),
        ToolOutput("b", "9"),
        ToolOutput("a", "8"),
    )[1:] == [
        {"role": "assistant", "content": "One moment.", "tool_calls": [_call("a"), _call("b")]},
        _output("a", "8"),
        _output("b", "9"),
    ]


def test_calls_of_two_replies_are_two_messages() -> None:
    assert _paired(
        ToolCall("a", "get_time", "{}"),
        ToolOutput("a", "8"),
        ToolCall("b", "get_time", "{}"),
        ToolOutput("b", " "),
    ) == [
        {"role": "assistant", "content": "", "tool_calls": [_call("a")]},
        _output("a", "8"),
        {"role": "assistant", "content": "", "tool_calls": [_call("b")]},
        _output("b", "The tool gave no output."),
    ]


def test_a_late_output_goes_with_its_call_and_a_missing_one_is_stated() -> None:
    late = (ToolCall("a", "get_time", "{}"), Turn("user", "Hurry."), ToolOutput("a", "8"))
    assert _paired(*late)[1] == _output("a", "8")
    assert _paired(*late[:2])[1] == _output("a", NO_RESULT_YET)


def test_orphan_outputs_are_left_out_and_ids_made_unique() -> None:
    assert _paired(ToolOutput("x", "lost")) == []
    calls = _paired(ToolCall("a", "get_time", "{}"), ToolCall("a", "get_time", "{}"))
    assert [call["id"] for call in calls[0]["tool_calls"]] == ["a", "a_1"]
    assert [output["tool_call_id"] for output in calls[1:]] == ["a", "a_1"]


def test_arguments_in_the_history_are_always_json_objects() -> None:
    for arguments, sent in [
        ('{"a":1}', {"a": 1}),
        ("", {}),
        ("now", {"input": "now"}),
        ("3", {"input": "3"}),
    ]:
        call = _paired(ToolCall("a", "get_time", arguments))[0]["tool_calls"][0]
        assert json.loads(call["function"]["arguments"]) == sent


def test_names_of_calls_are_such_as_servers_take() -> None:
    call = ToolCall("a", "look up: ü", "{}")
    assert _paired(call)[0]["tool_calls"][0]["function"]["name"] == "look_up___"


def test_tool_choice() -> None:
    def choice(**fields: Any) -> str:
        return chat_request(_context(**fields)).tool_choice

    assert choice() == choice(tools=(TIME,)) == "auto"
    assert choice(tools=(TIME,), must_call_tool=True) == "required"
    assert choice(tools=(TIME,), forced_tool="get_time") == "get_time"
    assert choice(must_call_tool=True) == "auto"


_TEXTS = st.sampled_from(["", " ", "Yes.", "Tell me more", "äöü"])
_IDS = st.sampled_from(["a", "b", "c", ""])
_ENTRIES = st.one_of(
    st.builds(
        Turn,
        st.sampled_from(["user", "assistant", "system"]),
        _TEXTS,
        st.booleans(),
    ),
    st.builds(ToolCall, _IDS, st.just("get_time"), st.sampled_from(["{}", "", "[1]"])),
    st.builds(ToolOutput, _IDS, _TEXTS),
)


@given(st.lists(_ENTRIES, max_size=12))
def test_every_call_is_answered_at_once_and_no_output_is_alone(history: list[Entry]) -> None:
    open_ids: list[str] = []
    for message in chat_messages(_context(*history)):
        if message["role"] == "tool":
            assert open_ids.pop(0) == message["tool_call_id"]
            assert message["content"].strip()
            continue
        assert open_ids == []
        open_ids = [call["id"] for call in message.get("tool_calls", [])]
        assert len(set(open_ids)) == len(open_ids)
        assert message["content"] or open_ids
    assert open_ids == []


_EXCHANGES = st.lists(
    st.tuples(
        st.sampled_from(["Hi", "What time is it?", "Go on"]),
        st.booleans(),
        st.sampled_from(["Hello.", "It is late.", "Well then"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@given(_EXCHANGES)
def test_each_request_begins_with_the_one_before(
    exchanges: list[tuple[str, bool, str, bool]],
) -> None:
    history: list[Entry] = []
    before: list[dict[str, Any]] = []
    for number, (question, uses_tool, answer, is_cut) in enumerate(exchanges):
        history.append(Turn("user", question))
        now = NOW + timedelta(seconds=20 * number)
        messages = chat_messages(Context(tuple(history), now, instructions="Be kind."))
        assert messages[: len(before)] == before
        before = messages
        if uses_tool:
            history += [ToolCall(f"c{number}", "get_time", "{}"), ToolOutput(f"c{number}", "8")]
            messages = chat_messages(Context(tuple(history), now, instructions="Be kind."))
            assert messages[: len(before)] == before
            before = messages
        history.append(Turn("assistant", answer, is_cut))
