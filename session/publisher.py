"""Tells everybody what happens: people in the room, and whoever watches this agent."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from pydantic import BaseModel

from boundary import Boundary, InputKind
from conversation.server_events import AgentError, ServerEvent
from json_reader import mend_text
from rtc.peer import MAX_EVENT_BYTES
from utils import shorten

# A tool may return more than a data channel message holds; the model got all of it.
_CUT_TEXT_TO: Final = 4_000

Told = tuple[int, dict[str, Any]]
"""A participant, and the fields that are different in what it is told."""

_log = logging.getLogger("agent")


class EventOutlet(Protocol):
    """What a channel offers for events."""

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        """Send to one participant, or to all."""
        ...


class Publisher:
    """Sends server events to the room's data channels and to one observer.

    Never blocks and never raises: that something cannot be told stops nobody from doing it.
    """

    def __init__(
        self,
        channel: EventOutlet,
        *,
        agent_id: str,
        agent_name: str,
        on_event: Callable[[ServerEvent], None],
        boundary: Boundary,
    ) -> None:
        self._channel = channel
        self._agent = {"agent_id": agent_id, "agent_name": agent_name}
        self._on_event = on_event
        self._boundary = boundary

    def publish(
        self,
        event: type[BaseModel],
        *,
        to: int | None = None,
        among: Iterable[Told] | None = None,
        **fields: Any,
    ) -> None:
        """Send an event of this class to one participant (`to`) or all; agent fields are added.

        among: in the room, to these only, each with changes of its own
        """
        if "agent_id" in event.model_fields:
            fields |= self._agent
        with self._boundary.guard(InputKind.HOOK, event.__name__):
            made, text = _told(event(**fields))
            with self._boundary.guard(InputKind.HOOK, event.__name__):
                if among is None:
                    self._send(made, text, to)
                for uid, changes in among or ():
                    self._send_changed(made, text, uid, changes)
            if to is None:
                self._on_event(made)

    def _send_changed(self, event: BaseModel, text: str, to: int, changes: dict[str, Any]) -> None:
        if not changes:
            self._send(event, text, to)
        else:
            self._send(*_told(event.model_copy(update=changes)), to)

    def _send(self, event: BaseModel, text: str, to: int | None) -> None:
        if len(text.encode()) > MAX_EVENT_BYTES:
            text = json.dumps(shorten(event.model_dump(mode="json"), _CUT_TEXT_TO))
        if len(text.encode()) > MAX_EVENT_BYTES:
            _log.warning("a %s was too large to be told", type(event).__name__)
            return
        self._channel.send_event(text, uid=to)

    def refuse(self, uid: int, code: str, message: str) -> None:
        """Tell one participant that what it sent cannot be carried out."""
        self.publish(AgentError, to=uid, error_type="client", code=code, message=message)


def _told(event: BaseModel) -> tuple[Any, str]:
    """The event and its JSON. Foreign text that cannot be encoded is mended: that is rare."""
    try:
        return event, event.model_dump_json()
    except ValueError:
        mended = type(event)(**_mended(event.model_dump()))
        return mended, mended.model_dump_json()


def _mended(value: Any) -> Any:
    match value:
        case str():
            return mend_text(value)
        case BaseModel():
            return _mended(value.model_dump())
        case dict():
            return {_mended(key): _mended(each) for key, each in value.items()}
        case list() | tuple():
            return [_mended(each) for each in value]
        case _:
            return value
