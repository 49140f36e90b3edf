"""Server messages in our words: exactly once, in order, nothing invented."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime import events as ours
from realtime import struct as wire
from realtime.events import ModelEvent
from realtime.openai.mapping import BENIGN_CODES, OpenAIMapper
from tests.fakes import openai_frames as fake


def mapped(*frames: fake.Frame) -> list[ModelEvent]:
    mapper = OpenAIMapper(output_sample_rate_hz=24_000)
    parsed = (wire.parse_server_event(json.dumps(frame)) for frame in frames)
    return [event for message in parsed for event in mapper.map(message)]


def call_frames(name: str = "add", arguments: str = '{"a": 1}') -> tuple[fake.Reply, list[Any]]:
    reply = fake.Reply()
    frames = [
        reply.begin(),
        *reply.add_item(reply.call_item(name, "call_1", "", "in_progress")),
        *reply.arguments("call_1", name, arguments),
        *reply.end_item(reply.call_item(name, "call_1", arguments, "completed")),
    ]
    return reply, frames


def without(frames: list[Any], event_type: str) -> list[Any]:
    left = [frame for frame in frames if frame["type"] != event_type]
    assert len(left) < len(frames)
    return left


def test_a_spoken_reply_from_beginning_to_end() -> None:
    reply = fake.Reply()
    frames = [reply.begin(), *reply.begin_speech(), reply.words("Hi."), reply.audio(b"\1\0")]
    frames += reply.end_speech()
    where = (reply.id, reply.item_id, 0)
    assert mapped(*frames) == [
        ours.ResponseCreated(reply.id),
        ours.ItemAdded(reply.item_id, "message", "assistant", reply.id),
        ours.TranscriptDelta(*where, "Hi."),
        ours.AudioDelta(*where, b"\1\0", 24_000),
        ours.AudioDone(*where),
        ours.TranscriptDone(*where, "Hi."),
        ours.GenerationDone(reply.id),
        ours.ResponseDone(
            reply.id,
            ours.ResponseStatus.COMPLETED,
            None,
            ours.Usage(
                10,
                20,
                30,
                {
                    "input_text_tokens": 4,
                    "input_audio_tokens": 6,
                    "input_image_tokens": 0,
                    "input_cached_tokens": 0,
                    "output_text_tokens": 5,
                    "output_audio_tokens": 15,
                },
            ),
        ),
        ours.RateLimitsUpdated({"tokens": 900}, {"tokens": 1000}, {"tokens": 1.5}),
    ]


def test_a_reply_cut_by_the_provider_says_so() -> None:
    reply = fake.Reply()
    frames = [reply.begin(), *reply.begin_speech()]
    reply.cut_reason = "turn_detected"
    events = mapped(*frames, *reply.end_speech())
    assert ours.Interrupted(reply.id) in events
    done = next(event for event in events if isinstance(event, ours.ResponseDone))
    assert (done.status, done.reason) == (ours.ResponseStatus.CANCELLED, "turn_detected")


@pytest.mark.parametrize(
    "missing", [None, "response.function_call_arguments.done", "response.output_item.done"]
)
def test_a_tool_call_is_told_exactly_once(missing: str | None) -> None:
    reply, frames = call_frames()
    events = mapped(*(frames if missing is None else without(frames, missing)))
    calls = [event for event in events if isinstance(event, ours.ToolCallRequested)]
    assert calls == [ours.ToolCallRequested(reply.id, reply.item_id, "call_1", "add", '{"a": 1}')]
    deltas = [event for event in events if isinstance(event, ours.ToolCallDelta)]
    assert "".join(event.delta for event in deltas) == '{"a": 1}'
    assert {(event.call_id, event.name) for event in deltas} == {("call_1", "add")}


def test_pieces_of_a_call_without_its_id_get_that_of_the_item() -> None:
    _, frames = call_frames()
    for frame in frames:
        frame.pop("call_id", None)
    deltas = [event for event in mapped(*frames) if isinstance(event, ours.ToolCallDelta)]
    assert {(event.call_id, event.name) for event in deltas} == {("call_1", "add")}
    frames = without(frames, "response.output_item.added")
    assert not [event for event in mapped(*frames) if isinstance(event, ours.ToolCallDelta)]


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (None, (None, None)),
        ({"type": "duration", "seconds": 1.5}, (None, None)),
        ({"type": "tokens", "input_tokens": 14, "output_tokens": 5}, (14, 5)),
        ({"type": "tokens", "input_tokens": -1, "output_tokens": 10**30}, (None, None)),
        ({"type": "tokens", "input_tokens": "many", "output_tokens": 5}, (None, 5)),
    ],
)
def test_words_carry_the_tokens_that_the_provider_reports(
    usage: object, counts: tuple[int | None, int | None]
) -> None:
    event_type = "conversation.item.input_audio_transcription.completed"
    frame = fake.frame(event_type, item_id="i", transcript="hello", usage=usage)
    (done,) = mapped(frame)
    assert isinstance(done, ours.InputTranscriptDone)
    assert (done.input_tokens, done.output_tokens) == counts


def test_a_reply_repeats_the_labels_that_it_was_requested_with() -> None:
    reply = fake.Reply()
    frames = [reply.begin(), *reply.begin_speech(), *reply.end_speech()]
    for frame in frames:
        if frame["type"] == "response.done":
            frame["response"]["metadata"] = {"topic": "weather", "count": 3, "deep": {}}
    (done,) = [event for event in mapped(*frames) if isinstance(event, ours.ResponseDone)]
    assert done.metadata == {"topic": "weather"}


def test_a_call_announced_without_its_name_gets_it_from_the_item() -> None:
    _, frames = call_frames()
    for frame in frames:
        frame.pop("name", None)
    calls = [event for event in mapped(*frames) if isinstance(event, ours.ToolCallRequested)]
    assert [call.name for call in calls] == ["add"]
    frames = without(frames, "response.output_item.added")
    calls = [event for event in mapped(*frames) if isinstance(event, ours.ToolCallRequested)]
    assert [call.name for call in calls] == ["add"]


def test_half_a_call_was_never_made() -> None:
    _, frames = call_frames()
    frames = without(frames, "response.function_call_arguments.done")
    for frame in frames:
        if frame["type"] == "response.output_item.done":
            frame["item"]["status"] = "incomplete"
    assert not [event for event in mapped(*frames) if isinstance(event, ours.ToolCallRequested)]


@pytest.mark.parametrize("code", sorted(BENIGN_CODES))
def test_races_that_change_nothing_are_swallowed(code: str) -> None:
    assert mapped(fake.error(code, "too late")) == []


@pytest.mark.parametrize(
    ("code", "is_fatal"),
    [("invalid_value", False), ("session_expired", True), ("insufficient_quota", True)],
)
def test_other_errors_are_told_with_their_weight(code: str, is_fatal: bool) -> None:
    assert mapped(fake.error(code, "no", param="x", event_id="mine")) == [
        ours.ProviderError(code, "no", is_fatal, "mine", "x")
    ]


def test_a_failed_reply_tells_why() -> None:
    failed = {
        "id": "resp_1",
        "status": "failed",
        "status_details": {
            "type": "failed",
            "error": {"type": "insufficient_quota", "code": None, "message": "pay first"},
        },
    }
    assert mapped(fake.frame("response.done", response=failed)) == [
        ours.GenerationDone("resp_1"),
        ours.ProviderError("insufficient_quota", "pay first", is_fatal=True),
        ours.ResponseDone("resp_1", ours.ResponseStatus.FAILED, "insufficient_quota"),
    ]


def test_a_status_of_the_future_still_ends_the_reply() -> None:
    done = fake.frame("response.done", response={"id": "resp_1", "status": "evaporated"})
    assert mapped(done)[-1] == ours.ResponseDone("resp_1", ours.ResponseStatus.INCOMPLETE)


def test_the_users_turn() -> None:
    item = {"item_id": "item_1"}
    transcription = "conversation.item.input_audio_transcription"
    speech = "input_audio_buffer"
    assert mapped(
        fake.frame(f"{speech}.speech_started", **item, audio_start_ms=10),
        fake.frame(f"{speech}.speech_stopped", **item, audio_end_ms=900),
        fake.frame(f"{speech}.committed", **item, previous_item_id="item_0"),
        fake.frame(f"{transcription}.delta", **item, content_index=0, delta="hel"),
        fake.frame(f"{transcription}.completed", **item, content_index=0, transcript="hello"),
        fake.frame(f"{transcription}.failed", **item, error={"message": "too quiet"}),
        fake.frame(f"{speech}.timeout_triggered", **item, audio_start_ms=1, audio_end_ms=2),
    ) == [
        ours.SpeechStarted("item_1", 10),
        ours.SpeechStopped("item_1", 900),
        ours.InputCommitted("item_1", "item_0"),
        ours.InputTranscriptDelta("item_1", "hel"),
        ours.InputTranscriptDone("item_1", "hello"),
        ours.InputTranscriptFailed("item_1", "too quiet"),
        ours.InputTimeoutTriggered("item_1", 1, 2),
    ]


def test_items_and_unknown_events() -> None:
    hummed = fake.frame("response.hummed", tune="A")
    part = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 1}
    assert mapped(
        fake.frame("conversation.item.truncated", item_id="i", content_index=0, audio_end_ms=5),
        fake.frame("conversation.item.deleted", item_id="i"),
        fake.frame("response.output_text.delta", **part, delta="a"),
        fake.frame("response.output_text.done", **part, text="ab"),
        fake.frame("session.updated", session={"type": "realtime", "id": "sess_1"}),
        hummed,
        fake.frame("input_audio_buffer.cleared"),
    ) == [
        ours.ItemTruncated("i", 0, 5),
        ours.ItemDeleted("i"),
        ours.TextDelta("r", "i", 1, "a"),
        ours.TextDone("r", "i", 1, "ab"),
        ours.SessionUpdated("sess_1"),
        ours.UnknownEventReceived("response.hummed", {"event_id": hummed["event_id"], "tune": "A"}),
    ]


def test_what_the_provider_calls_by_itself() -> None:
    call = {"type": "mcp_call", "server_label": "docs", "name": "find", "arguments": "{}"}
    asked = {"type": "mcp_approval_request", **{k: v for k, v in call.items() if k != "type"}}
    item = {"item_id": "i", "output_index": 0}
    item_done = "conversation.item.done"
    known = ("docs", "find", "{}")
    assert mapped(
        fake.frame("mcp_list_tools.in_progress", item_id="i"),
        fake.frame("mcp_list_tools.completed", item_id="i"),
        fake.frame("mcp_list_tools.failed", item_id="i"),
        fake.frame(item_done, item={**asked, "id": "ask"}, previous_item_id=None),
        fake.frame("response.mcp_call.in_progress", **item),
        fake.frame("response.mcp_call.completed", **item),
        fake.frame(item_done, item={**call, "id": "i", "output": "42"}, previous_item_id=None),
        fake.frame("response.mcp_call.failed", **item),
        fake.frame(item_done, item={**call, "id": "i", "error": {"message": "no"}}),
    ) == [
        ours.HostedToolProgress("i", "listing"),
        ours.HostedToolProgress("i", "listed"),
        ours.HostedToolProgress("i", "listing_failed"),
        ours.ToolApprovalRequested("ask", *known),
        ours.HostedToolProgress("i", "calling"),
        ours.HostedToolProgress("i", "done", *known, output="42"),
        ours.HostedToolProgress("i", "failed"),
        ours.HostedToolProgress("i", "failed", *known, error="no"),
    ]


def test_a_telephone_key() -> None:
    frame = {"type": "input_audio_buffer.dtmf_event_received", "event": "#", "received_at": 17}
    assert mapped(frame) == [ours.DtmfReceived("#", 17.0)]
