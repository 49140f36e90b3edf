"""What clients may send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.events.client_events import (
    ClientTextAppend,
    ClientToolResult,
    InvalidClientEventError,
    parse_client_event,
)


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


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "client_response_create"} | {f"{n:x}": 0 for n in range(7_000)}, "more than 16"),
        (
            {
                "type": "client_image_append",
                "image": "",
                "format": {str(n): 0 for n in range(7_000)},
            },
            "format: more than 16",
        ),
        ({"type": "client_tool_result", "id": 1, "output": [1] * 20_000}, "output: more than 1000"),
        ({"type": "client_tool_result", "id": 1, "output": [{}] * 15_000}, "output: more than"),
    ],
)
def test_many_faults_are_refused_as_one(message: dict[str, Any], words: str) -> None:
    """Each fault that is described takes time: of thousands none is."""
    with pytest.raises(InvalidClientEventError, match=words) as caught:
        parse_client_event(json.dumps(message))
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "output", ["text", 1, 2.5, True, None, {"a": {"b": [None]}}, [1, "two", {}], []]
)
def test_a_tool_result_is_any_json_value(output: object) -> None:
    message = {"type": "client_tool_result", "id": "c", "name": "n", "output": output}
    event = parse_client_event(json.dumps(message))
    assert isinstance(event, ClientToolResult)
    assert event.output == output
    assert event.start_response


@pytest.mark.parametrize(
    "text", ["[" * 30_000, "\ud83d", '"\\ud83d"', '{"a": 1e999}', b"\xff", "{}"]
)
def test_what_is_no_event_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidClientEventError):
        parse_client_event(text)


def test_halves_of_characters_are_mended() -> None:
    event = parse_client_event('{"type": "client_text_append", "text": "a \\ud83d!"}')
    assert isinstance(event, ClientTextAppend)
    assert event.text == "a \ufffd!"
