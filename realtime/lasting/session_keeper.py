"""`SessionKeeper`: one provider session after another, so that the conversation never lacks one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from realtime import events as ours
from realtime.events import ConnectionStatus, ModelEvent
from realtime.lasting.memory import Memory
from realtime.lasting.model_session import ModelSession, ModelSource
from realtime.lasting.outage import OutageWatch
from realtime.lasting.replay import retold, retold_as_note
from realtime.lasting.reply_watch import OwedReply
from realtime.lasting.resilience import ResilienceOptions
from realtime.lasting.retry import Step, Trouble, repeat_delay_s
from realtime.lasting.transcript import Called, Entry, Said
from realtime.model import (
    Capabilities,
    ModelConnectError,
    RealtimeModel,
    UnsupportedCommandError,
)
from utils import OwnedTasks

QUIET_S = 0.5
"""So long must no voice have been heard for a change of sessions to split no word."""

_NOTE = "(A note for you, that nobody said: {})"

_TICK_S = 0.5
_SWITCH_TICK_S = 0.02
_PREPARE_PAUSE_S = 2.0

_log = logging.getLogger("realtime")


class SessionKeeper:
    """Owns every session; `session` is the one that has the floor, None while there is none."""

    def __init__(
        self,
        sources: Sequence[ModelSource],
        outside: Capabilities,
        memory: Memory,
        options: ResilienceOptions,
        *,
        tell: Callable[[ModelEvent], Awaitable[None]],
        on_open: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """
        sources: in order of preference; the second is asked while the first is down
        outside: what the agent was told of audio rates
        tell: takes events for the agent
        on_open: called when a session got the floor, after it was told the conversation
        clock, wall_clock: monotonic and Unix seconds
        """
        self.session: ModelSession | None = None
        self._statistics = memory.statistics
        self._sources = sources
        self._outside = outside
        self._memory = memory
        self._options = options
        self._tell = tell
        self._on_open = on_open
        self._clock = clock
        self._wall_clock = wall_clock
        self._outages = OutageWatch(sources, options.retry, rng)
        self._is_first = True
        self._is_loss_told = False
        self._live: set[ModelSession] = set()
        self._tasks = OwnedTasks(_log)

    # -- a life --------------------------------------------------------------------------------

    async def start(self, model: RealtimeModel) -> None:
        """Open the first session, with this model, and keep the conversation going from then on.

        Raises:
            ModelConnectError: nothing is left open.
        """
        source = self._sources[0]
        session = await self._open(source, source.config.timeout_s, model=model)
        await self._take_over(session, is_calm=True)
        self._tasks.start(self._run(), name="model sessions")

    async def _run(self) -> None:
        try:
            await self._keep()
        except Exception:
            await self._give_up(Trouble("internal"))
            raise

    async def _keep(self) -> None:
        while (session := self.session) is not None:
            successor = await self._watch(session) or await self._reopen(session)
            if successor is None:
                return
            is_calm = not session.ended.done()
            await self._take_over(successor, is_calm=is_calm and self._is_calm(session))
            self._discard(session)

    async def close(self) -> None:
        """Close every session; safe at any time and again."""
        await self._tasks.close()
        for session in list(self._live):
            self._live.discard(session)
            await session.model.close()

    # -- opening and reading -------------------------------------------------------------------

    async def _open(
        self, source: ModelSource, timeout_s: float, *, model: RealtimeModel | None = None
    ) -> ModelSession:
        model = model or source.create()
        memory, capabilities = self._memory, model.capabilities
        handle = memory.handle_for(source) if capabilities.has_resumption else None
        is_resumed = handle is not None
        seen = memory.settings
        knows = memory.known_to(capabilities, is_resumed=is_resumed)
        settings = memory.settings_for(
            source, capabilities, is_own=source is self._sources[0], is_resumed=is_resumed
        )
        await model.connect(
            replace(source.config, settings=settings, timeout_s=timeout_s, resumption_handle=handle)
        )
        session = ModelSession(
            source,
            model,
            self._statistics,
            outside=self._outside,
            settings=seen,
            knows=knows,
            ids=memory.ids,
            now_s=self._clock(),
        )
        self._live.add(session)
        self._tasks.start(self._pump(session), name=f"model events of {source.name}")
        return session

    async def _pump(self, session: ModelSession) -> None:
        try:
            async for told in session.model.events():
                now_s = self._clock()
                for event in session.inward(told):
                    session.note(event, now_s=now_s, wall_s=self._wall_clock())
                    if session is self.session:
                        await self._handle(session, event, now_s)
        finally:
            session.end(Trouble("disconnected"))

    async def _handle(self, session: ModelSession, event: ModelEvent, now_s: float) -> None:
        match event:
            case ours.SessionEnded() | ours.ConnectionChanged():
                return  # ours are told by `_take_over` and `_give_up`
            case ours.GoAwayReceived():
                self._judge(session, Trouble("go_away", is_over=False), event.time_left_ms)
            case ours.ProviderError():
                trouble = Trouble(event.code, is_over=event.is_fatal, is_retryable=False)
                if not self._judge(session, trouble):
                    return
            case _:
                pass
        owed = session.replies.active_owed() if isinstance(event, ours.ResponseDone) else None
        self._memory.handle(session, event, now_s=now_s)
        await self._tell(session.outward(event))
        if isinstance(event, ours.ResponseDone) and owed is not None:
            self._repeat_if_failed(session, event, owed)

    def _repeat_if_failed(
        self, session: ModelSession, event: ours.ResponseDone, owed: OwedReply
    ) -> None:
        if event.status is ours.ResponseStatus.FAILED:
            delay_s = repeat_delay_s(event.reason, session.replies.failures, self._options.retry)
            if delay_s is not None:
                self._tasks.start(self._repeat(session, owed, delay_s), name="repeat reply")

    async def _repeat(self, session: ModelSession, owed: OwedReply, delay_s: float) -> None:
        """Ask again for a reply that failed, unless the conversation went on meanwhile."""
        await asyncio.sleep(delay_s)
        is_idle = session.replies.is_idle(now_s=self._clock())
        if session is self.session and is_idle and session.turns.speaking is None:
            self._memory.owed.append(owed)
            await self._on_open()

    def _judge(self, session: ModelSession, trouble: Trouble, left_ms: int | None = None) -> bool:
        """Act on trouble of an open session; True when the session goes on."""
        now_s = self._clock()
        decision = self._outages.judge(trouble, now_s=now_s)
        if decision.step is Step.ROTATE:
            session.plan.note_end_in(left_ms, now_s=now_s)
        elif decision.step is not Step.WAIT:
            session.end(trouble)
            return False
        return True

    def _discard(self, session: ModelSession) -> None:
        if session in self._live:
            self._tasks.start(self._close(session), name="close model session")

    async def _close(self, session: ModelSession) -> None:
        await session.model.close()
        self._live.discard(session)

    # -- watching and replacing ----------------------------------------------------------------

    async def _watch(self, session: ModelSession) -> ModelSession | None:
        """Until the session must be replaced; returns its successor if one stands by."""
        standby: ModelSession | None = None
        prepare_at_s = 0.0
        try:
            while not session.ended.done():
                now_s = self._clock()
                if session.replies.is_stalled(now_s=now_s):
                    session.end(Trouble("reply_stalled"))
                    break
                if standby is not None and standby.ended.done():
                    self._discard(standby)
                    standby = None
                is_due = session.plan.is_due(now_s=now_s)
                if is_due and standby is None and now_s >= prepare_at_s:
                    standby = await self._prepare(session)
                    prepare_at_s = self._clock() + _PREPARE_PAUSE_S
                can_switch = standby is not None or not self._can_stand_by(session)
                if is_due and can_switch and self._should_switch(session):
                    break
                pause_s = _SWITCH_TICK_S if is_due and can_switch else self._pause_s(session)
                await asyncio.wait({session.ended}, timeout=pause_s)
            successor, standby = standby, None
            return successor
        finally:
            if standby is not None:
                self._discard(standby)

    def _pause_s(self, session: ModelSession) -> float:
        prepare_s = session.plan.prepare_at_s
        if prepare_s is None:
            return _TICK_S
        return min(_TICK_S, max(_SWITCH_TICK_S, prepare_s - self._clock()))

    def _can_stand_by(self, session: ModelSession) -> bool:
        """Whether a successor may be opened early: it can be told the rest when it takes over."""
        return (
            session.capabilities.has_history_replay
            and self._memory.handle_for(session.source) is None
        )

    def _should_switch(self, session: ModelSession) -> bool:
        now_s = self._clock()
        return session.plan.should_switch(
            is_boundary=self._memory.is_boundary(session, now_s=now_s),
            is_quiet=self._is_calm(session),
            now_s=now_s,
        )

    def _is_calm(self, session: ModelSession) -> bool:
        """Whether nothing that the session heard is still without its words."""
        return (
            session.turns.speaking is None
            and session.turns.has_all_words
            and self._memory.backlog.is_quiet(QUIET_S)
        )

    async def _prepare(self, session: ModelSession) -> ModelSession | None:
        if not self._can_stand_by(session):
            return None
        try:
            return await self._open(session.source, session.source.config.timeout_s)
        except ModelConnectError as error:
            _log.warning("no successor for the model session yet: %s", error)
            return None

    async def _reopen(self, session: ModelSession) -> ModelSession | None:
        """Open a session after this one was lost, or without a standby; None: nothing helps."""
        is_lost = session.ended.done()
        trouble = session.ended.result() if is_lost else Trouble("session_expired")
        is_calm = not is_lost and self._is_calm(session)
        await self._retire(session, is_calm=is_calm)
        self._discard(session)
        self._statistics.rotations += not is_lost
        if is_lost:
            self._statistics.reconnects += 1
            await self._tell_loss(trouble)
        self._outages.handle_loss(opened_s=session.opened_s, now_s=self._clock())
        while True:
            decision = self._outages.next_step(trouble, now_s=self._clock())
            _log.info("model session lost (%s): %s", trouble.code, decision.step)
            if decision.step is Step.FATAL:
                await self._give_up(trouble)
                return None
            if decision.step is Step.RETRY_FRESH:
                self._memory.forget_handle()
            self._statistics.fallbacks += decision.step is Step.FALLBACK
            await asyncio.sleep(decision.delay_s)
            try:
                return await self._open(self._outages.source, self._attempt_timeout_s())
            except ModelConnectError as error:
                trouble = self._failed(error)
                await self._tell_loss(trouble)

    def _failed(self, error: ModelConnectError) -> Trouble:
        _log.warning("the model cannot be reached again yet: %s", error)
        self._outages.handle_failure()
        had_handle = self._memory.handle_for(self._outages.source) is not None
        return Trouble(error.code, is_retryable=error.is_retryable, had_handle=had_handle)

    def _attempt_timeout_s(self) -> float:
        timeout_s = self._outages.source.config.timeout_s
        patience_s = self._options.retry.patience_s
        return min(timeout_s, patience_s) if self._outages.has_other else timeout_s

    # -- changing over -------------------------------------------------------------------------

    async def _retire(self, session: ModelSession, *, is_calm: bool) -> None:
        if session is self.session:
            self.session = None
            for event in self._memory.retire(session, is_calm=is_calm, now_s=self._clock()):
                await self._tell(event)

    async def _take_over(self, session: ModelSession, *, is_calm: bool) -> None:
        if self.session is not None:
            await self._retire(self.session, is_calm=is_calm)
            self._statistics.rotations += 1
        await self._tell_again(session)
        self._memory.begin(session)
        self.session = session
        if self._is_loss_told or self._is_first:
            self._is_loss_told = self._is_first = False
            await self._tell(ours.ConnectionChanged(ConnectionStatus.OPEN))
        if session.opened is not None:
            await self._tell(session.opened)
        await self._on_open()

    async def _tell_again(self, session: ModelSession) -> None:
        """Seed a session; what comes meanwhile is told too."""
        if changes := self._memory.unseen_settings(session):
            await session.offer(ours.UpdateSettings(changes))
        since = session.knows
        while entries := self._memory.untold(since):
            since = self._memory.transcript.mark
            for entry in entries:
                await self.tell_entry(session, entry)

    async def tell_entry(self, session: ModelSession, entry: Entry) -> None:
        """Tell a session of something that it has not seen, in whatever form it takes."""
        is_clients = isinstance(entry, Said) and entry.has_client_id
        item_id = entry.item_id if is_clients else f"told_{entry.number}"
        limit = self._options.replay.max_characters
        commands = retold(
            entry,
            item_id=item_id,
            max_characters=limit,
            has_image_input=session.capabilities.has_image_input,
        )
        try:
            for command in commands:
                await session.deliver(command)
        except UnsupportedCommandError:
            await self._tell_as_note(session, entry)
        session.note_told(entry.item_id, item_id)
        if isinstance(entry, Called):
            session.told_calls.add(entry.call_id)

    async def _tell_as_note(self, session: ModelSession, entry: Entry) -> None:
        note = retold_as_note(entry, max_characters=self._options.replay.max_characters)
        spoken = ours.AddText(_NOTE.format(note.text), "user")
        for command in (note, spoken if session.capabilities.has_text_input else None):
            with contextlib.suppress(UnsupportedCommandError):
                if command is not None:
                    await session.deliver(command)
                    return
        # It is told by its instructions, so these are what can change.
        instructions = self._memory.folded_instructions(self._memory.settings)
        await session.offer(ours.UpdateSettings({"instructions": instructions}))

    async def _tell_loss(self, trouble: Trouble) -> None:
        if not self._is_loss_told:
            self._is_loss_told = True
            status = ConnectionStatus.RECONNECTING
            await self._tell(ours.ConnectionChanged(status, trouble.code))

    async def _give_up(self, trouble: Trouble) -> None:
        reason = f"no model session can be had: {trouble.code}"
        await self._tell(ours.ConnectionChanged(ConnectionStatus.CLOSED, reason))
        await self._tell(ours.SessionEnded(reason, trouble.code, is_retryable=False))
