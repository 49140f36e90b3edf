"""AgentScope's frames as its documentation and its examples show them, and what they become."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bridge.dialect import (
    AgentAudio,
    BridgeSession,
    ClientAudio,
    ClientEventText,
    DialectError,
    OutboundEvent,
)
from bridge.dialects.agentscope import AgentScopeDialect
from bridge.wire_audio import WireAudio
from conversation.events import server_events as out
from conversation.events.client_events import parse_client_event
from conversation.events.parts import GrowingToolUse, ToolResult, ToolUse

ROUTE = {"user_id": "user1", "session_id": "session1"}
# From the tutorial.
CREATE = {
    "type": "client_session_create",
    "config": {"instructions": "You are a helpful assistant.", "user_name": "User1"},
}
TUTORIAL_AUDIO = {
    "type": "client_audio_append",
    "session_id": "session1",
    "audio": "AAAAAA==",
    "format": {"encoding": "pcm16", "sample_rate": 16000},
}
AGENT: Any = {"agent_id": "a1", "agent_name": "Friday"}
FIELDS = {
    "server_session_created": {"session_id"},
    "server_session_updated": {"session_id"},
    "server_session_ended": {"session_id"},
    "agent_ready": set(),
    "agent_ended": set(),
    "agent_response_created": {"response_id"},
    "agent_response_done": {"response_id", "input_tokens", "output_tokens", "metadata"},
    "agent_response_audio_delta": {"response_id", "item_id", "delta", "format"},
    "agent_response_audio_done": {"response_id", "item_id"},
    "agent_response_audio_transcript_delta": {"response_id", "item_id", "delta"},
    "agent_response_audio_transcript_done": {"response_id", "item_id"},
    "agent_response_tool_use_delta": {"response_id", "item_id", "tool_use"},
    "agent_response_tool_use_done": {"response_id", "item_id", "tool_use"},
    "agent_response_tool_result": {"tool_result"},
    "agent_input_transcription_delta": {"item_id", "delta"},
    "agent_input_transcription_done": {"transcript", "item_id", "input_tokens", "output_tokens"},
    "agent_input_started": {"item_id", "audio_start_ms"},
    "agent_input_done": {"item_id", "audio_end_ms"},
    "agent_error": {"error_type", "code", "message"},
}
"""The nineteen server events of its version 1.0.21."""


def opened(first: Any = CREATE, route: dict[str, str] = ROUTE) -> AgentScopeDialect:
    dialect = AgentScopeDialect()
    dialect.open(json.dumps(first), route)
    return dialect


def session() -> BridgeSession:
    return BridgeSession(
        session_id="ours",
        secret="s",
        uid=7,
        channel_name="user1.session1",
        audio_in=WireAudio(),
        audio_out=WireAudio(),
        **AGENT,
    )


def read_event(dialect: AgentScopeDialect, frame: dict[str, Any]) -> Any:
    (inbound,) = dialect.read(json.dumps(frame))
    assert isinstance(inbound, ClientEventText)
    return parse_client_event(inbound.text)


# -- the first message -------------------------------------------------------------------------


def test_the_tutorials_first_frame() -> None:
    opening = AgentScopeDialect().open(json.dumps(CREATE), ROUTE)
    assert opening.channel_name == "user1.session1"
    assert opening.user_name == "User1"
    assert opening.wishes["instructions"] == "You are a helpful assistant."
    assert opening.audio_out is None, "its voice comes at the model's rate"
    assert opening.start == {}


def test_the_example_pages_first_frame_and_fields_of_ours() -> None:
    config = {
        "instructions": "Be kind.",
        "agent_name": "Friday",
        "model_provider": "openai",
        "voice": "marin",
    }
    opening = AgentScopeDialect().open(json.dumps(CREATE | {"config": config}), ROUTE)
    assert opening.user_name == "user1"
    assert opening.start == {"voice": "marin"}
    wanted = {"instructions": "Be kind.", "name": "Friday", "provider": "openai"}
    assert {name: opening.wishes[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "first",
    [
        "{",
        "[]",
        b"\0",
        json.dumps(TUTORIAL_AUDIO),
        json.dumps({"type": "client_session_create"}),
        json.dumps({"type": "client_session_create", "config": []}),
        json.dumps({"type": "client_session_create", "config": {"instructions": 5}}),
    ],
)
def test_another_first_frame_ends_the_connection(first: str | bytes) -> None:
    with pytest.raises(DialectError) as refused:
        AgentScopeDialect().open(first, ROUTE)
    assert (refused.value.code, refused.value.close_code) == ("invalid_config", 1003)


def test_each_user_and_session_has_a_channel_of_its_own() -> None:
    pairs = [
        *(("a", "b"), ("a", "b.c"), ("a.b", "c"), ("a", "b-c"), ("a-b", "c"), ("A", "b")),
        *(
            ("ä", "1"),
            ("ü", "1"),
            ("a" * 60, "b" * 60),
            ("a" * 61, "b" * 59),
            ("a ", "b"),
            ("", ""),
        ),
    ]
    channels = [
        AgentScopeDialect()
        .open(json.dumps(CREATE), {"user_id": user, "session_id": name})
        .channel_name
        for user, name in pairs
    ]
    assert len(set(channels)) == len(pairs)
    assert channels[0] == "a.b"


# -- what clients send -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio_format", "rate_hz"),
    [
        ({"encoding": "pcm16", "sample_rate": 16000}, 16_000),
        ({"type": "audio/pcm", "rate": 24000}, 24_000),
        ({"type": "audio/pcm", "rate": 16000, "channels": 1}, 16_000),
    ],
)
def test_audio_of_the_tutorial_and_of_the_example_page(
    audio_format: dict[str, Any], rate_hz: int
) -> None:
    (audio,) = opened().read(json.dumps(TUTORIAL_AUDIO | {"format": audio_format}))
    assert audio == ClientAudio(b"\0\0\0\0", WireAudio(rate=rate_hz))


@pytest.mark.parametrize(
    "changes",
    [
        {"audio": "no base64!"},
        {"audio": None},
        {"format": {"type": "audio/opus", "rate": 48000}},
        {"format": {"type": "audio/pcm", "rate": 1}},
    ],
)
def test_audio_that_cannot_be_read_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DialectError) as refused:
        opened().read(json.dumps(TUTORIAL_AUDIO | changes))
    assert (refused.value.code, refused.value.close_code) == ("invalid_event", None)


def test_its_nine_client_events_become_ours() -> None:
    dialect = opened()
    with_id = {"session_id": "session1"}
    for name in ("session_end", "response_create", "response_cancel", "audio_commit"):
        event = {"type": f"client_{name}", **with_id}
        assert read_event(dialect, event).type == f"client_{name}"
    text = read_event(
        dialect, {"type": "client_text_append", "text": "hi", "lang": "en", **with_id}
    )
    assert text.text == "hi"
    picture = {"type": "image/jpeg", "mime_type": "image/jpeg"}
    for field in ("image", "data"):  # the class has one, the example page sends the other
        frame: dict[str, Any] = {"type": "client_image_append", field: "/9j/", **with_id}
        image = read_event(dialect, frame | {"format": picture})
        assert (image.image, image.format.type) == ("/9j/", "image/jpeg")
    result = {"type": "client_tool_result", "id": "c", "name": "n", **with_id}
    assert read_event(dialect, result | {"output": "12"}).output == "12"
    blocks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert read_event(dialect, result | {"output": blocks}).output == "one\ntwo"
    assert read_event(dialect, result | {"output": [*blocks, 3]}).output == [*blocks, 3]
    with pytest.raises(DialectError, match="created already"):
        dialect.read(json.dumps(CREATE))
    for broken in (b"\0\0", "[1]", "{"):
        with pytest.raises(DialectError):
            dialect.read(broken)


def test_an_event_without_its_fields_reaches_the_session_to_be_refused() -> None:
    (inbound,) = opened().read('{"type": "client_text_append"}')
    assert isinstance(inbound, ClientEventText)
    with pytest.raises(ValueError, match="text"):
        parse_client_event(inbound.text)


# -- what clients get --------------------------------------------------------------------------


def every_event() -> list[Any]:
    """One of each of ours that the protocol has, and some that it does not have."""
    item: Any = {"response_id": "r", "item_id": "i"}
    use = ToolUse(id="c", name="add", input={"a": 1})
    result = ToolResult(id="c", name="add", output="2")
    return [
        out.ServerSessionUpdated(session_id="sess_of_the_provider"),
        out.AgentReady(**AGENT),
        out.AgentResponseCreated(response_id="r", **AGENT),
        out.AgentResponseToolUseDelta(
            tool_use=GrowingToolUse(id="c", name="add", raw_input='{"a'), **item, **AGENT
        ),
        out.AgentResponseToolUseDone(tool_use=use, **item, **AGENT),
        out.AgentResponseToolResult(tool_result=result, **AGENT),
        out.AgentResponseAudioTranscriptDelta(delta="x", **item, **AGENT),
        out.AgentResponseAudioTranscriptDone(transcript="x", **item, **AGENT),
        out.AgentResponseAudioDone(**item, **AGENT),
        out.AgentResponseDone(response_id="r", input_tokens=1, output_tokens=2, **AGENT),
        out.AgentPlayoutDone(**item, **AGENT),
        out.AgentInputStarted(item_id="u", audio_start_ms=1, uid=7, **AGENT),
        out.AgentInputDone(item_id="u", audio_end_ms=2, uid=7, **AGENT),
        out.AgentInputTranscriptionDelta(item_id="u", delta="x", **AGENT),
        out.AgentInputTranscriptionDone(item_id="u", transcript="x", uid=7, **AGENT),
        out.AgentError(error_type="provider", code="c", message="m", **AGENT),
        out.AgentTurnMeasured.model_construct(**AGENT),
        out.AgentEnded(reason="stopped", **AGENT),
    ]


def test_its_nineteen_server_events_have_its_fields_and_no_others_come() -> None:
    dialect = opened()
    frames = dialect.created(session())
    for seq, event in enumerate(every_event()):
        frames += dialect.write_event(OutboundEvent(event.model_dump_json(), seq))
    audio = AgentAudio(b"\1\0", WireAudio(rate=24_000), ("r", "i", 0), is_first=True)
    frames += dialect.write_audio(audio)
    frames += dialect.ended("ours", "stopped")
    told = [json.loads(frame) for frame in frames]
    assert {event["type"] for event in told} == set(FIELDS)
    for event in told:
        agent = set(AGENT) if event["type"].startswith("agent_") else set()
        assert set(event) == FIELDS[event["type"]] | agent | {"type"}, event
        assert event.get("session_id", "session1") == "session1"
    by_type = {event["type"]: event for event in told}
    assert by_type["agent_response_tool_use_done"]["tool_use"] == {
        "type": "tool_use",
        "id": "c",
        "name": "add",
        "input": {"a": 1},
        "raw_input": '{"a": 1}',
    }
    assert set(by_type["agent_response_tool_result"]["tool_result"]) == {
        *("type", "id", "name", "output")
    }
    delta = by_type["agent_response_audio_delta"]
    assert base64.b64decode(delta["delta"]) == b"\1\0"
    assert delta["format"] == {"type": "audio/pcm", "rate": 24_000}


def test_a_fade_belongs_to_the_audio_before_it() -> None:
    dialect = opened()
    dialect.created(session())
    for key in (("r", "i", 0), None):
        (frame,) = dialect.write_audio(AgentAudio(b"\0\0", WireAudio(), key, is_first=False))
        told = json.loads(str(frame))
        assert (told["response_id"], told["item_id"]) == ("r", "i")


def test_a_refusal_before_the_agent_is_known_has_all_fields() -> None:
    (frame,) = AgentScopeDialect().refuse("forbidden", "no")
    assert json.loads(str(frame)) == {
        "type": "agent_error",
        "agent_id": "",
        "agent_name": "",
        "error_type": "client",
        "code": "forbidden",
        "message": "no",
    }
