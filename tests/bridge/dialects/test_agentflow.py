"""Agentflow's frames of `/v1/graph/live` as its documentation shows them, and what they become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.dialect import (
    AgentAudio,
    ClientAudio,
    ClientEventText,
    ClientLeaves,
    DialectError,
    OutboundEvent,
)
from bridge.dialects.agentflow import MAX_AUDIO_BYTES, AgentFlowDialect
from bridge.wire_audio import WireAudio
from conversation.events import server_events as out
from conversation.events.parts import ToolResult, ToolUse

# From the page of the endpoint.
INIT = {
    "thread_id": "session-001",
    "model": "gemini-live-2.5-flash-preview",
    "voice": "Puck",
    "modalities": ["AUDIO"],
    "system_prompt": "You are a terse voice assistant.",
    "tools_tags": ["weather"],
    "vad": {"enabled": True, "silence_duration_ms": 800},
}
AGENT: Any = {"agent_id": "a1", "agent_name": "Parley"}
ITEM: Any = {"response_id": "r", "item_id": "i"}


def opened(**init: Any) -> AgentFlowDialect:
    dialect = AgentFlowDialect()
    dialect.open(json.dumps(init), {})
    return dialect


def tell(dialect: AgentFlowDialect, *events: Any) -> list[dict[str, Any]]:
    return [
        json.loads(frame)
        for event in events
        for frame in dialect.write_event(OutboundEvent(event.model_dump_json(), 1))
    ]


def spoken(response_id: str = "r", status: str = "completed") -> list[Any]:
    item: Any = {"response_id": response_id, "item_id": f"item of {response_id}"}
    return [
        out.AgentResponseCreated(response_id=response_id, **AGENT),
        out.AgentResponseAudioDone(**item, **AGENT),
        out.AgentResponseDone(response_id=response_id, status=status, **AGENT),
        out.AgentPlayoutDone(**item, **AGENT),
    ]


# -- the first frame ---------------------------------------------------------------------------


def test_the_init_frame_of_the_documentation() -> None:
    opening = AgentFlowDialect().open(json.dumps(INIT), {})
    assert opening.channel_name == "session-001"
    assert opening.start == {}
    assert opening.wishes == {
        "model": "gemini-live-2.5-flash-preview",
        "voice": "Puck",
        "instructions": "You are a terse voice assistant.",
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 800},
        "thread_id": "session-001",
        "show_tools": "full",
    }
    assert (opening.audio_in.rate, opening.audio_out) == (16_000, WireAudio(rate=24_000))


@pytest.mark.parametrize(
    ("init", "wishes"),
    [
        ({}, {}),
        ({"thread_id": "new"}, {}),
        ({"modalities": "AUDIO"}, {}),
        ({"modalities": ["TEXT"]}, {"model_settings": {"output_modality": "text"}}),
        ({"vad": {"enabled": False}}, {"turn_detection": {"type": "none"}}),
        ({"vad": {"enabled": True}}, {}),
        ({"vad": {"start_sensitivity": "HIGH"}}, {}),
    ],
)
def test_fields_that_are_absent_leave_the_agent_as_it_is(
    init: dict[str, Any], wishes: dict[str, Any]
) -> None:
    opening = AgentFlowDialect().open(json.dumps(init), {})
    assert opening.wishes == wishes | {"show_tools": "full"}
    assert opening.channel_name is None
    assert opening.fresh_channel


def test_a_thread_that_cannot_name_a_channel_has_one_of_its_own() -> None:
    openings = [
        AgentFlowDialect().open(json.dumps({"thread_id": thread_id}), {})
        for thread_id in ("user@example.com:1", "two words", "x" * 100)
    ]
    assert len({opening.channel_name for opening in openings}) == 3
    assert openings[0].wishes["thread_id"] == "user@example.com:1"
    assert all(str(opening.channel_name).startswith("agentflow-") for opening in openings)


@pytest.mark.parametrize(
    "first",
    [
        b"\0\0",
        "hello",
        "[]",
        json.dumps({"modalities": []}),
        json.dumps({"modalities": ["AUDIO", "TEXT"]}),
        json.dumps({"modalities": "SMELL"}),
        json.dumps({"vad": {"silence_duration_ms": -1}}),
        json.dumps({"voice": 5}),
    ],
)
def test_another_first_frame_ends_the_connection(first: str | bytes) -> None:
    with pytest.raises(DialectError) as refused:
        AgentFlowDialect().open(first, {})
    assert (refused.value.code, refused.value.close_code) == ("invalid_config", 1003)


# -- what clients send -------------------------------------------------------------------------


def test_audio_and_control_frames() -> None:
    dialect = opened()
    assert dialect.read(b"\0\0") == [ClientAudio(b"\0\0")]
    assert dialect.read(bytes(MAX_AUDIO_BYTES + 2)) == [], "dropped, and not answered"
    (text,) = dialect.read('{"type": "text", "text": "What is the weather in Paris?"}')
    assert isinstance(text, ClientEventText)
    assert json.loads(text.text) == {
        "type": "client_text_append",
        "text": "What is the weather in Paris?",
    }
    assert dialect.read('{"type": "image"}') == []
    with pytest.raises(DialectError):
        dialect.read("no JSON")


def test_marks_of_activity_mean_something_with_manual_turns_only() -> None:
    dialect = opened(vad={"enabled": False})
    start, end = '{"type": "activity_start"}', '{"type": "activity_end"}'
    assert dialect.read(start) == []
    tell(dialect, out.AgentReady(has_manual_turns=True, **AGENT))
    assert dialect.read(start) == [ClientEventText('{"type":"client_activity_start"}')]
    assert dialect.read(end) == [ClientEventText('{"type":"client_activity_end"}')]


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        (None, None),
        (None, out.AgentInputDone(item_id="u", audio_end_ms=1, **AGENT)),
        ('{"type": "text", "text": "hi"}', None),
    ],
)
def test_a_close_comes_after_the_reply_that_is_due(frame: str | None, event: Any) -> None:
    dialect = opened()
    if frame is not None:
        dialect.read(frame)
    if event is not None:
        tell(dialect, event)
    assert dialect.read('{"type": "close"}') == [ClientLeaves(should_finish_reply=True)]
    assert dialect.is_over is (frame is None and event is None)
    assert dialect.read(b"\0\0") == []
    created, *rest, played = spoken()
    tell(dialect, created, *rest)
    assert not dialect.is_over
    assert tell(dialect, played) == [{"type": "turn_complete"}]
    assert dialect.is_over


# -- what clients get --------------------------------------------------------------------------


def test_events_of_a_turn_in_its_words_and_order() -> None:
    use = ToolUse(id="call-abc123", name="get_weather", input={"location": "Paris"})
    result = ToolResult(id="call-abc123", name="get_weather", output="24 degrees and sunny")
    told = tell(
        opened(),
        out.AgentReady(**AGENT),
        out.AgentInputTranscriptionDelta(item_id="u", delta="What's the weath", **AGENT),
        out.AgentInputTranscriptionDone(
            item_id="u", transcript="What's the weather in Paris?", **AGENT
        ),
        out.AgentResponseCreated(response_id="q", **AGENT),
        out.AgentResponseToolUseDone(tool_use=use, response_id="q", item_id="c", **AGENT),
        out.AgentResponseDone(response_id="q", **AGENT),
        out.AgentResponseToolResult(tool_result=result, **AGENT),
        out.AgentResponseAudioTranscriptDelta(delta="The weather in Par", **ITEM, **AGENT),
        out.AgentResponseAudioTranscriptDone(
            transcript="The weather in Paris ...", **ITEM, **AGENT
        ),
        *spoken(),
    )
    assert told == [
        {"type": "input_transcript", "text": "What's the weath", "finished": False},
        {"type": "input_transcript", "text": "What's the weather in Paris?", "finished": True},
        {
            "type": "tool_call",
            "id": "call-abc123",
            "name": "get_weather",
            "args": {"location": "Paris"},
        },
        {
            "type": "tool_result",
            "id": "call-abc123",
            "result": {"result": "24 degrees and sunny"},
        },
        {"type": "output_transcript", "text": "The weather in Par", "finished": False},
        {"type": "output_transcript", "text": "The weather in Paris ...", "finished": True},
        {"type": "turn_complete"},
    ]


def test_an_interruption_and_the_turn_that_it_ended() -> None:
    created, audio_done, done, _ = spoken(status="cancelled")
    cut = out.AgentInterrupted(audio_end_ms=5, heard="x", **ITEM, **AGENT)
    assert tell(opened(), created, cut, audio_done, done) == [
        {"type": "interrupted"},
        {"type": "turn_complete"},
    ]


def test_news_of_the_session_and_errors() -> None:
    dialect = opened()
    told = tell(
        dialect,
        out.ServerSessionGoAway(time_left_ms=5_500),
        out.ServerSessionGoAway(),
        out.AgentHandedOver(previous="main", current="billing-agent", **AGENT),
        out.AgentError(error_type="provider", code="rate_limit", message="slow", **AGENT),
        out.AgentConnectionChanged(status="reconnecting", **AGENT),
        out.AgentConnectionChanged(status="closed", **AGENT),
        out.AgentResponseCreated(response_id="x", is_out_of_band=True, **AGENT),
    )
    assert [each["type"] for each in told] == [
        "go_away",
        "go_away",
        "agent_changed",
        "error",
        "error",
    ]
    assert [each["time_left"] for each in told[:2]] == ["5.5s", None]
    assert told[2]["author"] == "billing-agent"
    assert (told[3]["code"], told[3]["fatal"]) == ("rate_limit", False)
    assert (told[4]["code"], told[4]["fatal"]) == ("reconnect_failed", True)


def test_audio_goes_as_bytes_and_a_beginning_and_an_end_without_words() -> None:
    dialect = opened()
    audio = AgentAudio(b"\1\0", WireAudio(), ("r", "i", 0), is_first=True)
    assert dialect.write_audio(audio) == [b"\1\0"]
    assert dialect.ended("s", "stopped") == []


@pytest.mark.parametrize(
    ("ours", "theirs", "close_code"),
    [
        ("forbidden", "not_authorized", 1008),
        ("provider_not_configured", "not_live", 1008),
        ("invalid_config", "invalid_config", 1003),
    ],
)
def test_refusals_have_its_words_and_codes(ours: str, theirs: str, close_code: int) -> None:
    dialect = AgentFlowDialect()
    (frame,) = dialect.refuse(ours, "no")
    assert json.loads(str(frame)) == {
        "type": "error",
        "code": theirs,
        "message": "no",
        "fatal": True,
    }
    assert dialect.close_codes[ours] == close_code
    (frame,) = dialect.refuse("invalid_event", "no")
    assert json.loads(str(frame))["fatal"] is False
