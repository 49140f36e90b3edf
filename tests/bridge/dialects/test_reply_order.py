"""Ends of replies after their audio."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.dialects.reply_order import MAX_HELD, Event, ReplyOrder

RESPONSES = ("r", "s")
ITEMS = ("i", "j")


def event(name: str, response_id: str = "r", item_id: str = "i", **fields: Any) -> Event:
    return {"type": name, "response_id": response_id, "item_id": item_id, **fields}


def audio_done(response_id: str = "r", item_id: str = "i") -> Event:
    return event("agent_response_audio_done", response_id, item_id)


def done(response_id: str = "r", status: str = "completed") -> Event:
    return event("agent_response_done", response_id, status=status)


def played(item_id: str = "i") -> Event:
    return event("agent_playout_done", item_id=item_id)


def put(order: ReplyOrder, *events: Event) -> list[Event]:
    return [each for one in events for each in order.put(one)]


def test_both_ends_wait_for_the_last_sample() -> None:
    order = ReplyOrder()
    words = event("agent_response_audio_transcript_done")
    assert put(order, audio_done(), words, done()) == [words]
    assert put(order, played()) == [audio_done(), done(), played()]
    assert put(order, done()) == [done()], "a reply without audio waits for nothing"


def test_a_reply_of_two_items_ends_with_the_later_one() -> None:
    order = ReplyOrder()
    assert put(order, audio_done(item_id="i"), audio_done(item_id="j"), done()) == []
    assert put(order, played("i")) == [audio_done(item_id="i"), played("i")]
    assert put(order, played("j")) == [audio_done(item_id="j"), done(), played("j")]


def test_an_interruption_releases_what_waits_and_what_comes_after_it() -> None:
    order = ReplyOrder()
    cut = event("agent_interrupted")
    assert put(order, audio_done(), cut) == [cut, audio_done()]
    assert put(order, done(status="cancelled")) == [done(status="cancelled")]
    order = ReplyOrder()
    assert put(order, cut, audio_done()) == [cut, audio_done()]


def test_nothing_waits_beyond_its_reply() -> None:
    order = ReplyOrder()
    created = event("agent_response_created", "s")
    # Of a reply that was cut before any of it was played no item is ever played.
    assert put(order, audio_done(), done(status="cancelled")) == [
        audio_done(),
        done(status="cancelled"),
    ]
    assert put(order, audio_done(), done(), created) == [audio_done(), done(), created]
    ended = {"type": "agent_ended"}
    assert put(order, audio_done(), ended) == [audio_done(), ended]


def test_what_waits_is_bounded() -> None:
    order = ReplyOrder()
    many = [audio_done(item_id=str(number)) for number in range(MAX_HELD + 1)]
    assert put(order, *many) == many


EVENTS = st.one_of(
    st.builds(audio_done, st.sampled_from(RESPONSES), st.sampled_from(ITEMS)),
    st.builds(done, st.sampled_from(RESPONSES), st.sampled_from(["completed", "failed"])),
    st.builds(played, st.sampled_from(ITEMS)),
    st.builds(event, st.just("agent_interrupted"), st.sampled_from(RESPONSES)),
    st.builds(event, st.just("agent_response_created"), st.sampled_from(RESPONSES)),
)


@given(st.lists(EVENTS, max_size=20))
def test_every_event_comes_out_once(events: list[Event]) -> None:
    order = ReplyOrder()
    told = put(order, *events, {"type": "agent_ended"})
    assert len(told) == len(events) + 1
    assert all(told.count(one) == events.count(one) for one in events)
