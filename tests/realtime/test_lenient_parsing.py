"""What nobody needs cannot fail a message, what somebody needs fails alone."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from realtime import events as ours
from realtime import struct as wire
from realtime.gemini import wire as gemini_wire
from realtime.lenient_parsing import Count, clean, read_tolerantly
from realtime.openai import beta
from realtime.openai.mapping import OpenAIMapper

ODD: tuple[Any, ...] = (None, [], {}, "x", 500, 10.5, True, [[{}]], {"a": {"b": []}}, math.nan)


def read(frame: dict[str, Any]) -> tuple[Any, list[str]]:
    notes: list[str] = []
    return wire.parse_server_event(json.dumps(frame), note=notes.append), notes


def mapped(*frames: dict[str, Any]) -> list[ours.ModelEvent]:
    mapper = OpenAIMapper(output_sample_rate_hz=24_000)
    return [event for frame in frames for event in mapper.map(read(frame)[0])]


# -- the mechanism -----------------------------------------------------------------------------


class Inner(BaseModel):
    number: int = 0
    needed: str


class Outer(BaseModel):
    inner: Inner | None = None
    several: list[Inner] = []
    must: int


@pytest.mark.parametrize(
    ("message", "expected", "notes"),
    [
        ({"must": 1}, Outer(must=1), []),
        ({"must": 1, "inner": 7}, Outer(must=1), ["inner"]),
        (
            {"must": 1, "inner": {"needed": "a", "number": []}},
            Outer(must=1, inner=Inner(needed="a")),
            ["inner.number"],
        ),
        ({"must": 1, "inner": {"needed": 5}}, Outer(must=1), ["inner.needed", "inner"]),
        (
            {"must": 1, "several": [1, {"needed": "a"}, {}, {"needed": "b", "number": "x"}]},
            Outer(must=1, several=[Inner(needed="a"), Inner(needed="b")]),
            ["several.number", "several", "several"],
        ),
    ],
)
def test_what_is_wrong_is_left_out_from_the_inside(
    message: dict[str, Any], expected: Outer, notes: list[str]
) -> None:
    given: list[str] = []
    before = json.dumps(message)
    assert read_tolerantly(Outer.model_validate, message, note=given.append) == expected
    assert given == notes
    assert json.dumps(message) == before, "the message itself was changed"


@pytest.mark.parametrize("message", [{}, {"must": "x"}, {"must": None, "inner": 1}])
def test_what_must_be_there_must_be_there(message: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_tolerantly(Outer.model_validate, message, note=lambda _path: None)


def test_clean_values_can_be_written() -> None:
    value = {"a": [math.inf, 1.5, "\ud83d\ude00 \ud83d"], "\udc00": {"b": math.nan}}
    assert clean(value) == {"a": [None, 1.5, "\U0001f600 \ufffd"], "\ufffd": {"b": None}}


@pytest.mark.parametrize(("given", "count"), [(7, 7), (7.4, 7), ("7", 7), ("7.6", 8)])
def test_counts_may_be_fractions_or_text(given: Any, count: int) -> None:
    class Counted(BaseModel):
        n: Count

    assert Counted(n=given).n == count


# -- OpenAI ------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    "path",
    [
        ("event_id",),
        *(("response", name) for name in ("object", "status_details", "output", "usage")),
        *(("response", name) for name in ("metadata", "audio", "conversation_id")),
        *(("response", name) for name in ("output_modalities", "max_output_tokens")),
        *(("response", "usage", name) for name in ("total_tokens", "input_token_details")),
        *(("response", "status_details", name) for name in ("type", "reason", "error")),
        *(("response", "status_details", "error", name) for name in ("type", "code", "message")),
        *(("response", "output", 0, name) for name in ("id", "status", "object", "content")),
    ],
)
def test_a_reply_is_over_whatever_else_its_end_says(path: tuple[Any, ...], odd: Any) -> None:
    frame: dict[str, Any] = {
        "type": "response.done",
        "response": {
            "id": "r",
            "status": "completed",
            "output": [{"type": "message", "role": "assistant", "content": []}],
            "usage": {"total_tokens": 3},
            "status_details": {"error": {}},
        },
    }
    here: Any = frame
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = odd
    done = mapped(frame)[-1]
    assert isinstance(done, ours.ResponseDone)
    assert (done.response_id, done.status) == ("r", ours.ResponseStatus.COMPLETED)


def test_what_can_be_understood_of_odd_forms_is() -> None:
    error = {"type": "server_error", "code": 500, "message": "boom"}
    done = mapped(
        {
            "type": "response.done",
            "response": {
                "id": "r",
                "status": "failed",
                "status_details": {"error": error},
                "usage": {"total_tokens": 10.5, "input_tokens": "4", "output_tokens": {}},
            },
        }
    )
    assert ours.ProviderError("500", "boom") in done
    usage = ours.Usage(input_tokens=4, total_tokens=10)
    assert done[-1] == ours.ResponseDone("r", ours.ResponseStatus.FAILED, "500", usage)


@pytest.mark.parametrize(
    ("frame", "code", "message"),
    [
        ({"error": "boom"}, "invalid_request_error", "boom"),
        ({"error": {"message": "boom"}}, "invalid_request_error", "boom"),
        ({"error": {"type": None, "code": 429, "message": "boom"}}, "429", "boom"),
        ({"error": {"error": {"code": "x", "message": "boom"}}}, "x", "boom"),
        ({"error": {"error": "boom"}}, "invalid_request_error", "boom"),
        ({"code": "x", "message": "boom"}, "x", "boom"),
        ({"error": None, "message": "boom"}, "invalid_request_error", "boom"),
        ({"error": ["boom"], "code": 5}, "5", ""),
        ({"error": {"code": ["x"], "message": {"a": 1}}}, "invalid_request_error", ""),
        ({}, "invalid_request_error", ""),
    ],
)
def test_errors_in_any_form_are_told(frame: dict[str, Any], code: str, message: str) -> None:
    assert mapped({"type": "error", **frame}) == [ours.ProviderError(code, message)]


@pytest.mark.parametrize("kind", ["session.created", "session.updated"])
@pytest.mark.parametrize(
    ("session", "id_", "expires_at"),
    [
        ({"id": "s", "expires_at": 1999999999.5}, "s", 1999999999.5),
        ({"id": "s", "expires_at": "2033-05-18T03:33:19Z"}, "s", None),
        ({"id": "s", "expires_at": math.inf}, "s", None),
        ({"id": "s", "model": {"id": "m"}}, "s", None),
        ({"id": 7, "audio": "loud", "tools": [1], "object": []}, "7", None),
        ({"id": {"a": 1}, "type": ["realtime"]}, None, None),
        ("sess_1", None, None),
        (None, None, None),
        ([], None, None),
    ],
)
def test_any_session_is_a_session(
    kind: str, session: Any, id_: str | None, expires_at: float | None
) -> None:
    event, _ = read({"type": kind, "session": session})
    assert isinstance(event, wire.SessionCreated | wire.SessionUpdated)
    assert (event.session.id, event.session.expires_at) == (id_, expires_at)
    event, _ = read({"type": kind})
    assert isinstance(event, wire.SessionCreated | wire.SessionUpdated)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ["event_id", "output_index", "content_index", "item_id"])
def test_a_piece_of_a_reply_needs_no_more_than_itself(name: str, odd: Any) -> None:
    delta = "response.output_audio_transcript.delta"
    event, _ = read({"type": delta, "response_id": "r", "item_id": "i", "delta": "hi", name: odd})
    assert isinstance(event, wire.ResponseOutputAudioTranscriptDelta)
    assert (event.response_id, event.delta) == ("r", "hi")


@pytest.mark.parametrize("odd", [None, [], {}, 5.5])
def test_a_piece_without_what_it_brings_fails_alone(odd: Any) -> None:
    for kind in ("response.output_audio.delta", "response.output_text.delta"):
        with pytest.raises(wire.InvalidEventError, match=r"^delta: "):
            read({"type": kind, "response_id": "r", "item_id": "i", "delta": odd})


@pytest.mark.parametrize("odd", [None, "later", [], {}, 700.4])
def test_speech_is_heard_whatever_its_time(odd: Any) -> None:
    frame = {"type": "input_audio_buffer.speech_started", "item_id": "i", "audio_start_ms": odd}
    assert mapped(frame) == [ours.SpeechStarted("i", 700 if odd == 700.4 else 0)]


@pytest.mark.parametrize("odd", ODD)
def test_a_call_is_run_whatever_else_its_item_says(odd: Any) -> None:
    item = {"type": "function_call", "id": "i", "call_id": "c", "name": "add", "arguments": "{}"}
    for name in ("status", "object"):
        frame = {
            "type": "response.output_item.done",
            "response_id": "r",
            "item": item | {name: odd},
        }
        assert mapped(frame) == [ours.ToolCallRequested("r", "i", "c", "add", "{}")]


@pytest.mark.parametrize(
    ("arguments", "text"), [({"a": [1]}, '{"a": [1]}'), (None, ""), ({}, "{}"), ([1], "[1]")]
)
def test_arguments_that_are_no_text_become_it(arguments: Any, text: str) -> None:
    item = {"type": "function_call", "id": "i", "call_id": "c", "name": "add"}
    whole = {"type": "response.output_item.done", "response_id": "r"}
    done = {
        "type": "response.function_call_arguments.done",
        "response_id": "r",
        "item_id": "i",
        "call_id": "c",
        "name": "add",
    }
    expected = [ours.ToolCallRequested("r", "i", "c", "add", text)]
    assert mapped(whole | {"item": item | {"arguments": arguments}}) == expected
    assert mapped(done | {"arguments": arguments}) == expected


def test_of_a_list_a_bad_element_is_left_out_alone() -> None:
    limits = [{"name": "tokens", "remaining": 5.6, "reset_seconds": math.inf}, 7, {"name": []}]
    assert mapped({"type": "rate_limits.updated", "rate_limits": limits}) == [
        ours.RateLimitsUpdated(remaining={"tokens": 6})
    ]


def test_what_is_left_out_is_noted_by_its_path_and_never_by_its_content() -> None:
    _, notes = read(
        {
            "type": "response.done",
            "event_id": 5,
            "response": {"id": "r", "usage": {"total_tokens": "secret"}, "metadata": ["secret"]},
        }
    )
    assert sorted(notes) == ["event_id", "response.metadata", "response.usage.total_tokens"]


def test_unknown_events_pass_on_nothing_that_cannot_be_written() -> None:
    text = '{"type":"response.hum","x":NaN,"y":["\\ud83d",1e999]}'
    event = wire.parse_server_event(text)
    told = OpenAIMapper(output_sample_rate_hz=24_000).map(event)
    assert told == [ours.UnknownEventReceived("response.hum", {"x": None, "y": ["\ufffd", None]})]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ["audio", "voice", "modalities", "input_audio_format", "tools"])
def test_odd_sessions_of_the_old_dialect_are_sessions(name: str, odd: Any) -> None:
    session = {"id": "s", "voice": "v", "input_audio_format": "pcm16", name: odd}
    (message,) = beta.to_ga({"type": "session.created", "session": session})
    event = wire.read_server_event(message)
    assert isinstance(event, wire.SessionCreated)
    assert event.session.id == "s"


@pytest.mark.parametrize("odd", ODD)
def test_odd_replies_of_the_old_dialect_are_replies(odd: Any) -> None:
    for name in ("modalities", "usage", "output"):
        response = {"id": "r", "status": "completed", name: odd}
        (message,) = beta.to_ga({"type": "response.done", "response": response})
        event = wire.read_server_event(message)
        assert isinstance(event, wire.ResponseDone)
        assert event.response.id == "r"


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "response.output_text.done", "text": "\ud83d", "response_id": "r"},
        {"type": "error", "error": {"message": "\ud83d"}},
        {
            "type": "response.output_item.done",
            "response_id": "r",
            "item": {"type": "function_call", "name": "n", "call_id": "c", "arguments": "\ud83d"},
        },
        {"type": "conversation.item.done", "item": {"type": "mcp_call", "error": "\ud83d"}},
        {"type": "response.hum", "delta": "\ud83d"},
    ],
)
def test_nothing_that_is_no_stream_holds_half_a_character(frame: dict[str, Any]) -> None:
    for event in mapped(frame):
        repr(event).encode()
        assert "\\ud83d" not in ascii(event)


# -- Gemini ------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    "path",
    [
        *(("usageMetadata", name) for name in ("totalTokenCount", "promptTokensDetails")),
        *(("serverContent", name) for name in ("interrupted", "groundingMetadata")),
        ("serverContent", "inputTranscription"),
        ("serverContent", "modelTurn", "role"),
        ("serverContent", "modelTurn", "parts", 0, "inlineData"),
        ("goAway", "timeLeft"),
        ("sessionResumptionUpdate", "newHandle"),
        ("voiceActivity", "audioOffset"),
        ("toolCall", "functionCalls", 1),
    ],
)
def test_frames_of_gemini_lose_only_what_is_odd(path: tuple[Any, ...], odd: Any) -> None:
    frame: dict[str, Any] = {
        "serverContent": {"modelTurn": {"parts": [{}, {"text": "hi"}]}, "turnComplete": True},
        "usageMetadata": {"responseTokenCount": "3"},
        "toolCall": {"functionCalls": [{"name": "add", "args": {"a": 1}}, {}]},
        "goAway": {},
        "sessionResumptionUpdate": {},
        "voiceActivity": {},
    }
    here: Any = frame
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = odd
    message = gemini_wire.parse(json.dumps(frame))
    content = message.server_content
    assert content is not None
    assert content.turn_complete
    assert content.model_turn is not None
    assert "hi" in [part.text for part in content.model_turn.parts]
    assert message.tool_call is not None
    assert message.tool_call.function_calls[0].args == {"a": 1}
    assert message.usage_metadata is not None
    assert message.usage_metadata.response_token_count == 3


@pytest.mark.parametrize(
    ("args", "read_args"),
    [
        ('{"a": 1}', {"a": 1}),
        ("nonsense", {}),
        ([], {}),
        ({"a": math.inf, "b": "\ud83d"}, {"a": None, "b": "\ufffd"}),
    ],
)
def test_arguments_of_gemini_can_be_written(args: Any, read_args: dict[str, Any]) -> None:
    text = json.dumps({"toolCall": {"functionCalls": [{"name": "add", "args": args}]}})
    message = gemini_wire.parse(text)
    assert message.tool_call is not None
    assert message.tool_call.function_calls[0].args == read_args
