"""Tells everybody what happens: people in the room, and whoever watches this agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from conversation.client_events import AgentError, ServerEvent
from rtc.channel import Channel


class Publisher:
    """Sends server events to the room's data channels and to one observer. Never blocks."""

    def __init__(
        self,
        channel: Channel,
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
        self._channel.send_event(made.model_dump_json(), uid=to)
        if to is None:
            self._on_event(made)

    def refuse(self, uid: int, code: str, message: str) -> None:
        """Tell one participant that what it sent cannot be carried out."""
        self.publish(AgentError, to=uid, error_type="client", code=code, message=message)
