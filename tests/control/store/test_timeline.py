"""Marks and turns of a call are placed on the time of its recording, or of the call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control.black_box.models import BlackBox, StateStep
from control.store.changes import PutMark
from control.store.levels import Levels
from control.store.live_call import LiveCall
from control.store.marks import MAX_MARKS, MAX_TEXT_CHARACTERS, mark_of
from control.store.records import CallDetails, CallMark, CallTurn
from control.store.timeline import timeline_of
from conversation.events import server_events as out
from conversation.events.parts import ToolResult, ToolUse
from conversation.lifecycle import AgentState
from tests.control.store.samples import config, record

BEGAN_MS = 1_700_000_000_000
LEVELS = Levels(
    began_ms=BEGAN_MS + 1_000,
    duration_ms=60_000,
    window_ms=20,
    user=bytes([0, 255]),
    agent=bytes([7, 0]),
    pauses=((20_000, 23_000),),
    overlaps=((5_000, 5_400),),
)


def details(*turns: CallTurn, states: tuple[StateStep, ...] = (), **more: Any) -> CallDetails:
    return CallDetails(
        **record(ended_at_ms=BEGAN_MS + 90_000, **more).model_dump(),
        call_state={},
        turns=list(turns),
        black_box=BlackBox(states=states),
    )


def turn(**steps: Any) -> CallTurn:
    return CallTurn(**{"turn": 1, "process": 0, "at_ms": BEGAN_MS + 11_000} | steps)


def test_times_are_those_of_the_recording() -> None:
    states = (
        StateStep(state=AgentState.STARTING, at_ms=BEGAN_MS, process=0),
        StateStep(state=AgentState.RUNNING, at_ms=BEGAN_MS + 1_500, process=0),
        StateStep(state=AgentState.EXITED, at_ms=BEGAN_MS + 90_000, process=0),
    )
    cut = CallMark(at_ms=BEGAN_MS + 6_400, kind="interrupted")
    told = timeline_of(details(states=states), [cut], LEVELS)
    assert (told.began_ms, told.duration_ms, told.has_levels) == (BEGAN_MS + 1_000, 60_000, True)
    assert (told.window_ms, told.user, told.agent) == (20, [0, 255], [7, 0])
    # What was before the first sound is at its beginning, what came after the last at its end.
    assert [(one.at_ms, one.kind, one.text, one.duration_ms) for one in told.marks] == [
        (0, "state", "starting", None),
        (500, "state", "running", None),
        (5_000, "overlap", None, 400),
        (5_400, "interrupted", None, None),
        (20_000, "pause", None, 3_000),
        (60_000, "state", "exited", None),
    ]


def test_pauses_that_the_agent_measured_stand_where_no_recording_shows_them() -> None:
    pause = CallMark(at_ms=BEGAN_MS + 4_000, kind="pause", duration_ms=2_500)
    heard = timeline_of(details(), [pause], None)
    assert [(one.at_ms, one.kind, one.duration_ms) for one in heard.marks] == [
        (4_000, "pause", 2_500)
    ]
    recorded = timeline_of(details(), [pause], LEVELS)
    assert [one.at_ms for one in recorded.marks if one.kind == "pause"] == [20_000]


def test_without_a_recording_times_are_those_of_the_call() -> None:
    told = timeline_of(details(), [CallMark(at_ms=BEGAN_MS + 50, kind="tool_call")], None)
    assert (told.began_ms, told.duration_ms, told.has_levels) == (BEGAN_MS, 90_000, False)
    assert (told.window_ms, told.user, told.agent) == (0, [], [])
    assert [(one.at_ms, one.kind) for one in told.marks] == [(50, "tool_call")]


@pytest.mark.parametrize(
    ("steps", "at_ms"),
    [
        # From the end of speech on, which is before the endpoint.
        ({"speech_end_to_endpoint_ms": 400.0, "endpoint_at_ms": BEGAN_MS + 9_000}, 7_600),
        ({"endpoint_at_ms": BEGAN_MS + 9_000}, 8_000),
        # Of an older version, which told only when it reported it: at the first audio.
        (
            {
                "speech_end_to_endpoint_ms": 400.0,
                "endpoint_to_first_byte_ms": 300.0,
                "first_byte_to_first_audio_ms": 100.0,
                "first_audio_to_heard_ms": 50.0,
            },
            9_200,
        ),
        ({"endpoint_at_ms": BEGAN_MS + 10}, 0),
    ],
)
def test_a_turn_begins_where_its_speech_ended(steps: dict[str, Any], at_ms: int) -> None:
    (told,) = timeline_of(details(turn(**steps)), [], LEVELS).turns
    assert told.at_ms == at_ms
    assert told.speech_end_to_endpoint_ms == steps.get("speech_end_to_endpoint_ms")


AGENT: dict[str, Any] = {"agent_id": "a", "agent_name": "A"}
ITEM: dict[str, Any] = {**AGENT, "response_id": "r", "item_id": "i"}
TOOL = ToolUse(id="c", name="look_up", input={"secret": "words"})
MARKS: list[tuple[out.ServerEvent, str, str | None]] = [
    (out.AgentInterrupted(**ITEM, audio_end_ms=5, heard="words"), "interrupted", None),
    (out.AgentResumed(**AGENT, cause="backchannel"), "false_alarm", "backchannel"),
    (out.AgentResponseToolUseDone(**ITEM, tool_use=TOOL), "tool_call", "look_up"),
    (
        out.AgentResponseToolResult(
            **AGENT, tool_result=ToolResult(id="c", name="look_up", output="words")
        ),
        "tool_result",
        "look_up",
    ),
    (
        out.AgentResponseToolResult(
            **AGENT, tool_result=ToolResult(id="c", name="look_up", output="words", is_error=True)
        ),
        "tool_result",
        "look_up failed",
    ),
    (
        out.AgentHostedToolProgress(**AGENT, item_id="i", stage="calling", name="search"),
        "tool_call",
        "search",
    ),
    (
        out.AgentHostedToolProgress(**AGENT, item_id="i", stage="failed", name="search"),
        "tool_result",
        "search failed",
    ),
    (
        out.AgentToolApprovalRequired(**AGENT, tool_use=TOOL, timeout_ms=5),
        "approval",
        "look_up",
    ),
    (out.AgentHandedOver(**AGENT, previous="main", current="sales"), "transfer", "main → sales"),
    (
        out.AgentTransferRequested(**AGENT, target="Bea", uid=9, summary="words"),
        "transfer",
        "Bea is asked",
    ),
    (out.AgentTransferred(**AGENT, target="Bea", uid=9), "transfer", "Bea has joined"),
    (out.AgentConnectionChanged(**AGENT, status="reconnecting"), "state", "model reconnecting"),
]


def test_a_measured_pause_is_where_it_began() -> None:
    event = out.AgentTalkMeasured(**AGENT, kind="overlap", began_at_ms=70, duration_ms=300)
    assert mark_of(event, 500) == CallMark(at_ms=70, kind="overlap", duration_ms=300)


@pytest.mark.parametrize(("event", "kind", "text"), MARKS)
def test_an_event_is_a_mark_without_words(
    event: out.ServerEvent, kind: str, text: str | None
) -> None:
    assert mark_of(event, 5) == CallMark.model_validate({"at_ms": 5, "kind": kind, "text": text})


def test_other_events_are_none_and_texts_are_short() -> None:
    for event in (
        out.AgentPaused(**AGENT),
        out.AgentHostedToolProgress(**AGENT, item_id="i", stage="listed"),
        out.AgentPlayoutDone(**ITEM),
    ):
        assert mark_of(event, 5) is None
    long = mark_of(out.AgentResumed(**AGENT, cause="x" * 5_000), 5)
    assert long is not None
    assert long.text == "x" * MAX_TEXT_CHARACTERS


def test_of_too_many_marks_the_latest_are_kept() -> None:
    live = LiveCall(config(), at_ms=0)
    event = out.AgentPaused(**AGENT)
    assert list(live.handle_event(event, at_ms=1)) == []
    kept: dict[int, int] = {}
    for at_ms in range(MAX_MARKS + 3):
        (change,) = live.handle_event(out.AgentResumed(**AGENT, cause="echo"), at_ms=at_ms)
        assert isinstance(change, PutMark)
        kept[change.number] = change.mark.at_ms
    assert sorted(kept.values()) == list(range(3, MAX_MARKS + 3))


def test_marks_come_in_the_order_of_their_times() -> None:
    marks = [CallMark(at_ms=BEGAN_MS + at, kind="tool_call") for at in (9_000, 2_000, 5_100)]
    told = timeline_of(details(), marks, replace(LEVELS, pauses=()))
    assert [one.at_ms for one in told.marks] == [1_000, 4_100, 5_000, 8_000]
