"""The last words: said when the call ends for a reason that people should hear of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from conversation.lifecycle import ExitReason
from conversation.limits import MAX_GOODBYE_S
from realtime import events as model
from realtime.events import CreateResponse
from realtime.model import ModelDisconnectedError
from session.context import Handlers, SessionContext
from session.hearing import Hearing
from session.replies import Replies
from session.user_turns import UserTurns

REASONS: Final = frozenset(
    {ExitReason.DRAINED, ExitReason.MAX_DURATION, ExitReason.IDLE, ExitReason.BUDGET_SPENT}
)
"""Ends that people did not ask for and that leave the time for a word."""

MAX_LAST_REPLY_S: Final = 10.0
"""A reply that is being given may go on for so long, where nothing hurries."""


class Goodbye:
    """Says it once, uninterrupted."""

    def __init__(
        self, context: SessionContext, replies: Replies, user_turns: UserTurns, hearing: Hearing
    ) -> None:
        self._context = context
        self._replies = replies
        self._user_turns = user_turns
        self._hearing = hearing
        self._is_asked = False
        # The reply that is the goodbye, and whether the model has sent all of it.
        self._response_id: str | None = None
        self._is_made = False
        self._changed = asyncio.Event()
        context.channel.on("playout_done", self._handle_playout)

    def handlers(self) -> Handlers:
        """Reactions to model events; heard after those of replies."""
        return {
            model.ResponseCreated: self._handle_created,
            model.ResponseDone: self._handle_done,
        }

    def _handle_playout(self, *_: object) -> None:
        self._changed.set()

    async def _handle_created(self, event: model.ResponseCreated) -> None:
        if self._is_asked and self._response_id is None:
            self._response_id = event.response_id

    async def _handle_done(self, event: Any) -> None:
        self._is_made = self._is_made or event.response_id == self._response_id
        self._changed.set()

    async def say(self, text: str, reason: ExitReason) -> None:
        """Let a reply end (not when drained: time is short), say `text`, return when it was heard."""
        await self._hearing.close()
        if reason is not ExitReason.DRAINED:
            await self._wait(self._is_silent, MAX_LAST_REPLY_S)
        try:
            await self._user_turns.fall_silent()
            self._is_asked = True
            await self._context.model.send(CreateResponse(f"Say exactly: {text}"))
        except ModelDisconnectedError:
            self._context.log.info("no goodbye: the model is gone")
            return
        if not await self._wait(lambda: self._is_made and self._is_silent(), MAX_GOODBYE_S):
            self._context.log.info("the goodbye took too long")

    def _is_silent(self) -> bool:
        return self._context.turns.active_response is None and not self._replies.is_playing

    async def _wait(self, is_met: Callable[[], bool], deadline_s: float) -> bool:
        try:
            async with asyncio.timeout(deadline_s):
                while not is_met():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
