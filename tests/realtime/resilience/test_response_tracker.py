"""Which replies a lost session owes, and how they are ended."""

from __future__ import annotations

import pytest

from realtime import events as ours
from realtime.resilience.response_tracker import EXPECTED_S, STALL_S, PendingReply, ResponseTracker

R = "resp"
PLAIN = ours.CreateResponse()
TEA = ours.CreateResponse("Say exactly: tea")


def watch(*events: ours.ModelEvent) -> ResponseTracker:
    replies = ResponseTracker(now_s=0)
    for event in events:
        replies.handle(event, now_s=0)
    return replies


CREATED = ours.ResponseCreated(R)
AUDIO = ours.AudioDelta(R, "item", 0, b"\0\0", 24_000)
WORDS = ours.TranscriptDelta(R, "item", 0, "half a")
CALL = ours.ToolCallRequested(R, "item2", "call", "clock", "{}")


def test_nothing_is_owed_when_nothing_is_under_way() -> None:
    replies = watch(CREATED, WORDS, ours.ResponseDone(R, ours.ResponseStatus.COMPLETED))
    assert replies.is_idle(now_s=0)
    assert replies.pending(now_s=0) == []
    assert replies.endings() == []


def test_a_reply_that_was_begun_is_owed_and_ended() -> None:
    replies = watch(CREATED, AUDIO, WORDS)
    assert replies.pending(now_s=0) == [PendingReply(PLAIN, "half a", ("item",))]
    assert replies.active_items == ["item"]
    assert replies.endings() == [
        ours.TranscriptDone(R, "item", 0, "half a"),
        ours.AudioDone(R, "item", 0, is_complete=False),
        ours.GenerationDone(R),
        ours.ResponseDone(R, ours.ResponseStatus.FAILED, "connection_lost"),
    ]


def test_what_ended_already_is_not_ended_again() -> None:
    ended = (ours.AudioDone(R, "item", 0), ours.TranscriptDone(R, "item", 0, "half a"))
    replies = watch(CREATED, AUDIO, WORDS, *ended, ours.GenerationDone(R))
    assert [type(event) for event in replies.endings()] == [ours.ResponseDone]
    assert replies.pending(now_s=0) == [], "all of it came"


def test_a_reply_that_called_tools_or_was_cut_is_owed_nothing() -> None:
    assert watch(CREATED, WORDS, CALL).pending(now_s=0) == []
    assert watch(CREATED, WORDS, ours.Interrupted(R)).pending(now_s=0) == []
    cancelled = watch(CREATED, WORDS)
    cancelled.cancel()
    assert cancelled.pending(now_s=0) == []


def test_requests_are_owed_in_order_and_plain_ones_once() -> None:
    replies = watch(CREATED)
    for request in (PLAIN, PLAIN, TEA, PLAIN):
        replies.request(request, now_s=0)
    replies.handle(ours.ResponseDone(R, ours.ResponseStatus.COMPLETED), now_s=0)
    assert replies.pending(now_s=0) == [PendingReply(), PendingReply(TEA)]
    replies.handle(ours.ResponseCreated("next"), now_s=0)
    assert replies.pending(now_s=0) == [PendingReply(), PendingReply(TEA)]
    assert replies.endings()[-1] == ours.ResponseDone(
        "next", ours.ResponseStatus.FAILED, "connection_lost"
    )


def test_a_reply_that_the_provider_makes_by_itself_is_expected_for_a_while() -> None:
    replies = watch()
    replies.expect(now_s=0)
    assert not replies.is_idle(now_s=EXPECTED_S / 2)
    assert replies.pending(now_s=1) == [PendingReply()]
    assert replies.is_idle(now_s=EXPECTED_S)
    assert replies.pending(now_s=EXPECTED_S) == []


def test_a_reply_of_which_nothing_comes_is_stalled() -> None:
    replies = watch(CREATED, AUDIO)
    assert not replies.is_stalled(now_s=STALL_S - 1)
    assert replies.is_stalled(now_s=STALL_S)
    replies.handle(ours.GenerationDone(R), now_s=1)
    assert not replies.is_stalled(now_s=10 * STALL_S), "the provider waits for it to be played"
    assert not watch().is_stalled(now_s=10 * STALL_S), "silence between turns is no trouble"
    asked = watch()
    asked.request(PLAIN, now_s=0)
    assert asked.is_stalled(now_s=STALL_S)
    asked.handle(ours.ProviderError("invalid_value", "no"), now_s=1)
    assert not asked.is_stalled(now_s=10 * STALL_S)


@pytest.mark.parametrize(
    "event",
    [
        ours.SpeechStarted("u", 0),
        ours.InputTranscriptDelta("u", "still there?"),
        ours.RateLimitsUpdated({}),
        ours.ItemAdded("u", "message", "user"),
    ],
)
def test_what_else_comes_does_not_keep_a_reply_alive(event: ours.ModelEvent) -> None:
    replies = watch(CREATED)
    for now_s in range(1, int(STALL_S), 5):
        replies.handle(event, now_s=now_s)
    assert replies.is_stalled(now_s=STALL_S)
    replies.handle(AUDIO, now_s=STALL_S)
    assert not replies.is_stalled(now_s=STALL_S + 1)
