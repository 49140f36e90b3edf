"""Servers that tell less of a reply than the protocol wants: nobody else notices."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import events as ours
from realtime import struct as wire
from realtime.openai.mapping import OpenAIMapper
from realtime.openai.reply_sequence import ReplySequence

Frame = dict[str, Any]


class Side:
    """What an agent is told of a server's frames."""

    def __init__(self) -> None:
        self.sequence = ReplySequence()
        self._mapper = OpenAIMapper(output_sample_rate_hz=24_000)

    def feed(self, *frames: Frame) -> list[ours.ModelEvent]:
        return [
            event
            for frame in frames
            for message in self.sequence.complete(wire.parse_server_event(json.dumps(frame)))
            for event in self._mapper.map(message)
        ]


def created(response_id: str | None = "r") -> Frame:
    return {"type": "response.created", "response": {"id": response_id}}


def done(response_id: str | None = "r") -> Frame:
    return {"type": "response.done", "response": {"id": response_id, "status": "completed"}}


def words(text: str, **ids: str) -> Frame:
    kind = "response.output_audio_transcript.delta"
    return {"type": kind, "response_id": "r", "item_id": "i", "delta": text} | ids


def call(arguments: str, *, call_id: str | None = "c", **ids: str | None) -> Iterable[Frame]:
    """A call as the protocol tells it: twice."""
    item = {"type": "function_call", "id": "i", "name": "add"} | {"id": ids.get("item_id", "i")}
    where = {"response_id": "r", "item_id": "i"} | ids
    yield {"type": "response.output_item.added", **where, "item": item | {"arguments": ""}}
    told = {"call_id": call_id, "arguments": arguments}
    yield {"type": "response.function_call_arguments.done", **where, **told}
    yield {"type": "response.output_item.done", **where, "item": item | told}


def kinds(events: list[ours.ModelEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


@pytest.mark.parametrize("has_created", [True, False])
@pytest.mark.parametrize("reply", ["r", "", None])
@pytest.mark.parametrize("item", ["i", "", None])
def test_a_reply_is_whole_whatever_the_server_leaves_out(
    has_created: bool, reply: str | None, item: str | None
) -> None:
    side = Side()
    frame = words("hi", response_id=reply, item_id=item)  # type: ignore[arg-type]
    events = side.feed(*([created(reply)] if has_created else []), frame, frame, done(reply))
    assert kinds(events) == [
        *("ResponseCreated", "TranscriptDelta", "TranscriptDelta", "GenerationDone"),
        "ResponseDone",
    ]
    ids = {event.response_id for event in events if hasattr(event, "response_id")}
    assert len(ids) == 1
    assert ids == {reply} if reply else "" not in ids
    items = {event.item_id for event in events if isinstance(event, ours.TranscriptDelta)}
    assert len(items) == 1
    assert "" not in items


def test_a_reply_that_was_only_ended_began() -> None:
    assert kinds(Side().feed(done())) == ["ResponseCreated", "GenerationDone", "ResponseDone"]


@pytest.mark.parametrize("has_end", [True, False])
def test_a_voice_ends_with_its_reply_at_the_latest(has_end: bool) -> None:
    where = {"response_id": "r", "item_id": "i", "content_index": 1}
    delta = {"type": "response.output_audio.delta", "delta": "AAA", **where}
    ended = [{"type": "response.output_audio.done", **where}] if has_end else []
    events = Side().feed(created(), delta, *ended, done())
    assert events[1:3] == [
        ours.AudioDelta("r", "i", 1, bytes(2), 24_000),
        ours.AudioDone("r", "i", 1),
    ]
    assert kinds(events)[3:] == ["GenerationDone", "ResponseDone"]


def test_an_end_without_a_reply_is_malformed() -> None:
    (error,) = Side().feed(done(None))
    assert isinstance(error, ours.ProviderError)
    assert error.code == "malformed_event"


def test_what_is_told_twice_is_told_once() -> None:
    side = Side()
    events = side.feed(created(), created(), words("a"), done(), done(), words("late"), *call("{}"))
    assert kinds(events) == ["ResponseCreated", "TranscriptDelta", "GenerationDone", "ResponseDone"]


def test_a_reply_that_began_anew_ended() -> None:
    events = Side().feed(created(), words("a"), created(), words("b"), done())
    assert kinds(events) == [
        *("ResponseCreated", "TranscriptDelta", "GenerationDone", "ResponseDone"),
        *("ResponseCreated", "TranscriptDelta", "GenerationDone", "ResponseDone"),
    ]


@pytest.mark.parametrize("has_created", [True, False])
def test_the_same_ids_in_every_reply(has_created: bool) -> None:
    side = Side()
    requested = []
    for number in range(3):
        side.sequence.expect_reply()
        begun = [created()] if has_created else []
        events = side.feed(*begun, *call(f'{{"n":{number}}}', call_id="call_0"), done())
        requested += [each for each in events if isinstance(each, ours.ToolCallRequested)]
    assert [each.arguments for each in requested] == ['{"n":0}', '{"n":1}', '{"n":2}']


def test_two_calls_of_one_reply_with_one_id() -> None:
    events = Side().feed(
        created(),
        *call('{"n":1}', call_id="call_0", item_id="a"),
        *call('{"n":2}', call_id="call_0", item_id="b"),
    )
    requested = [each for each in events if isinstance(each, ours.ToolCallRequested)]
    assert [each.arguments for each in requested] == ['{"n":1}', '{"n":2}']


def test_a_call_whose_item_is_called_differently_is_run_once() -> None:
    added, arguments, ended = call("{}")
    events = Side().feed(created(), added, arguments | {"item_id": "other"}, ended)
    assert kinds(events).count("ToolCallRequested") == 1


def test_calls_without_ids_are_run_once_each() -> None:
    side = Side()
    for number in range(2):
        events = side.feed(created(f"r{number}"))
        frames = call("{}", call_id=None, item_id=None, response_id=f"r{number}")
        events += side.feed(*frames, done(f"r{number}"))
        (requested,) = [each for each in events if isinstance(each, ours.ToolCallRequested)]
        assert requested.call_id
        assert requested.response_id == f"r{number}"


FRAMES = st.lists(
    st.sampled_from(
        [
            *(created(each) for each in ("r", "s", None)),
            *(done(each) for each in ("r", "s", None)),
            *(words("a", response_id=each) for each in ("r", "s", "")),
            *itertools.chain(call("{}"), call("{}", response_id="s", call_id=None)),
            {"type": "input_audio_buffer.committed", "item_id": "u"},
        ]
    ),
    max_size=25,
)


@given(frames=FRAMES)
def test_in_any_order_replies_begin_and_end_in_turn(frames: list[Frame]) -> None:
    side = Side()
    begun: set[str] = set()
    for event in side.feed(*frames):
        match event:
            case ours.ResponseCreated(response_id):
                assert response_id not in begun
                begun.add(response_id)
            case ours.ResponseDone(response_id):
                begun.remove(response_id)
            case ours.TranscriptDelta() | ours.ToolCallRequested():
                assert event.response_id in begun
    side.sequence.expect_reply()
    last = side.feed(created("fresh"), words("b", response_id="fresh"), done("fresh"))
    assert kinds(last)[-4:] == [
        *("ResponseCreated", "TranscriptDelta", "GenerationDone", "ResponseDone"),
    ]


def call_item(**changes: Any) -> Frame:
    item = {"type": "function_call", "id": "i", "call_id": "c", "name": "add", "arguments": "{}"}
    return {name: value for name, value in (item | changes).items() if value is not ...}


def item_done(**changes: Any) -> Frame:
    return {"type": "response.output_item.done", "response_id": "r", "item": call_item(**changes)}


def item_added(**changes: Any) -> Frame:
    return item_done(**changes) | {"type": "response.output_item.added"}


def done_with(*items: Any, **changes: Any) -> Frame:
    response = {"id": "r", "status": "completed", "output": list(items)} | changes
    return {"type": "response.done", "response": response}


ARGUMENTS_DONE = {
    "type": "response.function_call_arguments.done",
    "response_id": "r",
    "item_id": "i",
    "arguments": "{}",
}


@pytest.mark.parametrize("has_created", [True, False])
@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([done_with(call_item())], id="only with the end of the reply"),
        pytest.param([done_with(call_item(status="completed"), None, "x")], id="beside odd items"),
        pytest.param([done_with(call_item(id=None))], id="without the item's id"),
        pytest.param([item_done(), done_with(call_item())], id="twice"),
        pytest.param([item_done(), done_with(call_item(id="other"))], id="twice, by call"),
        pytest.param([item_done(call_id=None), done_with(call_item())], id="twice, by item"),
        pytest.param(
            [item_done(id=None, call_id=None), done_with(call_item(arguments={}))],
            id="twice, by number",
        ),
        pytest.param([item_added(status="completed"), done()], id="only with its beginning"),
        pytest.param([item_added(arguments=""), ARGUMENTS_DONE, done()], id="by its arguments"),
        pytest.param(
            [item_added(arguments=""), ARGUMENTS_DONE, item_done(), done_with(call_item())],
            id="three times",
        ),
        pytest.param([item_added(), item_done(name=...), done()], id="name with its beginning"),
        pytest.param([item_done(arguments=...), done()], id="without arguments"),
    ],
)
def test_a_call_is_made_once_however_it_is_told(frames: list[Frame], has_created: bool) -> None:
    events = Side().feed(*([created()] if has_created else []), *frames)
    assert [each.name for each in events if isinstance(each, ours.ToolCallRequested)] == ["add"]
    assert kinds(events)[-2:] == ["GenerationDone", "ResponseDone"]


def test_calls_told_with_the_end_of_the_reply_alone_are_all_made() -> None:
    items = [call_item(), call_item(id="j", call_id="d", arguments={"n": 1})]
    for output in (items, [each | {"id": None, "call_id": None} for each in items]):
        events = Side().feed(created(), done_with(*output))
        calls = [each for each in events if isinstance(each, ours.ToolCallRequested)]
        assert [each.arguments for each in calls] == ["{}", '{"n": 1}']
        assert len({each.call_id for each in calls}) == 2
        assert all(each.call_id and each.item_id for each in calls)


@pytest.mark.parametrize(
    "close_reason",
    [
        done_with(call_item(), status="cancelled"),
        done_with(call_item(), status="failed"),
        done_with(call_item(status="incomplete")),
        done_with(call_item(name="")),
    ],
)
def test_a_call_that_was_not_finished_is_not_made(close_reason: Frame) -> None:
    events = Side().feed(created(), close_reason)
    assert not any(isinstance(each, ours.ToolCallRequested) for each in events)


@pytest.mark.parametrize(
    ("given", "arguments"),
    [(5, "5"), (True, "true"), (1.5, "1.5"), ([], "[]"), ("", ""), (None, "")],
)
def test_arguments_of_any_type_are_told(given: Any, arguments: str) -> None:
    events = Side().feed(created(), item_done(arguments=given))
    (call,) = [each for each in events if isinstance(each, ours.ToolCallRequested)]
    assert call.arguments == arguments


@pytest.mark.parametrize("index", [-1, 10**30, 1e300, "x", None, [1], -1e300])
def test_a_place_that_cannot_be_is_the_first(index: Any) -> None:
    events = Side().feed(created(), words("a") | {"content_index": index})
    (piece,) = [each for each in events if isinstance(each, ours.TranscriptDelta)]
    assert piece.content_index == 0


def test_counts_that_cannot_be_are_none() -> None:
    usage = {
        "total_tokens": 10**40,
        "input_tokens": -5,
        "output_tokens": 7,
        "input_token_details": {"cached_tokens": 10**30, "new_tokens": 10**30, "text_tokens": 3},
    }
    *_, ended = Side().feed(created(), done_with(usage=usage))
    assert isinstance(ended, ours.ResponseDone)
    assert ended.usage == ours.Usage(
        input_tokens=0, output_tokens=7, total_tokens=0, details={"input_text_tokens": 3}
    )
