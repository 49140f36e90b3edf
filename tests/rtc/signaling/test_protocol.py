"""Frames of the room protocol: what is taken, what is refused and with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.signaling.protocol import (
    Chat,
    Join,
    RelayedChat,
    SignalError,
    parse_client_frame,
    parse_server_frame,
    serialize,
)

DESCRIPTION = {
    "type": "description",
    "to": 1,
    "connection_id": "c",
    "sdp_type": "offer",
    "sdp": "v=0",
}


def _refusal(text: str) -> SignalError | None:
    try:
        parse_client_frame(text)
    except SignalError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "malformed", "not JSON"),
        ("[1]", "malformed", "object"),
        ("[" * 100_000, "malformed", "not JSON"),
        ("{}", "unknown_type", "join"),
        ('{"type": 3}', "unknown_type", "join"),
        ('{"type": "shout"}', "unknown_type", "join"),
        ('{"type": "join"}', "invalid", "role"),
        ('{"type": "join", "role": "king"}', "invalid", "role"),
        ('{"type": "join", "role": "user", "uid": 0}', "invalid", "uid"),
        ('{"type": "join", "role": "user", "uid": 4294967296}', "invalid", "uid"),
        ('{"type": "join", "role": "user", "uid": true}', "invalid", "uid"),
        ('{"type": "join", "role": "user", "uid": "7"}', "invalid", "uid"),
        ('{"type": "join", "role": "user", "color": "red"}', "invalid", "color"),
        ('{"type": "chat", "text": ""}', "invalid", "text"),
        ('{"type": "mute"}', "invalid", "is_muted"),
        ('{"type": "leave", "sdp": "v=0"}', "invalid", "sdp"),
        (json.dumps(DESCRIPTION | {"connection_id": "../x"}), "invalid", "connection_id"),
        (json.dumps(DESCRIPTION | {"sdp": "x" * 60_001}), "invalid", "sdp"),
    ],
)
def test_refuses_with_the_place_that_is_wrong(text: str, code: str, says: str) -> None:
    with pytest.raises(SignalError) as caught:
        parse_client_frame(text)
    assert caught.value.code == code
    assert says in caught.value.message


def test_names_the_type_of_a_refused_frame() -> None:
    with pytest.raises(SignalError) as caught:
        parse_client_frame('{"type": "chat"}')
    assert caught.value.request == "chat"


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(SignalError) as caught:
        parse_client_frame('{"type": "join", "role": "user", "token": 12345}')
    assert "12345" not in caught.value.message


def test_parses_what_it_serializes() -> None:
    for frame in (Join(role="agent", uid=7, name="Ada", instance="a-1"), Chat(text="hello")):
        assert parse_client_frame(serialize(frame)) == frame


def test_sender_travels_as_from() -> None:
    frame = RelayedChat(sender=7, text="hi", message_id="m", sent_at_ms=1)
    assert json.loads(serialize(frame))["from"] == 7
    assert parse_server_frame(serialize(frame)) == frame


def test_a_client_survives_a_newer_server() -> None:
    newer = '{"type": "member_left", "uid": 7, "reason": "left", "mood": "happy"}'
    assert parse_server_frame(newer) is not None
    assert parse_server_frame('{"type": "weather", "is_sunny": true}') is None
    with pytest.raises(SignalError):
        parse_server_frame('{"type": "member_left", "uid": 0, "reason": "left"}')


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "uid", "role", "to", "sdp", "text", "is_muted"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)
_TYPES = ["join", "leave", "mute", "description", "candidate", "chat", "peer_closed"]


@given(st.text(max_size=40) | _JSON.map(json.dumps))
def test_anything_is_a_frame_or_a_clear_refusal(text: str) -> None:
    error = _refusal(text)
    assert error is None or error.code in {"malformed", "unknown_type", "invalid"}


@given(st.sampled_from(_TYPES), st.dictionaries(st.sampled_from(["uid", "to", "sdp"]), _JSON))
def test_any_fields_of_a_known_type_are_a_frame_or_a_clear_refusal(
    kind: str, fields: dict[str, Any]
) -> None:
    error = _refusal(json.dumps({**fields, "type": kind}))
    assert error is None or (error.code, error.request) == ("invalid", kind)
