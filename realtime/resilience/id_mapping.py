"""Ids of a conversation, mapped to and from those of its providers. Pure.

A provider's ids are unique within what it promises and no further: some give every reply the same,
and another session begins to count anew. Here an id that was used already stands for something new
only under one of our own. Towards the provider its own id is put back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

from realtime import events as ours
from realtime.events import ModelCommand, ModelEvent
from utils import BoundedDict

MAX_REMEMBERED: Final = 8_192
"""Ids of each kind; what is older may be used again."""

MAX_ID_CHARACTERS: Final = 256
"""Of a longer id one of our own is made."""


class ConversationIds:
    """Ids that were used in any session."""

    def __init__(self, is_known: Callable[[str], bool]) -> None:
        """is_known: whether an item or call of this id is remembered from elsewhere"""
        self._is_known = is_known
        self._used: BoundedDict[tuple[str, str], None] = BoundedDict(MAX_REMEMBERED)
        self._count = 0

    def take(self, kind: str, theirs: str, *, is_announced: bool = False) -> str:
        """An id for something new: theirs, if nothing of this kind had it.

        is_announced: this very thing may be remembered already
        """
        is_free = (kind, theirs) not in self._used
        is_free = is_free and (is_announced or not self._is_known(theirs))
        ours_id = theirs
        if not is_free or len(theirs) > MAX_ID_CHARACTERS:
            self._count += 1
            ours_id = f"{theirs[:64]}~{self._count}"
        self._used[kind, ours_id] = None
        return ours_id


class SessionIds:
    """Those of one session, both ways."""

    def __init__(self, conversation: ConversationIds) -> None:
        self._conversation = conversation
        self._replies: BoundedDict[str, str] = BoundedDict(MAX_REMEMBERED)
        # By reply; and by itself what an id stood for last.
        self._in_reply: BoundedDict[tuple[str, ...], str] = BoundedDict(MAX_REMEMBERED)
        self._items: BoundedDict[str, str] = BoundedDict(MAX_REMEMBERED)
        self._calls: BoundedDict[str, str] = BoundedDict(MAX_REMEMBERED)
        self._theirs: BoundedDict[tuple[str, str], str] = BoundedDict(MAX_REMEMBERED)
        self._requested: BoundedDict[str, None] = BoundedDict(MAX_REMEMBERED)
        # Items of the user whose speech is over, and items that are of no known reply yet.
        self._heard: BoundedDict[str, None] = BoundedDict(MAX_REMEMBERED)
        self._announced: BoundedDict[str, None] = BoundedDict(MAX_REMEMBERED)

    # -- from the provider ---------------------------------------------------------------------

    def inward(self, event: ModelEvent) -> ModelEvent:
        """The event with the conversation's ids."""
        match event:
            case ours.ResponseCreated():
                return replace(event, response_id=self._begin_reply(event.response_id))
            case ours.SpeechStarted():
                return replace(event, item_id=self._begin_speech(event.item_id))
            case ours.InputCommitted():
                return self._committed(event)
            case ours.InputTranscriptDone() | ours.InputTranscriptFailed():
                self._note(self._heard, event.item_id)
                return replace(event, item_id=self._items.get(event.item_id, event.item_id))
            case ours.ToolCallCancelled():
                return replace(event, call_ids=tuple(self._calls.get(i, i) for i in event.call_ids))
            case ours.ItemAdded(response_id=None):
                self._note(self._announced, event.item_id)
                return replace(event, item_id=self._items.get(event.item_id, event.item_id))
            case _:
                translated: ModelEvent = self._translated(event)
                return translated

    def _translated(self, event: Any) -> Any:
        names = _NAMES.get(type(event))
        if names is None:
            return event
        changes: dict[str, str] = {}
        reply = None
        if "response_id" in names and event.response_id is not None:
            reply = self._reply(event.response_id)
            changes["response_id"] = reply
        if "item_id" in names:
            changes["item_id"] = (
                self._items.get(event.item_id, event.item_id)
                if reply is None
                else self._item(reply, event.item_id)
            )
        if "call_id" in names:
            is_whole = isinstance(event, ours.ToolCallRequested)
            changes["call_id"] = self._call(reply or "", event.call_id, is_whole=is_whole)
        if all(getattr(event, name) == value for name, value in changes.items()):
            return event
        return replace(event, **changes)

    def _begin_reply(self, theirs: str) -> str:
        return self._name("reply", theirs, self._replies)

    def _reply(self, theirs: str) -> str:
        known = self._replies.get(theirs)
        return self._begin_reply(theirs) if known is None else known

    def _item(self, reply: str, theirs: str) -> str:
        return self._within(("item", reply, theirs), self._items)

    def _call(self, reply: str, theirs: str, *, is_whole: bool) -> str:
        key = ("call", reply, theirs)
        if self._in_reply.get(key) in self._requested:
            del self._in_reply[key]  # the next call of this reply has the same id
        call_id = self._within(key, self._calls)
        if is_whole:
            self._note(self._requested, call_id)
        return call_id

    def _within(self, key: tuple[str, ...], latest: BoundedDict[str, str]) -> str:
        if (known := self._in_reply.get(key)) is not None:
            return known
        ours_id = self._in_reply[key] = self._name(key[0], key[-1], latest)
        return ours_id

    def _begin_speech(self, theirs: str) -> str:
        if not theirs or (theirs in self._items and theirs not in self._heard):
            return self._items.get(theirs, theirs)
        self._heard.pop(theirs, None)
        return self._name("item", theirs, self._items)

    def _committed(self, event: ours.InputCommitted) -> ours.InputCommitted:
        before = event.previous_item_id
        item_id = self._begin_speech(event.item_id)
        self._note(self._heard, event.item_id)
        previous = None if before is None else self._items.get(before, before)
        return replace(event, item_id=item_id, previous_item_id=previous)

    def _name(self, kind: str, theirs: str, latest: BoundedDict[str, str]) -> str:
        is_announced = theirs in self._announced
        self._announced.pop(theirs, None)
        ours_id = self._conversation.take(kind, theirs, is_announced=is_announced)
        latest[theirs] = ours_id
        latest.move_to_end(theirs)
        if ours_id != theirs:
            self._theirs[kind, ours_id] = theirs
        return ours_id

    def _note(self, ids: BoundedDict[str, None], theirs: str) -> None:
        ids[theirs] = None

    # -- to the provider -----------------------------------------------------------------------

    def outward(self, command: ModelCommand) -> ModelCommand:
        """The command with the provider's own ids."""
        match command:
            case ours.AddToolOutput():
                return replace(command, call_id=self._own("call", command.call_id))
            case ours.TruncateItem() | ours.DeleteItem():
                return replace(command, item_id=self._own("item", command.item_id))
            case ours.CancelResponse(response_id=str() as reply):
                return replace(command, response_id=self._own("reply", reply))
            case ours.CreateResponse(input_items=tuple() as items):
                return replace(command, input_items=tuple(map(self._own_reference, items)))
            case _:
                return command

    def _own_reference(self, item: ours.InputItem) -> ours.InputItem:
        if not isinstance(item, ours.ItemReference):
            return item
        return ours.ItemReference(self._own("item", item.item_id))

    def _own(self, kind: str, ours_id: str) -> str:
        return self._theirs.get((kind, ours_id), ours_id)


_NAMES: Final = {
    kind: frozenset(each.name for each in fields(kind)) & {"response_id", "item_id", "call_id"}
    for kind in (
        *(ours.ItemAdded, ours.AudioDelta, ours.AudioDone, ours.TranscriptDelta),
        *(ours.TranscriptDone, ours.TextDelta, ours.TextDone, ours.Interrupted),
        *(ours.GenerationDone, ours.ResponseDone, ours.ToolCallDelta, ours.ToolCallRequested),
        *(ours.SpeechStopped, ours.InputTimeoutTriggered, ours.InputTranscriptDelta),
        *(ours.ItemTruncated, ours.ItemDeleted),
    )
}
"""The id fields of each kind of event."""
