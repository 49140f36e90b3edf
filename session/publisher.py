"""Tells everybody what happens: people in the room, and whoever watches this agent."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from pydantic import BaseModel

from conversation.server_events import AgentError, ServerEvent
from rtc.peer import MAX_EVENT_BYTES
from utils import shorten

# A tool may return more than a data channel message holds; the model got all of it.
_CUT_TEXT_TO: Final = 4_000

_log = logging.getLogger("agent")


class EventOutlet(Protocol):
    """What a channel offers for events."""

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        """Send to one participant, or to all."""
        ...


class Publisher:
    """Sends server events to the room's data channels and to one observer. Never blocks."""

    def __init__(
        self,
        channel: EventOutlet,
        *,
        agent_id: str,
        agent_name: str,
        on_event: Callable[[ServerEvent], None],
    ) -> None:
        self._channel = channel
        self._agent = {"agent_id": agent_id, "agent_name": agent_name}
        self._on_event = on_event

    def publish(self, event: type[BaseModel], *, to: int | None = None, **fields: Any) -> None:
        """Send an event of this class to one participant (`to`) or all; agent fields are added."""
        if "agent_id" in event.model_fields:
            fields |= self._agent
        made: Any = event(**fields)
        self._send(made, to)
        if to is None:
            self._on_event(made)

    def _send(self, event: BaseModel, to: int | None) -> None:
        text = event.model_dump_json()
        if len(text.encode()) > MAX_EVENT_BYTES:
            text = json.dumps(shorten(event.model_dump(mode="json"), _CUT_TEXT_TO))
        if len(text.encode()) > MAX_EVENT_BYTES:
            _log.warning("a %s was too large to be told", type(event).__name__)
            return
        self._channel.send_event(text, uid=to)

    def refuse(self, uid: int, code: str, message: str) -> None:
        """Tell one participant that what it sent cannot be carried out."""
        self.publish(AgentError, to=uid, error_type="client", code=code, message=message)
