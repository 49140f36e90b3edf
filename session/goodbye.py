"""The goodbye: spoken when the call ends for a reason that users should hear."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from conversation.lifecycle import ExitReason
from conversation.limits import MAX_GOODBYE_S
from realtime import events as model
from realtime.events import CreateResponse
from realtime.model import ModelDisconnectedError
from session.audio_input import AudioInput
from session.context import Handlers, SessionContext
from session.reply_output import ReplyOutput
from session.turn_handler import TurnHandler

REASONS: Final = frozenset(
    {ExitReason.DRAINED, ExitReason.MAX_DURATION, ExitReason.IDLE, ExitReason.BUDGET_SPENT}
)
"""Ends that people did not ask for and that leave the time for a word."""

MAX_LAST_REPLY_S: Final = 10.0
"""A reply that is being given may go on for so long, where nothing hurries."""

MAX_HANG_UP_S: Final = 60.0
"""The same when the agent itself ends the call."""

# What ends silence without an event: a tool's end, a request on its way.
_LOOK_S: Final = 0.05


class Goodbye:
    """Speaks the goodbye once, uninterrupted."""

    def __init__(
        self,
        context: SessionContext,
        *,
        reply_output: ReplyOutput,
        turn_handler: TurnHandler,
        audio_input: AudioInput,
    ) -> None:
        self._context = context
        self._reply_output = reply_output
        self._turn_handler = turn_handler
        self._audio_input = audio_input
        # The call is about to end.
        self.is_begun = False
        # The request was sent: the next response is the goodbye.
        self._is_asked = False
        # The reply that is the goodbye, and whether it is generated completely.
        self._response_id: str | None = None
        self._is_made = False
        self._changed = asyncio.Event()
        context.line.on("playout_done", self._handle_playout)

    def handlers(self) -> Handlers:
        """Reactions to model events; run after those of replies."""
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

    async def finish_reply(self, is_pending: Callable[[], bool]) -> None:
        """Hear nobody any more, and return when the reply in progress was heard to its end.

        is_pending: true while another reply or a tool's result is due
        """
        self.is_begun = True
        await self._audio_input.close()
        await self._wait(lambda: self._is_silent() and not is_pending(), MAX_HANG_UP_S, _LOOK_S)

    async def say(self, request: str, reason: ExitReason) -> None:
        """Wait for the end of a reply in progress (unless drained, when time is short, or hung up),
        have the model say what `request` asks for, and return once it was heard.
        """
        self.is_begun = True
        await self._audio_input.close()
        if reason not in (ExitReason.DRAINED, ExitReason.HUNG_UP):
            await self._wait(self._is_silent, MAX_LAST_REPLY_S)
        try:
            await self._turn_handler.fall_silent()
            self._is_asked = True
            await self._context.model.send(CreateResponse(request))
        except ModelDisconnectedError:
            self._context.log.info("no goodbye: the model is gone")
            return
        if not await self._wait(lambda: self._is_made and self._is_silent(), MAX_GOODBYE_S):
            self._context.log.info("the goodbye took too long")

    def _is_silent(self) -> bool:
        return self._context.turns.active_response is None and not self._reply_output.is_playing

    async def _wait(
        self, is_met: Callable[[], bool], deadline_s: float, look_s: float | None = None
    ) -> bool:
        """look_s: look again after so long without an event"""
        try:
            async with asyncio.timeout(deadline_s):
                while not is_met():
                    self._changed.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(look_s):
                            await self._changed.wait()
        except TimeoutError:
            return False
        return True
