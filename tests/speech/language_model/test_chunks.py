"""Bytes of a stream to chunks and tool calls."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.language_model.call_assembly import (
    MAX_ARGUMENT_CHARACTERS,
    MAX_CALLS,
    CallAssembler,
)
from speech.language_model.chunks import (
    CallPiece,
    Chunk,
    InvalidChunkError,
    StreamError,
    clean_text,
    read_chunk,
)
from speech.language_model.event_stream import (
    MAX_EVENT_BYTES,
    EventStreamDecoder,
    EventTooLongError,
)
from speech.language_model.protocol import TokenUsage

# -- events ------------------------------------------------------------------------------------

STREAM = (
    ": keep-alive\n\n"
    'event: message\r\nid: 7\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
    "retry: 10\n\n"
    "data:ä\n\n"
    "data: [DONE]\r\r"
).encode()
EVENTS = ['{"a":\n1}', "ä", "[DONE]"]


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=8))
def test_events_come_out_whole_however_the_bytes_are_cut(cuts: list[int]) -> None:
    decoder = EventStreamDecoder()
    found: list[str] = []
    edges = [0, *sorted(set(cuts)), len(STREAM)]
    for start, end in itertools.pairwise(edges):
        found += decoder.push(STREAM[start:end])
    assert [*found, *decoder.flush()] == EVENTS


def test_a_stream_may_end_without_a_blank_line() -> None:
    decoder = EventStreamDecoder()
    assert list(decoder.push(b"data: 1\n\ndata: 2")) == ["1"]
    assert list(decoder.flush()) == ["2"]
    assert list(decoder.flush()) == []


@pytest.mark.parametrize(
    "data", [b"x" * (MAX_EVENT_BYTES + 1), (b"data: " + b"x" * 65_536 + b"\n") * 17]
)
def test_lines_and_events_are_bounded(data: bytes) -> None:
    with pytest.raises(EventTooLongError):
        list(EventStreamDecoder().push(data))


@given(st.binary(max_size=200))
def test_any_bytes_are_taken(data: bytes) -> None:
    decoder = EventStreamDecoder()
    for text in [*decoder.push(data), *decoder.flush()]:
        assert isinstance(text, str)


# -- chunks ------------------------------------------------------------------------------------


def _chunk(delta: Any, finish_reason: Any = None, **fields: Any) -> Chunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return read_chunk(json.dumps({"choices": [choice], **fields}))


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"role": "assistant"}, Chunk()),
        ({"role": "assistant", "content": ""}, Chunk()),
        ({"content": None}, Chunk()),
        (None, Chunk()),
        ({"content": "Hi"}, Chunk(text="Hi")),
        ({"content": [{"type": "text", "text": "Hi"}, {"type": "image"}]}, Chunk(text="Hi")),
        ({"content": 5}, Chunk()),
        ({"content": "a \ud83d\ude00 b"}, Chunk(text="a \U0001f600 b")),
        ({"content": "half \ud83d"}, Chunk(text="half \ufffd")),
        ({"reasoning_content": "Hm"}, Chunk(has_reasoning=True)),
        ({"reasoning": "Hm", "content": ""}, Chunk(has_reasoning=True)),
        ({"tool_calls": None}, Chunk()),
        ({"tool_calls": [None, 5]}, Chunk()),
        (
            {
                "tool_calls": [
                    {"id": 5, "index": True, "function": {"name": "f", "arguments": {"a": 1}}}
                ]
            },
            Chunk(calls=(CallPiece(None, "", "f", '{"a": 1}'),)),
        ),
        (
            {"function_call": {"name": "f", "arguments": "{"}},
            Chunk(calls=(CallPiece(0, "", "f", "{"),)),
        ),
    ],
)
def test_deltas(delta: Any, expected: Chunk) -> None:
    assert _chunk(delta) == expected


def test_a_message_stands_for_a_delta() -> None:
    body = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    assert read_chunk(json.dumps(body)) == Chunk(text="Hi", finish_reason="stop")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (None, None),
        ("", None),
        (0, None),
        ("stop", "stop"),
        ("eos", "stop"),
        ("max_tokens", "length"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
    ],
)
def test_finish_reasons(reason: Any, expected: str | None) -> None:
    assert _chunk({}, reason).finish_reason == expected


def test_usage_with_and_without_choices() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 5},
    }
    assert read_chunk(json.dumps({"choices": [], "usage": usage})).usage == TokenUsage(9, 2, 5)
    assert _chunk({"content": "a"}, usage=usage).usage == TokenUsage(9, 2, 5)
    for invalid in (None, 5, {}, {"prompt_tokens": "x"}, {"prompt_tokens": -4}):
        assert _chunk({}, usage=invalid).usage is None
    assert _chunk({}, usage={"prompt_tokens": 3, "prompt_tokens_details": 1}).usage == TokenUsage(
        3, 0
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "Overloaded", "code": 502}, StreamError("Overloaded", "502")),
        ({"type": "server_error"}, StreamError("server_error", "server_error")),
        ("out of memory", StreamError("out of memory", "")),
        ({"detail": "Not Found"}, StreamError("Not Found", "")),
        (
            {"detail": [{"loc": ["body"], "msg": "Extra inputs", "input": "what was said"}]},
            StreamError("Extra inputs", ""),
        ),
        (
            {"message": "[{'msg': 'Extra inputs', 'input': 'what was said'}]"},
            StreamError("[{'msg': 'Extra inputs', ", ""),
        ),
        ({"message": {"a": "what was said"}, "code": ["x"]}, StreamError("", "")),
    ],
)
def test_errors_inside_a_stream(error: Any, expected: StreamError) -> None:
    assert read_chunk(json.dumps({"error": error})).error == expected


@pytest.mark.parametrize("data", ["", "{", "5", "[]", "<html>", "[" * 100_000])
def test_what_is_no_chunk_is_refused(data: str) -> None:
    with pytest.raises(InvalidChunkError):
        read_chunk(data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "tool_calls", "function", "usage", "error"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["choices", "usage", "error"]), _JSON))
def test_any_object_is_read(body: dict[str, Any]) -> None:
    assert isinstance(read_chunk(json.dumps(body)), Chunk)


@given(st.text(alphabet=st.characters(), max_size=20))
def test_every_text_can_be_encoded(text: str) -> None:
    clean_text(text).encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert clean_text(text) == text


# -- calls -------------------------------------------------------------------------------------


def _assembled(*pieces: tuple[int | None, str, str, str]) -> list[tuple[str, str]]:
    assembler = CallAssembler()
    for piece in pieces:
        assembler.add([CallPiece(*piece)])
    return [(call.name, call.arguments) for call in assembler.calls]


TWO = [("f", '{"a":1}'), ("g", '{"b":2}')]


@pytest.mark.parametrize(
    "pieces",
    [
        [(0, "x", "f", ""), (0, "", "", '{"a":'), (0, "", "", "1}"), (1, "y", "g", '{"b":2}')],
        [(0, "x", "f", ""), (1, "y", "g", ""), (0, "", "", '{"a":1}'), (1, "", "", '{"b":2}')],
        [(None, "x", "f", '{"a":1}'), (None, "y", "g", '{"b":2}')],
        [(None, "", "f", '{"a":1}'), (None, "", "g", '{"b":2}')],
        [(0, "x", "f", '{"a":1}'), (0, "y", "g", '{"b":2}')],
        [(0, "", "f", '{"a":1}'), (0, "", "g", '{"b":2}')],
        [(0, "x", "f", '{"a":'), (0, "x", "f", "1}"), (1, "x", "g", '{"b":2}')],
        [(None, "x", "f", '{"a"'), (None, "", "", ":1}"), (None, "y", "g", '{"b":2}')],
    ],
    ids=[
        "in order",
        "interleaved",
        "no index",
        "no index, no id",
        "all 0 with ids",
        "all 0 without ids",
        "repeated name and id",
        "no index, in pieces",
    ],
)
def test_calls_are_told_apart(pieces: list[tuple[int | None, str, str, str]]) -> None:
    assert _assembled(*pieces) == TWO


def test_the_same_whole_call_twice_is_two_calls() -> None:
    assert _assembled((0, "", "f", "{}"), (0, "", "f", "{}")) == [("f", "{}"), ("f", "{}")]


def test_a_name_may_come_after_the_id() -> None:
    assert _assembled((0, "x", "", ""), (0, "", "f", "{}")) == [("f", "{}")]


def test_calls_and_arguments_are_bounded() -> None:
    assert len(_assembled(*[(n, "", "f", "{}") for n in range(100)])) == MAX_CALLS
    long = _assembled((0, "", "f", ""), *[(0, "", "", "x" * 10_000)] * 10)
    assert len(long[0][1]) == MAX_ARGUMENT_CHARACTERS
