"""Publishes server events to the room and to the agent's observer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from pydantic import BaseModel

from conversation.events.server_events import AgentError, ServerEvent
from line.line import MAX_EVENT_BYTES
from untrusted.boundary import Boundary, InputKind
from untrusted.json_reader import mend_text
from utils import shorten

# Longest text in an event that exceeds a data channel message; the model got all of it.
_CUT_TEXT_TO: Final = 4_000

Recipient = tuple[int, dict[str, Any]]
"""A participant, and the fields that are different in what it is told."""

_log = logging.getLogger("agent")


class EventOutlet(Protocol):
    """The part of a line that sends events."""

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        """Send to one participant, or to all."""
        ...


class Publisher:
    """Sends server events to the participants and to one observer.

    Never blocks and never raises: a failure to publish never stops the action it reports.
    """

    def __init__(
        self,
        line: EventOutlet,
        *,
        agent_id: str,
        agent_name: str,
        on_event: Callable[[ServerEvent], None],
        boundary: Boundary,
    ) -> None:
        self._line = line
        self._agent = {"agent_id": agent_id, "agent_name": agent_name}
        # Of several agents in one conversation, the fields of the one whose response it is.
        self.speaker_of: Callable[[str], dict[str, str] | None] | None = None
        # Parts of the session that follow what others publish.
        self.listeners: list[Callable[[ServerEvent], None]] = []
        self._on_event = on_event
        self._boundary = boundary

    def publish(
        self,
        event: type[BaseModel],
        *,
        to: int | None = None,
        among: Iterable[Recipient] | None = None,
        **fields: Any,
    ) -> None:
        """Send an event of this class to one participant (`to`) or all; agent fields are added.

        among: only these participants of the room, each with its own changes of fields
        """
        if "agent_id" in event.model_fields:
            fields |= self._agent_fields(fields)
        with self._boundary.guard(InputKind.HOOK, event.__name__):
            made, text = _encoded(event(**fields))
            with self._boundary.guard(InputKind.HOOK, event.__name__):
                if among is None:
                    self._send(made, text, to)
                for uid, changes in among or ():
                    self._send_changed(made, text, uid, changes)
            if to is None:
                self._on_event(made)
                for listener in self.listeners:
                    listener(made)

    def _agent_fields(self, fields: dict[str, Any]) -> dict[str, str]:
        response_id = fields.get("response_id")
        if self.speaker_of is None or not response_id:
            return self._agent
        return self.speaker_of(response_id) or self._agent

    def _send_changed(self, event: BaseModel, text: str, to: int, changes: dict[str, Any]) -> None:
        if not changes:
            self._send(event, text, to)
        else:
            self._send(*_encoded(event.model_copy(update=changes)), to)

    def _send(self, event: BaseModel, text: str, to: int | None) -> None:
        if len(text.encode()) > MAX_EVENT_BYTES:
            text = json.dumps(shorten(event.model_dump(mode="json"), _CUT_TEXT_TO))
        if len(text.encode()) > MAX_EVENT_BYTES:
            _log.warning("a %s event was too large to send", type(event).__name__)
            return
        self._line.send_event(text, uid=to)

    def refuse(self, uid: int, code: str, message: str) -> None:
        """Send one participant the reason why its event was refused."""
        self.publish(AgentError, to=uid, error_type="client", code=code, message=message)


def _encoded(event: BaseModel) -> tuple[Any, str]:
    """Return the event and its JSON. Foreign text that cannot be encoded is repaired, which is
    rare.
    """
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
