"""`Idleness`: the moment from which nothing of a conversation goes on any more. Pure.

An application that ends its input gets the answer to what it said before the call ends, and a test of
an agent waits for the same.
"""

from __future__ import annotations

from typing import Final

from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent

QUIET_S: Final = 2.0
"""Without a sign of the model for so long, nothing more comes. A provider reports speech sooner."""

AWAIT_REPLY_S: Final = 10.0
"""A turn that is not answered by then is not answered at all: it was noise, or the model failed."""


class Idleness:
    """Follows the events of a call; times are loop times (seconds)."""

    def __init__(self, now_s: float, *, quiet_s: float = QUIET_S) -> None:
        """quiet_s: how long nothing must have happened"""
        self._quiet_s = quiet_s
        self._changed_s = now_s
        # Users' turns that have begun and not ended.
        self._speech: set[str] = set()
        # When the oldest turn without a reply ended.
        self._asked_s: float | None = None
        self._responses: set[str] = set()
        self._tools: set[str] = set()

    def note_input(self, now_s: float, *, is_question: bool = False) -> None:
        """Something was sent to the model; a question needs a reply."""
        self._changed_s = now_s
        if is_question:
            self._ask(now_s)

    def handle_event(self, event: ServerEvent, now_s: float) -> None:
        """Follow one event."""
        self._changed_s = now_s
        match event:
            case out.AgentInputStarted():
                self._speech.add(event.item_id)
            case out.AgentInputDone():
                self._speech.discard(event.item_id)
                self._ask(now_s)
            case out.AgentInputTranscriptionDone() if not event.transcript.strip():
                self._speech.discard(event.item_id)
                self._asked_s = None
            case out.AgentItemDeleted():
                self._asked_s = None
            case out.AgentResponseCreated():
                self._responses.add(event.response_id)
                if not event.is_out_of_band:
                    self._asked_s = None
            case out.AgentResponseDone():
                self._responses.discard(event.response_id)
            case out.AgentResponseToolUseDone():
                self._tools.add(event.tool_use.id)
            case out.AgentResponseToolResult():
                self._tools.discard(event.tool_result.id)

    def idle_at_s(self) -> float | None:
        """Return the time at which the call is idle if nothing more happens; None: not before some
        event.
        """
        if self._speech or self._responses or self._tools:
            return None
        if self._asked_s is not None:
            return max(self._asked_s + AWAIT_REPLY_S, self._changed_s + self._quiet_s)
        return self._changed_s + self._quiet_s

    def _ask(self, now_s: float) -> None:
        if self._asked_s is None:
            self._asked_s = now_s
