"""`ReplyEnds`: finds the end of each spoken reply among the published events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from utils import BoundedDict

_REMEMBERED: Final = 32


@dataclass(slots=True)
class _Reply:
    is_done: bool = False
    # Items that were begun, and what was heard of each that ended.
    open_items: dict[str, None] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    is_cut: bool = False


class ReplyEnds:
    """Follows replies; one has ended when the model has ended it and each of its items was heard to
    its end, or was cut.
    """

    def __init__(self) -> None:
        self._replies: BoundedDict[str, _Reply] = BoundedDict(_REMEMBERED)
        self._reply_of: BoundedDict[str, str] = BoundedDict(4 * _REMEMBERED)

    def handle(self, event: ServerEvent) -> list[tuple[str, bool]]:
        """Note an event; return text as heard, and whether it was cut, of a reply that ended."""
        match event:
            case out.AgentResponseCreated():
                self._replies[event.response_id] = _Reply()
                return []
            case out.AgentResponseAudioTranscriptDelta() | out.AgentResponseAudioTranscriptDone():
                self._begin(event.response_id, event.item_id)
                return []
            case out.AgentItemUpdated(role="assistant"):
                return self._end_item(event)
            case out.AgentResponseDone():
                return self._end_reply(event.response_id)
            case _:
                return []

    def _begin(self, response_id: str, item_id: str) -> None:
        reply = self._replies.get(response_id)
        if reply is not None and item_id not in self._reply_of:
            self._reply_of[item_id] = response_id
            reply.open_items[item_id] = None

    def _end_item(self, event: out.AgentItemUpdated) -> list[tuple[str, bool]]:
        response_id = self._reply_of.get(event.item_id, "")
        reply = self._replies.get(response_id)
        if reply is None or event.item_id not in reply.open_items:
            return []
        del reply.open_items[event.item_id]
        reply.is_cut = reply.is_cut or event.status == "interrupted"
        if event.text:
            reply.heard.append(event.text)
        return self._ended(response_id, reply)

    def _end_reply(self, response_id: str) -> list[tuple[str, bool]]:
        reply = self._replies.get(response_id)
        if reply is None:
            return []
        reply.is_done = True
        return self._ended(response_id, reply)

    def _ended(self, response_id: str, reply: _Reply) -> list[tuple[str, bool]]:
        # A cut reply is over at once, whatever its provider still sends.
        if reply.open_items or not (reply.is_done or reply.is_cut):
            return []
        del self._replies[response_id]
        return [(" ".join(reply.heard), reply.is_cut)] if reply.heard or reply.is_cut else []
