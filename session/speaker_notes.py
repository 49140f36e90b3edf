"""Notes to the model about which of several people spoke: their sound is one mix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from realtime import events as model
from realtime.events import AddText
from realtime.model import UnsupportedCommandError
from session.context import Handlers, SessionContext
from session.turn_policy import TurnPolicy

_NOTE: Final = "The last words were spoken by {name}."


class SpeakerNotes:
    """Adds a note to the conversation where the speaker changed, before the turn is answered.

    Only where a reply is asked for by the agent: elsewhere the note would come after it.
    """

    def __init__(
        self,
        context: SessionContext,
        policy: TurnPolicy,
        *,
        speaker_of: Callable[[str], int | None],
    ) -> None:
        """speaker_of: returns the uid of the person whose turn an item is"""
        self._context = context
        self._policy = policy
        self._speaker_of = speaker_of
        # Of the last note; the model takes it for the speaker until another note comes.
        self._noted_uid: int | None = None

    def handlers(self) -> Handlers:
        """Reactions to model events; they run before the turn is answered."""
        return {model.InputCommitted: self._handle_committed}

    async def _handle_committed(self, event: model.InputCommitted) -> None:
        if not self._policy.is_answering or not self._context.model.capabilities.has_history_replay:
            return
        people = {
            uid: user
            for uid, user in self._context.line.remote_users.items()
            if user.role == "user"
        }
        uid = self._speaker_of(event.item_id)
        if uid not in people or uid == self._noted_uid:
            return
        # A lone person needs no name, unless another one was named before.
        if len(people) < 2 and self._noted_uid is None:
            return
        note = _NOTE.format(name=people[uid].name or f"person {uid}")
        try:
            await self._context.model.send(AddText(note, "system"))
        except UnsupportedCommandError as error:
            self._context.log.debug("no note about the speaker: %s", error)
            return
        self._noted_uid = uid
