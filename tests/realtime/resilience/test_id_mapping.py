"""Ids are unique in a conversation, whatever its providers call things."""

from __future__ import annotations

import pytest

from realtime import events as ours
from realtime.events import ModelEvent
from realtime.resilience.id_mapping import MAX_ID_CHARACTERS, ConversationIds, SessionIds

RATE = 24_000


def reply(
    number: int = 0, *, reply_id: str = "r", item: str = "i", call: str = "c"
) -> list[ModelEvent]:
    return [
        ours.ResponseCreated(reply_id),
        ours.ItemAdded(item, "message", "assistant", reply_id),
        ours.AudioDelta(reply_id, item, 0, bytes(2), RATE),
        ours.TranscriptDone(reply_id, item, 0, str(number)),
        ours.ToolCallDelta(reply_id, f"{item}2", call, "{"),
        ours.ToolCallRequested(reply_id, f"{item}2", call, "add", "{}"),
        ours.ResponseDone(reply_id, ours.ResponseStatus.COMPLETED),
    ]


def inward(ids: SessionIds, *events: ModelEvent) -> list[ModelEvent]:
    return [ids.inward(event) for event in events]


def conversation() -> ConversationIds:
    return ConversationIds(lambda _id: False)


def test_ids_that_are_new_stay_what_they_are() -> None:
    ids = SessionIds(conversation())
    for number in range(3):
        events = reply(number, reply_id=f"r{number}", item=f"i{number}", call=f"c{number}")
        assert inward(ids, *events) == events


@pytest.mark.parametrize("is_other_session", [True, False])
def test_the_same_ids_again_are_others(is_other_session: bool) -> None:
    common = conversation()
    ids = SessionIds(common)
    seen: dict[str, set[str]] = {"reply": set(), "item": set(), "call": set()}
    for number in range(3):
        if is_other_session:
            ids = SessionIds(common)
        events = inward(ids, *reply(number))
        (reply_id,) = {event.response_id for event in events}  # type: ignore[union-attr]
        items = [event.item_id for event in events if hasattr(event, "item_id")]
        assert items == [items[0]] * 3 + [items[3]] * 2
        (call_id,) = {event.call_id for event in events if hasattr(event, "call_id")}
        assert reply_id not in seen["reply"]
        assert not seen["item"] & set(items)
        assert call_id not in seen["call"]
        seen["reply"].add(str(reply_id))
        seen["item"] |= set(items)
        seen["call"].add(call_id)
        # Towards the provider everything has its own name again.
        assert ids.outward(ours.AddToolOutput(call_id, "x")) == ours.AddToolOutput("c", "x")
        assert ids.outward(ours.DeleteItem(items[0])) == ours.DeleteItem("i")
        truncated = ids.outward(ours.TruncateItem(items[0], 0, 5, "a"))
        assert truncated == ours.TruncateItem("i", 0, 5, "a")
        cancel = ours.CancelResponse(reply_id)
        assert ids.outward(cancel) == ours.CancelResponse("r")
        assert ids.inward(ours.ItemTruncated("i", 0, 5)) == ours.ItemTruncated(items[0], 0, 5)
        assert ids.inward(ours.ToolCallCancelled(("c",))) == ours.ToolCallCancelled((call_id,))


def test_what_comes_late_belongs_to_the_reply_that_it_names() -> None:
    ids = SessionIds(conversation())
    first = inward(ids, *reply(reply_id="r1"))
    inward(ids, *reply(reply_id="r2"))
    late = ids.inward(ours.TranscriptDone("r1", "i", 0, "late"))
    assert isinstance(late, ours.TranscriptDone)
    assert (late.response_id, late.item_id) == ("r1", first[1].item_id)  # type: ignore[union-attr]


def test_two_calls_of_one_reply_with_one_id() -> None:
    ids = SessionIds(conversation())
    calls = [ids.inward(ours.ToolCallRequested("r", item, "c", "add", "{}")) for item in "ab"]
    named = [call.call_id for call in calls]  # type: ignore[union-attr]
    assert len(set(named)) == 2
    for call_id in named:
        assert ids.outward(ours.AddToolOutput(call_id, "x")) == ours.AddToolOutput("c", "x")


def test_every_turn_of_the_user_is_its_own() -> None:
    ids = SessionIds(conversation())
    items = []
    for number in range(3):
        turn = inward(
            ids,
            ours.SpeechStarted("u", number),
            ours.SpeechStarted("u", number),
            ours.SpeechStopped("u", number),
            ours.InputCommitted("u"),
            ours.InputTranscriptDelta("u", "a"),
            ours.InputTranscriptDone("u", "a"),
        )
        (item,) = {event.item_id for event in turn}  # type: ignore[union-attr]
        items.append(item)
    assert len(set(items)) == 3


def test_turns_that_are_ended_by_hand_are_told_apart() -> None:
    ids = SessionIds(conversation())
    items = [
        ids.inward(ours.InputCommitted("u")).item_id  # type: ignore[union-attr]
        for _ in range(3)
    ]
    assert len(set(items)) == 3


def test_what_is_remembered_of_an_earlier_process_is_another() -> None:
    ids = SessionIds(ConversationIds({"i", "c"}.__contains__))
    events = inward(ids, *reply())
    assert events[1].item_id != "i"  # type: ignore[union-attr]
    assert events[5].call_id != "c"  # type: ignore[union-attr]


def test_an_item_that_was_told_before_its_reply_keeps_its_id() -> None:
    remembered: set[str] = set()
    ids = SessionIds(ConversationIds(remembered.__contains__))
    added = ours.ItemAdded("i", "message", "assistant", None)
    assert ids.inward(added) == added
    remembered.add("i")  # cut before anything of it came
    delta = ours.AudioDelta("r", "i", 0, bytes(2), RATE)
    assert ids.inward(delta) == delta


def test_ids_are_bounded_in_length() -> None:
    ids = SessionIds(conversation())
    long = "x" * (MAX_ID_CHARACTERS + 1)
    (event,) = inward(ids, ours.ToolCallRequested(long, long, long, "add", "{}"))
    assert isinstance(event, ours.ToolCallRequested)
    assert max(map(len, (event.response_id, event.item_id, event.call_id))) <= MAX_ID_CHARACTERS
    assert ids.outward(ours.AddToolOutput(event.call_id, "")) == ours.AddToolOutput(long, "")
