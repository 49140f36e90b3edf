"""The function calls of replies, each told to the agent once however often the server tells it. Pure.

The protocol tells a call with the beginning of its item, with its arguments, with the item's end and
with the reply's. Servers are met that leave out any of these, or tell a part of it in each.
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
    """What the beginning of a reply's item said; of a call only name and id."""

    response_id: str
    name: str = ""
    call_id: str = ""


_NOTHING: Final = _Begun("")


class ReplyCalls:
    """Follows one session's items and calls."""

    def __init__(self) -> None:
        self._items: dict[str, _Begun] = {}
        # By reply, call and item: name and arguments.
        self._told: dict[tuple[str, str, str], tuple[str, str]] = {}

    def reply_of(self, item_id: str) -> str | None:
        """The open reply that an item belongs to."""
        begun = self._items.get(item_id)
        return None if begun is None else begun.response_id

    def handle_item_begun(self, response_id: str, item: wire.Item) -> Calls:
        """A reply got an item."""
        if not isinstance(item, wire.FunctionCallItem):
            self._items[item.id or ""] = _Begun(response_id)
            return []
        self._items[item.id or ""] = _Begun(response_id, item.name, item.call_id or "")
        # Some servers tell a call once, whole.
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
            return []  # the item's own end tells it again, with all that is needed
        return self._call(message.response_id, message.item_id, call_id, name, message.arguments)

    def handle_reply_done(self, response: wire.Response) -> Calls:
        """A reply is over: calls that were told with its end alone."""
        if response.status not in (None, ours.ResponseStatus.COMPLETED):
            return []
        calls = [
            item
            for item in response.output or ()
            if isinstance(item, wire.FunctionCallItem) and item.status != "incomplete"
        ]
        told = [key for key in self._told if key[0] == response.id]
        if len(told) >= len(calls):
            return []
        told_ids = {each for _, call_id, item_id in told for each in (call_id, item_id)}
        return [
            event
            for item in calls
            if not told_ids & {item.call_id, item.id}
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
        self._told = {key: told for key, told in self._told.items() if key[0] != response_id}

    def _call(
        self, response_id: str, item_id: str, call_id: str, name: str, arguments: str
    ) -> Calls:
        # Without its name a call cannot be run: the item's own end tells it again.
        if not name or self._is_told(response_id, call_id, item_id, (name, arguments)):
            return []
        self._told[response_id, call_id, item_id] = (name, arguments)
        while len(self._told) > _REMEMBERED_CALLS:
            del self._told[next(iter(self._told))]
        return [ours.ToolCallRequested(response_id, item_id, call_id, name, arguments)]

    def _is_told(self, response_id: str, call_id: str, item_id: str, what: tuple[str, str]) -> bool:
        """Whether it is a call of this reply told again, and not another by the same id."""
        return any(
            key[:2] == (response_id, call_id) and (key[2] == item_id or told == what)
            for key, told in self._told.items()
        )
