from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.snapshot import (
    LOST_OUTPUT,
    MAX_CHARACTERS,
    MAX_ENTRIES,
    ConversationSnapshot,
    ResumeState,
    SnapshotEntry,
    SnapshotText,
    SnapshotToolCall,
)


def user(number: int, text: str) -> SnapshotText:
    return SnapshotText(number=number, role="user", text=text)


def agent(number: int, text: str, **more: Any) -> SnapshotText:
    return SnapshotText(number=number, role="assistant", text=text, **more)


def call(number: int, output: str | None = None) -> SnapshotToolCall:
    return SnapshotToolCall(
        number=number, call_id=f"c{number}", name="n", arguments="{}", output=output
    )


def seed_of(*entries: SnapshotEntry) -> ResumeState:
    conversation = ConversationSnapshot()
    for entry in entries:
        conversation.update(entry)
    return conversation.seed()


NOTE = SnapshotText(number=9, role="system", text="go on")


@pytest.mark.parametrize(
    ("entries", "is_owed", "heard"),
    [
        ([], False, ""),
        ([agent(0, "welcome")], False, ""),
        ([user(0, "hello")], True, ""),
        ([user(0, "hello"), agent(1, "hi")], False, ""),
        ([user(0, "hello"), agent(1, "hi th", is_open=True)], True, "hi th"),
        ([user(0, "hello"), agent(1, "", is_open=True)], True, ""),
        ([agent(0, "", is_open=True), user(1, "hm"), agent(2, "yes")], False, ""),
        ([user(0, "hello"), agent(1, "hi", is_cut=True)], False, ""),
        ([user(0, "hello"), agent(1, "hi"), user(2, " ")], False, ""),
        ([user(0, "time?"), call(1)], True, ""),
        ([user(0, "time?"), call(1, "noon")], True, ""),
        ([user(0, "time?"), call(1, "noon"), agent(2, "Noon.")], False, ""),
        ([user(0, "hello"), agent(1, "hi", is_cut=True), NOTE], False, ""),
        ([user(0, "hello"), NOTE], True, ""),
    ],
)
def test_a_reply_is_owed_to_whoever_was_left_waiting(
    entries: list[SnapshotEntry], is_owed: bool, heard: str
) -> None:
    seed = seed_of(*entries)
    assert (seed.is_reply_owed, seed.heard) == (is_owed, heard)


def test_a_seed_is_in_order_closed_and_says_nothing_empty() -> None:
    seed = seed_of(agent(5, "It is", is_open=True), user(2, "time?"), call(4), user(3, ""))
    assert seed.entries == (
        user(0, "time?"),
        SnapshotToolCall(number=1, call_id="c4", name="n", arguments="{}", output=LOST_OUTPUT),
        agent(2, "It is", is_cut=True),
    )
    assert "error" in json.loads(LOST_OUTPUT)


def test_entries_change_and_are_taken_back() -> None:
    conversation = ConversationSnapshot()
    conversation.update(agent(0, "It"))
    conversation.update(agent(0, "It is noon."))
    conversation.update(user(1, "hm"))
    conversation.forget(1)
    conversation.forget(1)
    assert conversation.seed().entries == (agent(0, "It is noon."),)


def test_a_conversation_that_goes_on_is_remembered_with_what_was_before() -> None:
    before = seed_of(user(7, "hello"), agent(9, "hi"))
    conversation = ConversationSnapshot(before)
    conversation.update(user(len(before.entries), "bye"))
    assert conversation.seed().entries == (user(0, "hello"), agent(1, "hi"), user(2, "bye"))


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, MAX_CHARACTERS // 5)), max_size=450))
def test_memory_is_bounded_and_loses_the_oldest_first(told: list[tuple[int, int]]) -> None:
    conversation = ConversationSnapshot()
    last: dict[int, int] = {}
    for number, size in told:
        conversation.update(user(number, "x" * (size + 1)))
        last[number] = size + 1
    kept = conversation._entries
    assert len(kept) <= MAX_ENTRIES
    assert sum(last[number] for number in kept) == conversation._characters <= MAX_CHARACTERS
    assert all(len(entry.text) == last[entry.number] for entry in kept.values())  # type: ignore[union-attr]


@given(st.integers(0, 5), st.integers(0, 12), st.integers(0, 30), st.integers(0, 4))
def test_what_is_forgotten_before_a_place_is_told_to_no_other_process(
    offset: int, count: int, place: int, later: int
) -> None:
    before = tuple(user(number, f"word {offset + number}") for number in range(count))
    conversation = ConversationSnapshot(ResumeState(entries=before, offset=offset))
    conversation.forget_before(min(place, offset + count))
    for number in range(count, count + later):
        conversation.update(user(number, f"word {offset + number}"))
    seed = conversation.seed()
    # Every entry has its own place, and none before is left.
    places = [seed.offset + entry.number for entry in seed.entries]
    assert [entry.text for entry in seed.entries if entry.type == "text"] == [
        f"word {at}" for at in places
    ]
    end = offset + count + later
    first = max(offset, min(place, offset + count))
    assert places == list(range(first, end))
    if not places:
        assert seed.offset == end
