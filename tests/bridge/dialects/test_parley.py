"""Parley's own dialect, message by message."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bridge.dialect import (
    AgentAudio,
    Answer,
    BridgeSession,
    ClientAudio,
    ClientEventText,
    ClientLeaves,
    DialectError,
    OutboundEvent,
    Resumption,
)
from bridge.dialects.parley import ParleyDialect
from bridge.wire_audio import WireAudio
from line.participants import ChatMessage

KEY = ("r1", "i1", 0)


def create(config: dict[str, Any] | None = None, **fields: Any) -> str:
    return json.dumps({"type": "client_session_create", "config": config or {}, **fields})


def opened(config: dict[str, Any] | None = None) -> ParleyDialect:
    dialect = ParleyDialect()
    dialect.open(create(config), {})
    dialect.created(session())
    return dialect


def session(**changes: Any) -> BridgeSession:
    values: dict[str, Any] = {
        "session_id": "s1",
        "secret": "hush",
        "uid": 7,
        "channel_name": "demo",
        "agent_id": "a1",
        "agent_name": "Parley",
        "audio_in": WireAudio(rate=16_000),
        "audio_out": WireAudio(),
    }
    return BridgeSession(**(values | changes))


def test_the_first_message_names_audio_and_the_fields_of_a_start() -> None:
    config = {
        "audio_in": {"encoding": "pcm16", "rate": 16_000},
        "audio_out": "ulaw",
        "user_uid": 7,
        "user_name": "Ann",
        "voice": "marin",
        "instructions": "Be brief.",
    }
    opening = ParleyDialect().open(create(config), {})
    assert opening.start == {"voice": "marin", "instructions": "Be brief."}
    assert (opening.uid, opening.user_name) == (7, "Ann")
    assert opening.audio_in == WireAudio(rate=16_000)
    assert opening.audio_out == WireAudio(encoding="ulaw", rate=8_000)
    assert opening.resumption is None
    resumed = ParleyDialect().open(create(session_id="s1", secret="x", last_seq=4), {})
    assert resumed.resumption == Resumption("s1", "x", 4)
    assert "hush" not in repr(session())


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (b"\x00\x01", "the first message is a client_session_create"),
        ("nonsense", "not valid JSON"),
        ('{"type": "client_text_append", "text": "hi"}', "the first message is a"),
        (create({"audio_in": {"encoding": "mp3"}}), "audio_in.encoding"),
        (create({"audio_in": {"rate": 7_999}}), "audio_in.rate"),
        (create({"audio_in": {"encoding": "opus", "rate": 44_100}}), "Opus has"),
        (create({"audio_out": {"encoding": "alaw", "rate": 16_000}}), "G.711 has"),
        (create({"audio_out": "opus", "audio_as": "events"}), "events carry pcm16 only"),
        (create({"user_uid": 0}), "user_uid"),
        (create(last_seq=-1), "last_seq"),
        (create(surprise=1), "surprise"),
        (json.dumps({"type": "client_session_create", "config": []}), "config"),
    ],
)
def test_a_first_message_that_is_none_is_refused_with_the_reason(
    first: str | bytes, text: str
) -> None:
    with pytest.raises(DialectError, match=text) as caught:
        ParleyDialect().open(first, {})
    assert (caught.value.code, caught.value.close_code) == ("invalid_config", 1003)


def test_the_session_is_described() -> None:
    dialect = ParleyDialect()
    dialect.open(create(), {})
    (text,) = dialect.created(session(is_resumed=True, lost_events=2))
    assert isinstance(text, str)
    event = json.loads(text)
    assert event["type"] == "server_session_created"
    assert (event["session_id"], event["secret"], event["uid"]) == ("s1", "hush", 7)
    assert event["audio_in"] == {"encoding": "pcm16", "rate": 16_000}
    assert (event["is_resumed"], event["lost_events"]) == (True, 2)


def test_binary_is_audio_and_text_is_an_event() -> None:
    dialect = opened()
    assert dialect.read(b"\x01\x02") == [ClientAudio(b"\x01\x02")]
    text = '{"type": "client_text_append", "text": "hi"}'
    assert dialect.read(text) == [ClientEventText(text)]
    assert dialect.read('{"type": "client_leave"}') == [ClientLeaves()]
    assert dialect.read('{"type": "client_ping"}') == [Answer(('{"type":"server_pong"}',))]
    append = {"type": "client_audio_append", "audio": base64.b64encode(b"\x03\x04").decode()}
    assert dialect.read(json.dumps(append)) == [ClientAudio(b"\x03\x04")]
    append["format"] = {"type": "audio/pcm", "rate": 48_000}  # type: ignore[assignment]
    assert dialect.read(json.dumps(append)) == [ClientAudio(b"\x03\x04", WireAudio(rate=48_000))]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        (create(), "created already"),
        ('{"type": "client_audio_append", "audio": "???"}', "audio"),
        ('{"type": "client_audio_append", "audio": "", "format": {"rate": 1}}', "rate"),
        ('{"type": "client_audio_append"}', "audio"),
    ],
)
def test_what_is_no_event_is_refused_and_the_connection_goes_on(message: str, text: str) -> None:
    with pytest.raises(DialectError, match=text) as caught:
        opened().read(message)
    assert (caught.value.code, caught.value.close_code) == ("invalid_event", None)


def test_events_carry_their_number() -> None:
    event = OutboundEvent('{"type":"agent_ended","agent_id":"a1"}', 12)
    (text,) = opened().write_event(event)
    assert isinstance(text, str)
    assert json.loads(text) == {"type": "agent_ended", "agent_id": "a1", "seq": 12}
    assert event.fields["type"] == "agent_ended"


def test_binary_audio_is_announced_once_for_each_part() -> None:
    dialect = opened()
    started, data = dialect.write_audio(AgentAudio(b"ab", WireAudio(), KEY, is_first=True))
    assert isinstance(started, str)
    assert json.loads(started) == {
        "type": "agent_audio_started",
        "agent_id": "a1",
        "agent_name": "Parley",
        "response_id": "r1",
        "item_id": "i1",
        "content_index": 0,
    }
    assert data == b"ab"
    assert dialect.write_audio(AgentAudio(b"cd", WireAudio(), KEY, is_first=False)) == [b"cd"]


def test_audio_may_come_in_events() -> None:
    dialect = opened({"audio_as": "events"})
    (text,) = dialect.write_audio(AgentAudio(b"ab", WireAudio(rate=16_000), KEY, is_first=True))
    assert isinstance(text, str)
    event = json.loads(text)
    assert event["type"] == "agent_response_audio_delta"
    assert (event["response_id"], event["item_id"]) == ("r1", "i1")
    assert base64.b64decode(event["delta"]) == b"ab"
    assert event["format"] == {"type": "audio/pcm", "rate": 16_000}


def test_chat_refusals_and_the_end_are_events() -> None:
    dialect = opened()
    chat, refusal, end = (
        json.loads(text)
        for (text,) in (
            dialect.write_chat(ChatMessage("hello", "m1")),
            dialect.refuse("too_many_events", "slow down"),
            dialect.ended("s1", "stopped"),
        )
    )
    assert (chat["type"], chat["text"], chat["message_id"]) == ("agent_chat_message", "hello", "m1")
    assert (refusal["type"], refusal["code"]) == ("agent_error", "too_many_events")
    assert end == {"type": "server_session_ended", "session_id": "s1", "reason": "stopped"}


def test_an_image_may_come_as_bytes_after_its_announcement() -> None:
    dialect = opened()
    announced = {"type": "client_image_append", "format": {"type": "image/png"}}
    assert dialect.read(json.dumps(announced)) == []
    (shown,) = dialect.read(b"\x89PNG\r\n\x1a\n...")
    assert isinstance(shown, ClientEventText)
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()
    assert json.loads(shown.text) == announced | {"image": image}
    assert dialect.read(b"\0\0") == [ClientAudio(b"\0\0")], "the next one is audio again"
