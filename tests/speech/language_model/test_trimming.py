"""Conversations that are longer than the window."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from speech.dialogue.context import Tool
from speech.language_model.protocol import ChatRequest
from speech.language_model.token_estimate import (
    Calibration,
    estimated_usage,
    message_tokens,
    request_tokens,
    text_tokens,
)
from speech.language_model.trimming import fitting

SYSTEM = {"role": "system", "content": "Be kind."}
LAST = {"role": "system", "content": "Answer in French."}


def _tokens(messages: Sequence[Any]) -> int:
    return sum(map(message_tokens, messages))


def _exchange(number: int, length: int = 40, *, tool: bool = False) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"{number} " + "w" * length}]
    if tool:
        function = {"name": "look_up", "arguments": "{}"}
        call = {"id": f"c{number}", "type": "function", "function": function}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": "x" * length},
        ]
    return [*messages, {"role": "assistant", "content": "a" * length}]


def _conversation(exchanges: int, **options: Any) -> list[dict[str, Any]]:
    turns = [message for number in range(exchanges) for message in _exchange(number, **options)]
    return [SYSTEM, *turns]


def test_what_fits_stays_as_it_is() -> None:
    messages = [*_conversation(5), LAST]
    assert fitting(messages, _tokens(messages)) == messages


def test_the_oldest_exchanges_go_in_blocks() -> None:
    messages = [*_conversation(20), LAST]
    room = _tokens(messages) - 1
    kept = fitting(messages, room)
    assert kept[0] == SYSTEM
    assert kept[-1] == LAST
    assert kept[1]["role"] == "user"
    assert kept[1:] == messages[-len(kept) + 1 :]
    turns_room = room - _tokens([SYSTEM, LAST])
    assert turns_room * 0.65 < _tokens(kept[1:-1]) <= turns_room * 0.75


def test_the_beginning_stays_the_same_for_many_turns() -> None:
    room = 400
    beginnings = []
    for exchanges in range(1, 60):
        kept = fitting(_conversation(exchanges), room)
        assert _tokens(kept) <= room
        beginnings.append(kept[1]["content"])
    changes = sum(a != b for a, b in itertools.pairwise(beginnings))
    assert 5 < changes < 25


def test_the_last_exchange_stays_even_if_it_is_too_long() -> None:
    messages = _conversation(3, length=4000)
    assert fitting(messages, 100) == [SYSTEM, *messages[-2:]]


def test_long_tool_outputs_of_the_last_exchange_are_shortened() -> None:
    messages = [SYSTEM, *_exchange(1, tool=True)[:-1]]
    messages[-1] = {**messages[-1], "content": "begin" + "x" * 40_000 + "end"}
    kept = fitting(messages, 1_000)
    assert _tokens(kept) <= 1_000
    assert kept[:-1] == messages[:-1]
    assert kept[-1]["content"].startswith("begin")
    assert kept[-1]["content"].endswith("end")
    assert "[... shortened ...]" in kept[-1]["content"]


def test_a_conversation_of_system_messages_alone() -> None:
    assert fitting([SYSTEM, LAST], 1) == [SYSTEM, LAST]


def test_a_factor_leaves_less_room() -> None:
    messages = _conversation(10)
    assert len(fitting(messages, _tokens(messages), 2.0)) < len(messages)


_SIZES = st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=25)


@given(_SIZES, st.integers(50, 2_000))
def test_nothing_is_torn_apart(sizes: list[tuple[int, bool]], room: int) -> None:
    messages: list[dict[str, Any]] = [SYSTEM]
    for number, (length, tool) in enumerate(sizes):
        messages += _exchange(number, length, tool=tool)
    kept = fitting(messages, room)
    assert kept[0] == SYSTEM
    last_exchange = _exchange(len(sizes) - 1, *sizes[-1][:1], tool=sizes[-1][1])
    assert [m["role"] for m in kept[-len(last_exchange) :]] == [m["role"] for m in last_exchange]
    assert kept[1]["role"] == "user"
    called = [call["id"] for m in kept for call in m.get("tool_calls", ())]
    assert called == [m["tool_call_id"] for m in kept if m["role"] == "tool"]
    is_whole = kept[1:] == messages[-len(kept) + 1 :]
    only_last_left = len(kept) == len(last_exchange) + 1
    assert is_whole or only_last_left
    assert _tokens(kept) <= room or only_last_left


@given(_SIZES, st.integers(100, 1_500))
def test_each_request_begins_with_the_one_before_until_a_trim(
    sizes: list[tuple[int, bool]], room: int
) -> None:
    messages: list[dict[str, Any]] = [SYSTEM]
    before: list[Any] = []
    start = 0
    for number, (length, tool) in enumerate(sizes):
        exchange = _exchange(number, min(length, 200), tool=tool)
        kept = fitting([*messages, exchange[0]], room)
        messages += exchange
        first = int(str(kept[1]["content"]).split()[0])
        assert first >= start, "an exchange that was left out never comes back"
        if first == start:
            assert kept[: len(before)] == before
        before, start = kept, first


def test_tokens_are_estimated_by_script() -> None:
    assert text_tokens("") == 0
    assert text_tokens("a") == 1
    assert text_tokens("The quick brown fox jumps over the lazy dog.") in range(9, 14)
    assert text_tokens("漢字仮名") == 4
    assert text_tokens("Привет") == 3


def test_tools_count() -> None:
    tool = Tool("get_time", "Tell the time.", {"type": "object", "properties": {}})
    assert request_tokens([SYSTEM], [tool]) > request_tokens([SYSTEM], []) + 12
    usage = estimated_usage(ChatRequest([SYSTEM], [tool]), "four words are here")
    assert usage.input_tokens == request_tokens([SYSTEM], [tool])
    assert usage.output_tokens == text_tokens("four words are here")
    assert usage.is_estimated


def test_calibration_moves_in_coarse_steps() -> None:
    calibration = Calibration()
    calibration.observe(100, 1_000)
    assert calibration.factor == 1.0, "small prompts say little"
    calibration.observe(1_000, 1_210)
    assert calibration.factor == 1.25
    calibration.observe(1_000, 1_100)
    assert calibration.factor == 1.25, "no step down for a small difference"
    calibration.observe(1_000, 800)
    assert calibration.factor == 0.875
    calibration.observe(1_000, 90_000)
    assert calibration.factor == 4.0
