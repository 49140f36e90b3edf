"""`Transfers`: hands a call over to a person. The agent is silent, or leaves, once the person is there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from conversation.events import server_events as out
from parley.call import CallError, HeardTurn

if TYPE_CHECKING:
    from session.session import Session

MAX_TO_CHARACTERS: Final = 200
MAX_SUMMARY_CHARACTERS: Final = 8_000

SUMMARY: Final = (
    "A person takes this call over from you. Write for that person, in at most five short sentences: "
    "who calls, what the caller wants, what was said and done so far, and what is open."
)
SUMMARY_TIMEOUT_S: Final = 6.0
"""Shorter than the default timeout of a tool, in which a transfer is often asked for."""

_LAST_TURNS: Final = 12
# Uids of people who are expected; far from those that pages and rooms choose.
_FIRST_UID: Final = 3_000_000_000
_UIDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Expected:
    uid: int
    to: str
    should_leave: bool


class Transfers:
    """At most one person is expected at a time; a later request replaces an earlier one."""

    def __init__(self, hang_up: Callable[[], None]) -> None:
        """hang_up: ends the call for the agent"""
        self._hang_up = hang_up
        self._expected: _Expected | None = None
        # Uid of the person that has the call.
        self._holder: int | None = None

    def request(
        self,
        session: Session,
        to: str,
        *,
        summary: str,
        should_leave: bool,
    ) -> None:
        """Notify the owner, and expect the person from now on.

        Raises:
            CallError: nobody to transfer to is named, or the summary is too long.
        """
        if not to.strip() or len(to) > MAX_TO_CHARACTERS:
            text = f"transfer: to has 1 to {MAX_TO_CHARACTERS} characters"
            raise CallError("invalid_event", text)
        if len(summary) > MAX_SUMMARY_CHARACTERS:
            text = f"transfer: the summary has at most {MAX_SUMMARY_CHARACTERS} characters"
            raise CallError("invalid_event", text)
        uid = self._free_uid(session)
        self._expected = _Expected(uid, to, should_leave)
        session.context.publisher.publish(
            out.AgentTransferRequested,
            target=to,
            uid=uid,
            summary=summary,
        )

    def _free_uid(self, session: Session) -> int:
        while True:
            uid = _FIRST_UID + secrets.randbelow(_UIDS)
            if uid not in session.context.line.remote_users:
                return uid

    async def handle_joined(self, session: Session, uid: int) -> None:
        """Fall silent, or leave, if this is the person."""
        expected = self._expected
        if expected is None or expected.uid != uid:
            return
        self._expected, self._holder = None, uid
        if not expected.should_leave:
            # Silence first: the event says that the person has the call.
            session.parts.audio_input.is_deaf = True
            session.context.line.set_muted(True)
            await session.parts.turn_handler.fall_silent()
        session.context.publisher.publish(out.AgentTransferred, target=expected.to, uid=uid)
        if expected.should_leave:
            self._hang_up()

    def handle_left(self, session: Session, uid: int) -> None:
        """Take the call again if the person that had it has left."""
        if self._holder == uid:
            self._holder = None
            session.parts.audio_input.is_deaf = False
            session.context.line.set_muted(False)


def last_words(history: Sequence[HeardTurn]) -> str:
    """Return the last turns, for a person who gets no better summary."""
    lines = [f"{turn.role}: {turn.text}" for turn in history[-_LAST_TURNS:]]
    return "\n".join(lines)[-MAX_SUMMARY_CHARACTERS:]
