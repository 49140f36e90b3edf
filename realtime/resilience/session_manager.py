"""`SessionManager`: one provider session after another, so that the conversation never lacks one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from realtime import events as ours
from realtime.api_keys import forget_key
from realtime.events import ConnectionStatus, ModelEvent
from realtime.model import (
    Capabilities,
    ModelConnectError,
    ModelSettings,
    RealtimeModel,
    UnsupportedCommandError,
)
from realtime.resilience.changeover import Changeover
from realtime.resilience.options import ResilienceOptions
from realtime.resilience.outage import OutageWatch
from realtime.resilience.provider_session import ModelSource, ProviderSession
from realtime.resilience.replay import replayed, replayed_as_note
from realtime.resilience.response_tracker import PendingReply
from realtime.resilience.retry_policy import Failure, RecoveryAction, repeat_delay_s
from realtime.resilience.state import SessionState
from realtime.resilience.transcript import Entry, TextEntry, ToolCallEntry
from shared_ticks import until_tick_s
from utils import OwnedTasks

QUIET_S = 0.5
"""So long must no voice have been heard for a change of sessions to split no word."""

_NOTE = "(System note, not spoken by the user: {})"

_TICK_S = 0.5
_SWITCH_TICK_S = 0.02
_PREPARE_PAUSE_S = 2.0

_log = logging.getLogger("realtime")


class SessionManager:
    """Owns every session; `session` is the one that has the floor, None while there is none."""

    def __init__(
        self,
        sources: Sequence[ModelSource],
        outside: Capabilities,
        state: SessionState,
        options: ResilienceOptions,
        *,
        emit: Callable[[ModelEvent], Awaitable[None]],
        on_open: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """
        sources: in order of preference; the second is asked while the first is down
        outside: capabilities shown to the agent, with its audio rates
        emit: takes events for the agent
        on_open: called when a session becomes the active one, after the replay
        clock, wall_clock: monotonic and Unix seconds
        """
        self.session: ProviderSession | None = None
        self._statistics = state.statistics
        self._sources = sources
        self._outside = outside
        self._state = state
        self._options = options
        self._emit = emit
        self._on_open = on_open
        self._clock = clock
        self._wall_clock = wall_clock
        self._outages = OutageWatch(sources, options.retry, rng)
        self._rng = rng
        self._change: Changeover | None = None
        self._change_wanted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_first = True
        self._is_loss_reported = False
        self._live: set[ProviderSession] = set()
        self._tasks = OwnedTasks(_log)

    # -- a life --------------------------------------------------------------------------------

    async def start(self, model: RealtimeModel) -> None:
        """Open the first session, with this model, and keep the conversation going from then on.

        Raises:
            ModelConnectError: nothing is left open.
        """
        source = self._sources[0]
        session = await self._open(source, source.config.timeout_s, model=model)
        await self._take_over(session, is_transcribed=True)
        self._tasks.start(self._run(), name="model sessions")

    async def _run(self) -> None:
        try:
            await self._keep()
        except Exception:
            await self._give_up(Failure("internal"))
            raise

    async def _keep(self) -> None:
        while (session := self.session) is not None:
            successor = await self._watch(session)
            if (change := self._change) is not None and successor is change.session:
                self._begin_change(change)
            if successor is None and (successor := await self._reopen(session)) is None:
                return
            is_transcribed = not session.ended.done()
            await self._take_over(
                successor, is_transcribed=is_transcribed and self._is_transcribed(session)
            )
            self._discard(session)
            if (change := self._change) is not None and self.session is change.session:
                self._change = None
                change.done.set_result(None)

    async def close(self) -> None:
        """Close every session; safe at any time and again."""
        if self._change is not None:
            self._change.done.cancel()
        await self._tasks.close()
        for session in list(self._live):
            self._live.discard(session)
            await session.model.close()

    async def change_over(self, source: ModelSource, settings: ModelSettings) -> None:
        """Open a session of another source, and give it the floor at the next pause; from then on it
        is the preferred one. Returns when it has the floor.

        Raises:
            ModelConnectError: the present session keeps the floor.
        """
        session = await self._open(source, source.config.timeout_s, given=settings)
        if self._change is not None or self.session is None:
            self._discard(session)
            text = "the conversation is changing its session already"
            raise ModelConnectError(text, code="busy", is_retryable=True)
        self._change = change = Changeover(session, source, settings, self._clock())
        self._change_wanted.set_result(None)
        self._change_wanted = asyncio.get_running_loop().create_future()
        try:
            await change.done
        finally:
            if self._change is change:  # cancelled before it was due
                self._change = None
                self._discard(session)

    def _begin_change(self, change: Changeover) -> None:
        self._sources = [change.source, *self._sources[1:]]
        self._outages = OutageWatch(self._sources, self._options.retry, self._rng)
        self._state.settings = change.settings
        # What another session could resume is not this one's conversation.
        self._state.forget_handle()

    # -- opening and reading -------------------------------------------------------------------

    async def _open(
        self,
        source: ModelSource,
        timeout_s: float,
        *,
        model: RealtimeModel | None = None,
        given: ModelSettings | None = None,
    ) -> ProviderSession:
        """given: settings of the conversation once this session has the floor"""
        try:
            return await self._open_once(source, timeout_s, model or source.create(), given)
        except ModelConnectError as error:
            if error.code != "invalid_api_key" or not forget_key(source.config.api_key):
                raise
        # A key that was kept from an earlier connect may be over: a fresh one need not be.
        return await self._open_once(source, timeout_s, source.create(), given)

    async def _open_once(
        self,
        source: ModelSource,
        timeout_s: float,
        model: RealtimeModel,
        given: ModelSettings | None,
    ) -> ProviderSession:
        state, capabilities = self._state, model.capabilities
        handle = state.handle_for(source) if capabilities.has_resumption else None
        is_resumed = handle is not None
        seen = state.settings if given is None else given
        knows = state.mark_of_new_session(capabilities, is_resumed=is_resumed)
        settings = state.settings_for(
            source,
            capabilities,
            is_own=given is not None or source is self._sources[0],
            is_resumed=is_resumed,
            given=given,
        )
        await model.connect(
            replace(source.config, settings=settings, timeout_s=timeout_s, resumption_handle=handle)
        )
        session = ProviderSession(
            source,
            model,
            self._statistics,
            outside=self._outside,
            settings=seen,
            knows=knows,
            ids=state.ids,
            now_s=self._clock(),
        )
        self._live.add(session)
        self._tasks.start(self._pump(session), name=f"model events of {source.name}")
        return session

    async def _pump(self, session: ProviderSession) -> None:
        try:
            async for received in session.model.events():
                now_s = self._clock()
                for event in session.inward(received):
                    session.note(event, now_s=now_s, wall_s=self._wall_clock())
                    if session is self.session:
                        await self._handle(session, event, now_s)
        finally:
            session.end(Failure("disconnected"))

    async def _handle(self, session: ProviderSession, event: ModelEvent, now_s: float) -> None:
        match event:
            case ours.SessionEnded() | ours.ConnectionChanged():
                return  # our own closes are reported by `_take_over` and `_give_up`
            case ours.ItemAdded(item_id=item_id) if session.is_replay(item_id):
                return  # the conversation has this item already
            case ours.GoAwayReceived():
                self._judge(session, Failure("go_away", is_over=False), event.time_left_ms)
            case ours.ProviderError():
                failure = Failure(event.code, is_over=event.is_fatal, is_retryable=False)
                if not self._judge(session, failure):
                    return
            case _:
                pass
        is_own_end = isinstance(event, ours.ResponseDone) and event.out_of_band is None
        pending = session.replies.pending_active() if is_own_end else None
        self._state.handle(session, event, now_s=now_s)
        await self._emit(session.outward(event))
        if isinstance(event, ours.ResponseDone) and pending is not None:
            self._repeat_if_failed(session, event, pending)

    def _repeat_if_failed(
        self, session: ProviderSession, event: ours.ResponseDone, pending: PendingReply
    ) -> None:
        if event.status is ours.ResponseStatus.FAILED:
            delay_s = repeat_delay_s(event.reason, session.replies.failures, self._options.retry)
            if delay_s is not None:
                self._tasks.start(self._repeat(session, pending, delay_s), name="repeat reply")

    async def _repeat(
        self, session: ProviderSession, pending: PendingReply, delay_s: float
    ) -> None:
        """Ask again for a reply that failed, unless the conversation went on meanwhile."""
        await asyncio.sleep(delay_s)
        is_idle = session.replies.is_idle(now_s=self._clock())
        if session is self.session and is_idle and session.turns.speaking is None:
            self._state.pending.append(pending)
            await self._on_open()

    def _judge(
        self, session: ProviderSession, failure: Failure, left_ms: int | None = None
    ) -> bool:
        """Act on trouble of an open session; True when the session goes on."""
        now_s = self._clock()
        decision = self._outages.judge(failure, now_s=now_s)
        if decision.step is RecoveryAction.ROTATE:
            session.plan.note_end_in(left_ms, now_s=now_s)
        elif decision.step is not RecoveryAction.WAIT:
            session.end(failure)
            return False
        return True

    def _discard(self, session: ProviderSession) -> None:
        if session in self._live:
            self._tasks.start(self._close(session), name="close model session")

    async def _close(self, session: ProviderSession) -> None:
        await session.model.close()
        self._live.discard(session)

    # -- watching and replacing ----------------------------------------------------------------

    async def _watch(self, session: ProviderSession) -> ProviderSession | None:
        """Until the session must be replaced; returns its successor if one stands by."""
        standby: ProviderSession | None = None
        prepare_at_s = 0.0
        try:
            while not session.ended.done():
                now_s = self._clock()
                if session.replies.is_stalled(now_s=now_s):
                    session.end(Failure("reply_stalled"))
                    break
                change = self._change
                if change is not None and change.is_due(session, now_s=now_s):
                    return change.session
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
                awaited: set[asyncio.Future[Any]] = {session.ended}
                if change is None:
                    awaited.add(self._change_wanted)
                else:
                    pause_s = _SWITCH_TICK_S
                await asyncio.wait(awaited, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            if self._change is not None:
                return self._change.session
            successor, standby = standby, None
            return successor
        finally:
            if standby is not None:
                self._discard(standby)

    def _pause_s(self, session: ProviderSession) -> float:
        prepare_s = session.plan.prepare_at_s
        if prepare_s is None:
            return until_tick_s(_TICK_S)
        return min(_TICK_S, max(_SWITCH_TICK_S, prepare_s - self._clock()))

    def _can_stand_by(self, session: ProviderSession) -> bool:
        """True if a successor may be opened early: the rest can be replayed when it takes over."""
        return (
            session.capabilities.has_history_replay
            and self._state.handle_for(session.source) is None
        )

    def _should_switch(self, session: ProviderSession) -> bool:
        now_s = self._clock()
        return session.plan.should_switch(
            is_boundary=self._state.is_boundary(session, now_s=now_s),
            is_quiet=self._is_transcribed(session),
            now_s=now_s,
        )

    def _is_transcribed(self, session: ProviderSession) -> bool:
        """True if everything that the session heard has its transcript."""
        return (
            session.turns.speaking is None
            and session.turns.has_all_words
            and self._state.backlog.is_quiet(QUIET_S)
        )

    async def _prepare(self, session: ProviderSession) -> ProviderSession | None:
        if not self._can_stand_by(session):
            return None
        try:
            return await self._open(session.source, session.source.config.timeout_s)
        except ModelConnectError as error:
            _log.warning("no successor for the model session yet: %s", error)
            return None

    async def _reopen(self, session: ProviderSession) -> ProviderSession | None:
        """Open a session after this one was lost, or without a standby; None: nothing helps."""
        is_lost = session.ended.done()
        failure = session.ended.result() if is_lost else Failure("session_expired")
        is_transcribed = not is_lost and self._is_transcribed(session)
        await self._close_session(session, is_transcribed=is_transcribed)
        self._discard(session)
        self._statistics.rotations += not is_lost
        if is_lost:
            self._statistics.reconnects += 1
            await self._report_loss(failure)
        self._outages.handle_loss(opened_s=session.opened_s, now_s=self._clock())
        while True:
            decision = self._outages.next_step(failure, now_s=self._clock())
            _log.info("model session lost (%s): %s", failure.code, decision.step)
            if decision.step is RecoveryAction.FATAL:
                await self._give_up(failure)
                return None
            if decision.step is RecoveryAction.RETRY_FRESH:
                self._state.forget_handle()
            self._statistics.fallbacks += decision.step is RecoveryAction.FALLBACK
            await asyncio.sleep(decision.delay_s)
            try:
                return await self._open(self._outages.source, self._attempt_timeout_s())
            except ModelConnectError as error:
                failure = self._failed(error)
                await self._report_loss(failure)

    def _failed(self, error: ModelConnectError) -> Failure:
        _log.warning("the model cannot be reached again yet: %s", error)
        self._outages.handle_failure()
        had_handle = self._state.handle_for(self._outages.source) is not None
        return Failure(error.code, is_retryable=error.is_retryable, had_handle=had_handle)

    def _attempt_timeout_s(self) -> float:
        timeout_s = self._outages.source.config.timeout_s
        patience_s = self._options.retry.patience_s
        return min(timeout_s, patience_s) if self._outages.has_other else timeout_s

    # -- changing over -------------------------------------------------------------------------

    async def _close_session(self, session: ProviderSession, *, is_transcribed: bool) -> None:
        if session is self.session:
            self.session = None
            for event in self._state.close_session(
                session, is_transcribed=is_transcribed, now_s=self._clock()
            ):
                await self._emit(event)

    async def _take_over(self, session: ProviderSession, *, is_transcribed: bool) -> None:
        if self.session is not None:
            await self._close_session(self.session, is_transcribed=is_transcribed)
            self._statistics.rotations += 1
        await self._replay(session)
        self._state.begin(session)
        self.session = session
        if self._is_loss_reported or self._is_first:
            self._is_loss_reported = self._is_first = False
            await self._emit(ours.ConnectionChanged(ConnectionStatus.OPEN))
        if session.opened is not None:
            await self._emit(session.opened)
        await self._on_open()

    async def _replay(self, session: ProviderSession) -> None:
        """Replay the conversation to a session, with what is added meanwhile."""
        if changes := self._state.unseen_settings(session):
            await session.offer(ours.UpdateSettings(changes))
        since = session.knows
        while entries := self._state.unreplayed(since):
            since = self._state.transcript.mark
            for entry in entries:
                await self.replay_entry(session, entry)

    async def replay_entry(self, session: ProviderSession, entry: Entry) -> None:
        """Replay an entry that a session has not seen, in a form that it takes."""
        is_clients = isinstance(entry, TextEntry) and entry.has_client_id
        item_id = entry.item_id if is_clients else f"told_{entry.number}"
        limit = self._options.replay.max_characters
        commands = replayed(
            entry,
            item_id=item_id,
            max_characters=limit,
            has_image_input=session.capabilities.has_image_input,
        )
        try:
            for command in commands:
                await session.deliver(command)
        except UnsupportedCommandError:
            await self._replay_as_note(session, entry)
        session.note_replayed(entry.item_id, item_id)
        if isinstance(entry, ToolCallEntry):
            session.replayed_calls.add(entry.call_id)

    async def _replay_as_note(self, session: ProviderSession, entry: Entry) -> None:
        note = replayed_as_note(entry, max_characters=self._options.replay.max_characters)
        spoken = ours.AddText(_NOTE.format(note.text), "user")
        for command in (note, spoken if session.capabilities.has_text_input else None):
            with contextlib.suppress(UnsupportedCommandError):
                if command is not None:
                    await session.deliver(command)
                    return
        # The replay is part of its instructions, so these are what can change.
        instructions = self._state.folded_instructions(self._state.settings)
        await session.offer(ours.UpdateSettings({"instructions": instructions}))

    async def _report_loss(self, failure: Failure) -> None:
        if not self._is_loss_reported:
            self._is_loss_reported = True
            status = ConnectionStatus.RECONNECTING
            await self._emit(ours.ConnectionChanged(status, failure.code))

    async def _give_up(self, failure: Failure) -> None:
        reason = f"no model session can be opened: {failure.code}"
        await self._emit(ours.ConnectionChanged(ConnectionStatus.CLOSED, reason))
        await self._emit(ours.SessionEnded(reason, failure.code, is_retryable=False))
