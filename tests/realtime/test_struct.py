"""The wire messages: complete, tolerant towards providers, precise towards clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import (
    RealtimeClientEvent,
    RealtimeServerEvent,
)
from pydantic import TypeAdapter

from realtime import struct as wire

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
KNOWN_TYPES = sorted(
    get_args(member.model_fields["type"].annotation)[0]
    for member in (*get_args(wire.KnownServerEvent), *get_args(wire.AnyClientEvent))
)
FIELDS = ["session", "item", "response", "error", "part", "delta", "audio", "item_id", "event_id"]
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(KNOWN_TYPES) | JSON},
    optional=dict.fromkeys(FIELDS, JSON),
)
PARSERS: list[Callable[[str | bytes], wire.WireEvent]] = [
    wire.parse_server_event,
    wire.parse_client_event,
]


def sdk_types(union: Any) -> set[str]:
    """The `type` values of a union of the official package."""
    members = get_args(get_args(union)[0])
    return {get_args(member.model_fields["type"].annotation)[0] for member in members}


def own_types(union: Any) -> set[str]:
    return {member.model_fields["type"].default for member in get_args(union)}


def test_every_message_of_the_official_package_is_typed() -> None:
    assert own_types(wire.KnownServerEvent) == sdk_types(RealtimeServerEvent)
    assert own_types(wire.AnyClientEvent) == sdk_types(RealtimeClientEvent)
    assert len(own_types(wire.KnownServerEvent)) == 46
    assert len(own_types(wire.AnyClientEvent)) == 11


def test_absent_and_null_are_different_on_the_wire() -> None:
    audio = wire.SessionAudio(input=wire.AudioInput(turn_detection=None))
    message = wire.SessionUpdate(session=wire.Session(audio=audio))
    assert json.loads(wire.serialize(message)) == {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}},
    }
    assert wire.parse_client_event(wire.serialize(message)) == message


def test_serialized_messages_are_compact_and_carry_constants() -> None:
    text = wire.serialize(wire.InputAudioBufferAppend(audio=wire.encode_pcm(b"\1\0")))
    assert text == '{"type":"input_audio_buffer.append","audio":"AQA="}'
    assert wire.audio_append_text(b"\1\0") == text


def test_built_server_message_has_a_fresh_id_and_satisfies_the_official_package() -> None:
    first, second = (
        wire.ConversationItemDone(
            item=wire.MessageItem(
                id="item_1",
                role="assistant",
                content=[wire.ContentPart(type="output_audio", transcript="hi")],
            )
        )
        for _ in range(2)
    )
    assert first.event_id != second.event_id
    adapter: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
    parsed = adapter.validate_json(wire.serialize(first), strict=True)
    assert parsed.item.content[0].transcript == "hi"


def test_unknown_server_type_becomes_one_explicit_type() -> None:
    message = wire.parse_server_event('{"type":"response.sung","x":1}')
    assert isinstance(message, wire.UnknownEvent)
    assert (message.type, message.model_extra) == ("response.sung", {"x": 1})


def test_unknown_fields_item_kinds_and_session_shapes_do_not_fail() -> None:
    added = wire.parse_server_event(
        '{"type":"conversation.item.added","event_id":"e","new":1,"item":{"type":"poem","id":"i"}}'
    )
    assert isinstance(added, wire.ConversationItemAdded)
    assert added.item == wire.UnknownItem(type="poem", id="i")
    created = wire.parse_server_event(
        '{"type":"session.created","session":{"type":"realtime","id":"s","expires_at":9,'
        '"audio":{"input":{"turn_detection":{"type":"telepathy"}}}}}'
    )
    assert isinstance(created, wire.SessionCreated)
    assert (created.session.id, created.session.expires_at) == ("s", 9)


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "magic"}, "invalid_value", "type"),
        ({}, "missing_required_parameter", "type"),
        (
            {
                "type": "session.update",
                "session": {
                    "type": "realtime",
                    "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}},
                },
            },
            "invalid_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"type": "session.update", "session": {"type": "realtime", "tools": [{}]}},
            "missing_required_parameter",
            "session.tools.0.type",
        ),
        (
            {"type": "conversation.item.create", "item": {"type": "poem"}},
            "invalid_value",
            "item.type",
        ),
        (
            {"type": "conversation.item.create", "item": {"type": "function_call_output"}},
            "missing_required_parameter",
            "item.call_id",
        ),
    ],
)
def test_wrong_client_message_is_answered_with_the_field(
    message: dict[str, Any], code: str, param: str
) -> None:
    with pytest.raises(wire.InvalidEventError) as caught:
        wire.parse_client_event(json.dumps(message | {"event_id": "mine"}))
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.event_id == "mine"
    assert str(caught.value).startswith(param)


@pytest.mark.parametrize("text", ["", "[]", "{", b"\xff", "\ud800", "[" * 50_000, "null"])
@pytest.mark.parametrize("parse", PARSERS)
def test_what_is_no_json_object_is_refused(
    parse: Callable[[str | bytes], wire.WireEvent], text: str | bytes
) -> None:
    with pytest.raises(wire.InvalidEventError) as caught:
        parse(text)
    assert caught.value.code == "invalid_json"


@given(MESSAGES | JSON)
def test_no_json_makes_a_parser_raise_anything_else(message: Any) -> None:
    text = json.dumps(message)
    for parse in PARSERS:
        with suppress(wire.InvalidEventError):
            parse(text)


@given(st.text() | st.binary())
def test_no_garbage_makes_a_parser_raise_anything_else(text: str | bytes) -> None:
    for parse in PARSERS:
        with suppress(wire.InvalidEventError):
            parse(text)


@given(st.binary().map(lambda data: data[: len(data) // 2 * 2]))
def test_audio_survives_base64(pcm: bytes) -> None:
    assert wire.decode_pcm(wire.encode_pcm(pcm)) == pcm


@pytest.mark.parametrize("text", ["AQ==", "no base64!", "A", "é"])
def test_broken_audio_is_refused(text: str) -> None:
    with pytest.raises(wire.InvalidEventError) as caught:
        wire.decode_pcm(text, param="item.content[0].audio")
    assert (caught.value.code, caught.value.param) == ("invalid_value", "item.content[0].audio")


def test_a_piece_of_a_stream_may_end_in_half_a_sample_and_not_in_half_a_byte() -> None:
    assert wire.decode_audio("AQ") == b"\x01"
    with pytest.raises(wire.InvalidEventError) as caught:
        wire.decode_audio("A", event_id="mine")
    assert (caught.value.code, caught.value.event_id) == ("invalid_value", "mine")
