"""Function calls of replies, each emitted once however often the server repeats it. Pure.

The protocol sends a call with the start of its item, with its arguments, with the item's end and
with the reply's. Some servers leave out any of these, or send a part of the call in each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from realtime import events as ours
from realtime import struct as wire
from realtime.openai.wire.base import new_id

_REMEMBERED_CALLS: Final = 256

Calls = list[ours.ToolCallRequested]


@dataclass(frozen=True, slots=True)
class _Begun:
    """The start of a reply's item; of a call only name and id."""

    response_id: str
    name: str = ""
    call_id: str = ""


_NOTHING: Final = _Begun("")


class ReplyCalls:
    """Follows one session's items and calls."""

    def __init__(self) -> None:
        self._items: dict[str, _Begun] = {}
        # By reply, call and item: name and arguments.
        self._emitted: dict[tuple[str, str, str], tuple[str, str]] = {}

    def reply_of(self, item_id: str) -> str | None:
        """The open reply that an item belongs to."""
        begun = self._items.get(item_id)
        return None if begun is None else begun.response_id

    def name_and_id(self, item_id: str) -> tuple[str, str]:
        """The name and the id of the call whose item has begun; empty as far as they are not known."""
        begun = self._items.get(item_id, _NOTHING)
        return begun.name, begun.call_id

    def handle_item_begun(self, response_id: str, item: wire.Item) -> Calls:
        """A reply got an item."""
        if not isinstance(item, wire.FunctionCallItem):
            self._items[item.id or ""] = _Begun(response_id)
            return []
        self._items[item.id or ""] = _Begun(response_id, item.name, item.call_id or "")
        # Some servers send a call once, whole.
        return self.handle_item_done(response_id, item) if item.status == "completed" else []

    def handle_item_done(self, response_id: str, item: wire.Item) -> Calls:
        """An item is complete, or was cut."""
        # A call that was cut has half its arguments: it was never made.
        if not isinstance(item, wire.FunctionCallItem) or item.status == "incomplete":
            return []
        item_id = item.id or ""
        begun = self._items.get(item_id, _NOTHING)
        call_id = item.call_id or begun.call_id or item_id
        return self._call(response_id, item_id, call_id, item.name or begun.name, item.arguments)

    def handle_arguments(self, message: wire.ResponseFunctionCallArgumentsDone) -> Calls:
        """A call's arguments are complete."""
        begun = self._items.get(message.item_id, _NOTHING)
        call_id, name = message.call_id or begun.call_id, message.name or begun.name
        if not call_id:
            return []  # the item's end repeats it with all that is needed
        return self._call(message.response_id, message.item_id, call_id, name, message.arguments)

    def handle_reply_done(self, response: wire.Response) -> Calls:
        """Return the calls that came only with the end of the reply."""
        if response.status not in (None, ours.ResponseStatus.COMPLETED):
            return []
        calls = [
            item
            for item in response.output or ()
            if isinstance(item, wire.FunctionCallItem) and item.status != "incomplete"
        ]
        emitted = [key for key in self._emitted if key[0] == response.id]
        if len(emitted) >= len(calls):
            return []
        emitted_ids = {each for _, call_id, item_id in emitted for each in (call_id, item_id)}
        return [
            event
            for item in calls
            if not emitted_ids & {item.call_id, item.id}
            for event in self.handle_item_done(
                response.id, item.model_copy(update={"id": item.id or new_id("item")})
            )
        ]

    def forget(self, response_id: str) -> None:
        """The server may give the ids of a reply, and of what was in it, to another one."""
        self._items = {
            item_id: begun
            for item_id, begun in self._items.items()
            if begun.response_id != response_id
        }
        self._emitted = {key: call for key, call in self._emitted.items() if key[0] != response_id}

    def _call(
        self, response_id: str, item_id: str, call_id: str, name: str, arguments: str
    ) -> Calls:
        # Without its name a call cannot be run: the item's end repeats it.
        if not name or self._is_repeated(response_id, call_id, item_id, (name, arguments)):
            return []
        self._emitted[response_id, call_id, item_id] = (name, arguments)
        while len(self._emitted) > _REMEMBERED_CALLS:
            del self._emitted[next(iter(self._emitted))]
        return [ours.ToolCallRequested(response_id, item_id, call_id, name, arguments)]

    def _is_repeated(
        self, response_id: str, call_id: str, item_id: str, what: tuple[str, str]
    ) -> bool:
        """True if it repeats a call of this reply and is not another one with the same id."""
        return any(
            key[:2] == (response_id, call_id) and (key[2] == item_id or call == what)
            for key, call in self._emitted.items()
        )
