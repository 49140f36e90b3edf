"""Enforces the limits of a call in duration, idle time and cost; warns first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from conversation.events import server_events as out
from conversation.lifecycle import ExitReason
from conversation.limits import LimitNear, LimitWatch
from conversation.turn_taking.turn_state import TurnState
from realtime import events as model
from session.context import Handlers, SessionContext
from session.idle_prompter import IdlePrompter
from session.reply_output import ReplyOutput
from untrusted.boundary import InputKind

# Precision of limits in time.
_CHECK_INTERVAL_S: Final = 0.25


class LimitEnforcer:
    """Checks four times a second if there is a limit of time, and after every reply."""

    def __init__(
        self,
        context: SessionContext,
        reply_output: ReplyOutput,
        *,
        on_limit: Callable[[ExitReason], None],
    ) -> None:
        """on_limit: ends the call; called once"""
        config = context.config
        self.limits = LimitWatch(config.limits, config.max_duration_s, now_s=time.monotonic())
        # Set once, by the session.
        self.prompter: IdlePrompter | None = None
        self._context = context
        self._reply_output = reply_output
        self._on_limit = on_limit
        self._is_idle_limited = config.limits.idle_timeout_s is not None
        # Without a limit in time no periodic check runs.
        self._is_timed = self._is_idle_limited or config.max_duration_s is not None
        self._is_over = False

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.SpeechStarted: self._handle_user,
            model.InputTranscriptDelta: self._handle_user,
            model.DtmfReceived: self._handle_user,
            model.InputTranscriptDone: self._handle_words,
            model.ResponseDone: self.handle_reply,
        }

    def note_user(self, *_: object) -> None:
        """Reset the idle time: a user was active."""
        self.limits.note_user()
        if self.prompter is not None:
            self.prompter.note_user()

    async def _handle_user(self, _event: Any) -> None:
        self.note_user()

    async def _handle_words(self, event: model.InputTranscriptDone) -> None:
        if event.transcript:
            self.note_user()

    async def handle_reply(self, event: model.ResponseDone) -> None:
        """Count what a reply cost."""
        usage = event.usage
        self.limits.note_reply(usage.input_tokens, usage.output_tokens, usage.details)
        self._check()

    async def run(self) -> None:
        """Check until a limit is reached, or cancelled."""
        while self._is_timed and not self._is_over:
            await asyncio.sleep(_CHECK_INTERVAL_S)
            with self._context.boundary.guard(InputKind.INTERNAL, "look at the limits"):
                self._check()

    def _check(self) -> None:
        for due in self.limits.observe(now_s=time.monotonic(), is_quiet=self._is_quiet()):
            if self._is_over:
                return
            if isinstance(due, LimitNear):
                self._warn(due)
            else:
                self._is_over = True
                self._context.log.info("the call has reached its limit: %s", due.reason)
                self._on_limit(due.reason)

    def _is_quiet(self) -> bool:
        """Return true if a user is present and neither side is active; not computed without an idle
        limit.
        """
        if not self._is_idle_limited:
            return False
        turns, users = self._context.turns, self._context.line.remote_users.values()
        is_talking = turns.state is not TurnState.IDLE or self._reply_output.is_playing
        return (
            any(user.role == "user" for user in users) and not is_talking and not turns.is_working
        )

    def _warn(self, near: LimitNear) -> None:
        ends_in_ms = None if near.ends_in_s is None else int(near.ends_in_s * 1000)
        self._context.publisher.publish(
            out.AgentLimitNear, reason=near.reason.value, ends_in_ms=ends_in_ms
        )
