"""Watches how long, how idle and how dear the call is; warns, then has it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from boundary import InputKind
from conversation import server_events as out
from conversation.lifecycle import ExitReason
from conversation.limits import LimitNear, LimitWatch
from conversation.turns import TurnState
from realtime import events as model
from session.context import Handlers, SessionContext
from session.replies import Replies

_LOOK_INTERVAL_S: Final = 0.25


class CallLimitsWatch:
    """Looks four times a second if there is a limit in time, and whenever a reply was paid for."""

    def __init__(
        self, context: SessionContext, replies: Replies, *, on_limit: Callable[[ExitReason], None]
    ) -> None:
        """on_limit: ends the call; called once."""
        config = context.config
        self.spent = LimitWatch(config.limits, config.max_duration_s, now_s=time.monotonic())
        self._context = context
        self._replies = replies
        self._on_limit = on_limit
        self._is_idle_limited = config.limits.idle_timeout_s is not None
        self._is_timed = self._is_idle_limited or config.max_duration_s is not None
        self._is_over = False

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.SpeechStarted: self._handle_user,
            model.InputTranscriptDone: self._handle_words,
            model.ResponseDone: self._handle_reply,
        }

    def note_user(self, *_: object) -> None:
        """Somebody gave a sign of life."""
        self.spent.note_user()

    async def _handle_user(self, _event: Any) -> None:
        self.note_user()

    async def _handle_words(self, event: model.InputTranscriptDone) -> None:
        if event.transcript:
            self.note_user()

    async def _handle_reply(self, event: model.ResponseDone) -> None:
        usage = event.usage
        self.spent.note_reply(usage.input_tokens, usage.output_tokens, usage.details)
        self._look()

    async def run(self) -> None:
        """Look until the call is over, or cancelled."""
        while self._is_timed and not self._is_over:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            with self._context.boundary.guard(InputKind.INTERNAL, "look at the limits"):
                self._look()

    def _look(self) -> None:
        for due in self.spent.observe(now_s=time.monotonic(), is_quiet=self._is_quiet()):
            if self._is_over:
                return
            if isinstance(due, LimitNear):
                self._warn(due)
            else:
                self._is_over = True
                self._context.log.info("the call has reached its limit: %s", due.reason)
                self._on_limit(due.reason)

    def _is_quiet(self) -> bool:
        """Whether somebody is there and nobody does anything; not asked where it is no matter."""
        if not self._is_idle_limited:
            return False
        turns, users = self._context.turns, self._context.channel.remote_users.values()
        is_talking = turns.state is not TurnState.IDLE or self._replies.is_playing
        return (
            any(user.role == "user" for user in users) and not is_talking and not turns.is_working
        )

    def _warn(self, near: LimitNear) -> None:
        ends_in_ms = None if near.ends_in_s is None else int(near.ends_in_s * 1000)
        self._context.publisher.publish(
            out.AgentLimitNear, reason=near.reason.value, ends_in_ms=ends_in_ms
        )
