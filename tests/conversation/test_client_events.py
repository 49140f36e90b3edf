"""What clients may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.client_events import ClientTextAppend, InvalidClientEventError, parse_client_event


def test_a_valid_event() -> None:
    event = parse_client_event('{"type": "client_text_append", "text": "hi"}')
    assert event == ClientTextAppend(text="hi")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "JSON"),
        ("[]", "message"),
        ('{"type": "client_dance"}', "client_dance"),
        ('{"type": "client_text_append"}', "text"),
        ('{"type": "client_text_append", "text": ""}', "text"),
        ('{"type": "client_text_append", "text": "x", "colour": 1}', "colour"),
        ('{"type": "client_audio_append", "audio": "", "format": {"rate": 3}}', "rate"),
    ],
)
def test_an_invalid_event_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(InvalidClientEventError, match=named):
        parse_client_event(text)


@given(st.text() | st.binary())
def test_garbage_is_always_refused_in_one_way(garbage: str | bytes) -> None:
    with pytest.raises(InvalidClientEventError):
        parse_client_event(garbage)


@pytest.mark.parametrize("kind", ["client_activity_start", "client_activity_end"])
def test_push_to_talk_needs_no_more_than_its_name(kind: str) -> None:
    assert parse_client_event(f'{{"type": "{kind}"}}').type == kind
