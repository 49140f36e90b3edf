"""Asks a silent person whether they are still there, and ends the call when no answer comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from config.agent import AgentConfig
from config.sounds import IdlePrompts
from conversation.events import server_events as out
from conversation.idle_prompts import IdleWatch, PatienceOver, PromptDue
from conversation.lifecycle import ExitReason
from conversation.phrases import STILL_THERE, spoken_request
from conversation.turn_taking.turn_state import TurnState
from realtime import events as model
from realtime.events import ConnectionStatus, CreateResponse
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from session.context import Handlers, SessionContext
from session.turn_policy import TurnPolicy
from untrusted.boundary import InputKind

# Precision of the silences, which are counted in seconds.
_CHECK_INTERVAL_S: Final = 0.25


def idle_prompts_of(config: AgentConfig) -> IdlePrompts | None:
    """Return the prompts of a call; None where the provider gives its own (`idle_timeout_ms`)."""
    is_providers = bool((config.turn_detection or {}).get("idle_timeout_ms"))
    return None if is_providers else config.sounds.idle


class IdlePrompter:
    """Looks four times a second at who is silent; does nothing without `sounds.idle`.

    A prompt is a turn of the agent's, as a greeting is: the person's answer refers to it.
    """

    def __init__(
        self,
        context: SessionContext,
        policy: TurnPolicy,
        *,
        is_busy: Callable[[], bool],
        play: Callable[[str, float], bool],
        on_end: Callable[[ExitReason], None],
    ) -> None:
        """
        is_busy: true while a tool runs, a person has the call, or it ends
        play: plays a sound at a level (dB)
        on_end: ends the call
        """
        self._context = context
        self._policy = policy
        self._is_busy = is_busy
        self._play = play
        self._on_end = on_end
        self._prompts = idle_prompts_of(context.config)
        self._watch: IdleWatch | None = None
        if self._prompts is not None:
            self._watch = IdleWatch(self._prompts.rules, now_s=time.monotonic())
        elif context.config.sounds.idle is not None:
            context.log.info("no idle prompts: idle_timeout_ms has the provider give its own")
        self._is_model_up = True

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {} if self._watch is None else {model.ConnectionChanged: self._handle_connection}

    def note_user(self) -> None:
        """Begin anew: a person gave a sign of life."""
        if self._watch is not None:
            self._watch.note_user(time.monotonic())

    async def _handle_connection(self, event: model.ConnectionChanged) -> None:
        self._is_model_up = event.status is ConnectionStatus.OPEN

    async def run(self) -> None:
        """Look until the call is to end, or cancelled."""
        watch = self._watch
        while watch is not None:
            await asyncio.sleep(_CHECK_INTERVAL_S)
            with self._context.boundary.guard(
                InputKind.INTERNAL,
                "look for idle people",
                expected=(ModelDisconnectedError, UnsupportedCommandError),
            ):
                due = watch.observe(time.monotonic(), is_silent=self._is_silent())
                if isinstance(due, PatienceOver):
                    self._context.log.info("no answer to the idle prompts")
                    self._on_end(ExitReason.IDLE)
                    return
                if due is not None:
                    await self._ask(due)

    def _is_silent(self) -> bool:
        """Return true if a person could speak, and neither they nor the agent do."""
        turns, line = self._context.turns, self._context.line
        if not self._is_model_up or turns.state is not TurnState.IDLE:
            return False
        if self._is_busy() or line.outgoing.is_busy:
            return False
        statistics = line.statistics()
        # A muted agent would ask unheard.
        return not statistics.is_muted and any(
            user.role == "user"
            # Whoever pushes to talk is muted by letting go.
            and (self._policy.is_manual or not user.is_muted)
            and (media := statistics.users.get(user.uid)) is not None
            and media.connection == "connected"
            for user in line.remote_users.values()
        )

    async def _ask(self, due: PromptDue) -> None:
        prompts = self._prompts
        assert prompts is not None
        if due.ends_in_s is not None:
            self._context.publisher.publish(
                out.AgentLimitNear,
                reason=ExitReason.IDLE.value,
                ends_in_ms=int(due.ends_in_s * 1000),
            )
        if prompts.sound is not None and self._play(prompts.sound, prompts.level_db):
            return
        request = prompts.instructions or spoken_request(
            prompts.say, STILL_THERE, self._context.config.language, due.number
        )
        await self._context.model.send(CreateResponse(instructions=request))
