"""`ResilientModel`: one session for the agent, however many the providers need for it.

When a provider's session ends, the conversation goes on in another one, to which texts, images,
tool calls and the heard part of replies are replayed. The agent sees `ConnectionChanged` and, where a reply was
cut, its `ResponseDone` with status failed; `SessionEnded` comes only when nothing helps any more.

What an agent sends while no session is open is never refused: user audio waits (bounded, see
`audio_backlog`), texts, images and tool outputs go into the transcript that is replayed to the next
session, requests for replies and changed settings are kept.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import fields, replace

from realtime import events as ours
from realtime.capabilities import require_supported
from realtime.events import ModelCommand, ModelEvent
from realtime.model import (
    Capabilities,
    ModelConnectError,
    ModelDisconnectedError,
    ModelSettings,
    RealtimeModel,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from realtime.resilience.options import ResilienceOptions, ResilienceStatistics
from realtime.resilience.provider_session import ModelSource, ProviderSession
from realtime.resilience.replay import replayed
from realtime.resilience.response_tracker import PendingReply
from realtime.resilience.retry_policy import Failure
from realtime.resilience.session_manager import SessionManager
from realtime.resilience.state import SessionState
from realtime.resilience.transcript import Entry, TextEntry, Transcript
from realtime.response_gate import refused_reply
from utils import BacklogWarning

__all__ = ["ModelSource", "ResilienceOptions", "ResilientModel"]

MAX_EVENTS = 1_024

_log = logging.getLogger("realtime")
"""Events that wait for the agent; when full the provider waits too, nothing is dropped."""

_SETTINGS = frozenset(each.name for each in fields(ModelSettings))
_GO_ON = (
    "The connection broke during your last reply. The caller heard it up to these words: {heard!r}. "
    "Go on from there; do not begin again."
)


class ResilientModel:
    """See `realtime.model.RealtimeModel`; `TruncateItem` is always welcome."""

    def __init__(
        self,
        create: Callable[[], RealtimeModel],
        *,
        fallback: ModelSource | None = None,
        options: ResilienceOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = lambda: time.time_ns() / 1e9,
    ) -> None:
        """
        create: makes models of the preferred provider, not yet connected
        fallback: asked while the preferred provider is down
        clock, wall_clock: monotonic and Unix seconds
        """
        self._create = create
        self._fallback = fallback
        self._options = options or ResilienceOptions()
        self._clock = clock
        self._wall_clock = wall_clock
        self._first = create()
        # Sample rates stay the same when another provider takes over.
        self._outside = replace(self._first.capabilities, has_truncation=True)
        self._state = SessionState(self._outside, self._options.replay)
        self._manager: SessionManager | None = None
        self._events: asyncio.Queue[ModelEvent | None] = asyncio.Queue(MAX_EVENTS)
        self._backlog = BacklogWarning(_log, "of provider events", MAX_EVENTS // 4)
        self._is_flushing = False
        # Of the open tool calls, at least one was answered with a result to reply to.
        self._has_audible_result = False
        self._is_over = False

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of the preferred provider's model."""
        return self._outside

    @property
    def transcript(self) -> Transcript:
        """The conversation so far, as it would be replayed to a new session."""
        return self._state.transcript

    def restore(self, entries: Iterable[Entry]) -> None:
        """Begin with what was said in an earlier process."""
        self._state.transcript.restore(entries)

    @property
    def statistics(self) -> ResilienceStatistics:
        """Counts of reconnects, rotations and losses so far."""
        return replace(self._state.statistics, dropped_samples=self._state.backlog.dropped_samples)

    # -- a life --------------------------------------------------------------------------------

    async def connect(self, config: RealtimeModelConfig) -> None:
        """Open the first session; a failure here is raised, not retried.

        Raises:
            ModelConnectError: see `RealtimeModel.connect`.
        """
        sources = [ModelSource("preferred", self._create, config)]
        if self._fallback is not None:
            sources.append(self._fallback)
        self._state.settings = config.settings
        self._manager = SessionManager(
            sources,
            self._outside,
            self._state,
            self._options,
            emit=self._emit,
            on_open=self._handle_open,
            clock=self._clock,
            wall_clock=self._wall_clock,
            rng=random.Random(),
        )
        if self._is_over:
            raise ModelConnectError("closed while connecting", code="closed", is_retryable=False)
        await self._manager.start(self._first)

    async def events(self) -> AsyncIterator[ModelEvent]:
        """Everything the providers say; see `RealtimeModel.events`."""
        while (event := await self._events.get()) is not None:
            yield event
            if isinstance(event, ours.SessionEnded):
                return

    async def _emit(self, event: ModelEvent) -> None:
        if isinstance(event, ours.SessionEnded):
            self._is_over = True
        await self._events.put(event)
        self._backlog.observe(self._events.qsize())
        if isinstance(event, ours.AudioDelta):
            # It is played before the rest of what came with it is read.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Close whatever is open; safe at any time and again."""
        self._is_over = True
        await self._first.close()
        if self._manager is not None:
            await self._manager.close()
        while not self._events.empty():
            self._events.get_nowait()
        self._events.put_nowait(None)

    # -- sending -------------------------------------------------------------------------------

    async def send(self, command: ModelCommand) -> None:
        """Send one command, or keep it for the next session; see `RealtimeModel.send`.

        Raises:
            ModelDisconnectedError: no session will come any more.
            UnsupportedCommandError: the model cannot do that.
        """
        self._require_life()
        match command:
            case ours.AppendAudio() | ours.CommitAudio() | ours.ClearAudio():
                await self._send_audio(command)
            case ours.CreateResponse():
                require_supported(command, self._outside)
                await self._request_reply(PendingReply(command))
            case ours.CancelResponse():
                await self._cancel_reply(command)
            case ours.UpdateSettings():
                await self._change_settings(command)
            case ours.TruncateItem():
                await self._truncate(command)
            case ours.AddToolOutput():
                await self._answer_tool(command)
            case ours.SendRaw():
                await self._send_raw(command)
            case _:
                await self._send_or_keep(command)

    def _require_life(self) -> None:
        if self._is_over or self._manager is None:
            raise ModelDisconnectedError("the session is over", code="closed", is_retryable=False)

    @property
    def last_event_s(self) -> float | None:
        """Monotonic time of the provider's last event; None while there is no session."""
        return None if self._session is None else self._session.last_event_s

    @property
    def is_reply_due(self) -> bool:
        """True while a reply is being made, or was asked for and has not begun."""
        if self._state.pending:
            return True
        session = self._session
        return session is not None and not session.replies.is_idle(now_s=self._clock())

    async def change_over(self, source: ModelSource, settings: ModelSettings) -> None:
        """Go on with another provider, model or voice: its session is opened while the present one has
        the floor, and takes over with the conversation at the next pause.

        Raises:
            ModelConnectError: the present session goes on.
            ModelDisconnectedError: no session will come any more.
        """
        self._require_life()
        assert self._manager is not None
        await self._manager.change_over(source, settings)

    @property
    def instructions(self) -> str:
        """The present instructions."""
        return self._state.settings.instructions or ""

    def renew(self, reason: str) -> None:
        """Replace the provider's session by another one, as if it had been lost."""
        if (session := self._session) is not None:
            session.end(Failure(reason))

    @property
    def _session(self) -> ProviderSession | None:
        return self._manager.session if self._manager is not None else None

    async def _handle_open(self) -> None:
        """A session got the floor: give it what waits, ask it for what is owed."""
        await self._flush()
        pending, self._state.pending = self._state.pending, []
        for reply in pending:
            try:
                await self._request_reply(reply)
            except UnsupportedCommandError as error:
                self._state.statistics.unreplayable += 1
                if reply.request.out_of_band is not None:
                    for event in refused_reply(reply.request, str(error)):
                        await self._emit(event)

    async def _deliver(self, command: ModelCommand) -> bool:
        session = self._session
        return session is not None and await session.deliver(command)

    async def _send_audio(
        self, command: ours.AppendAudio | ours.CommitAudio | ours.ClearAudio
    ) -> None:
        backlog = self._state.backlog
        if isinstance(command, ours.ClearAudio):
            backlog.clear()
        backlog.push(command)
        await self._flush()

    async def _flush(self) -> None:
        """Send what waits, in order; a call while this is under way returns at once."""
        if self._is_flushing:
            return
        backlog = self._state.backlog
        self._is_flushing = True
        try:
            while (session := self._session) is not None and (
                command := backlog.peek()
            ) is not None:
                if await session.deliver(command):
                    backlog.advance()
                    self._note_sent(session, command)
                elif session is self._session:
                    return
        finally:
            self._is_flushing = False

    def _note_sent(self, session: ProviderSession, command: ModelCommand) -> None:
        backlog = self._state.backlog
        if isinstance(command, ours.CommitAudio):
            session.turns.handle_commit(sent=backlog.sent_position)
        backlog.forget_sent(session.turns.oldest_needed)

    async def request_pending(self, reply: PendingReply) -> None:
        """Ask for a reply that an earlier process of this conversation did not finish.

        Raises:
            ModelDisconnectedError: no session will come any more.
        """
        self._require_life()
        await self._request_reply(reply)

    def _heard_of(self, reply: PendingReply) -> str:
        """Return the words of a reply that were heard, as the agent has cut them meanwhile."""
        if not reply.item_ids:
            return reply.heard
        entries = [self._state.transcript.find(item_id) for item_id in reply.item_ids]
        texts = [entry.text for entry in entries if isinstance(entry, TextEntry)]
        return " ".join(texts).strip()

    async def _request_reply(self, reply: PendingReply) -> None:
        session = self._session
        if session is None:
            self._state.pending.append(reply)
            return
        reply = replace(reply, heard=self._heard_of(reply))
        request = reply.request
        is_plain = request.is_plain and not reply.heard
        if is_plain and session.answers.takes_request(is_manual=self._state.is_manual):
            return
        # Known as requested first: if the session dies over it, the next one is asked.
        session.replies.request(request, now_s=self._clock())
        if reply.heard:
            note = _GO_ON.format(heard=reply.heard)
            if request.instructions is None and request.input_items is None:
                await session.offer(ours.AddText(note, "system"))
            else:
                request = request.with_note(note)
        await session.deliver(request)

    async def _send_raw(self, command: ours.SendRaw) -> None:
        session = self._session
        # It may name what only the lost session had: no other one gets it.
        if session is None or not await session.deliver(command):
            raise UnsupportedCommandError("the model is being reached again: send it after that")

    async def _cancel_reply(self, command: ours.CancelResponse) -> None:
        state = self._state
        state.pending = [each for each in state.pending if each.request.out_of_band is not None]
        if (session := self._session) is not None:
            if not session.replies.beside.has(command.response_id):
                session.replies.cancel()
            await session.deliver(command)

    async def _change_settings(self, command: ours.UpdateSettings) -> None:
        for name in command.changes:
            if name not in _SETTINGS:
                raise UnsupportedCommandError(f"{name}: there is no such setting")
        await self._deliver(command)
        self._state.settings = replace(self._state.settings, **command.changes)

    async def _send_or_keep(self, command: ModelCommand) -> None:
        """Record a command in the transcript and send it; without a session it is replayed to the next."""
        if isinstance(command, ours.AddImage) and not self._outside.has_image_input:
            raise UnsupportedCommandError("this model cannot see images")
        transcript = self._state.transcript
        number = transcript.count
        transcript.record(command)
        if self._session is not None:
            self._session.answers.handle_text()
        try:
            await self._deliver(command)
        except UnsupportedCommandError:
            transcript.take_back(number)
            raise

    async def _truncate(self, command: ours.TruncateItem) -> None:
        transcript = self._state.transcript
        transcript.record(command)
        session, said = self._session, transcript.find(command.item_id)
        if session is None:
            return
        replayed_id = session.replayed_id(command.item_id)
        is_last = isinstance(said, TextEntry) and said.number == transcript.count - 1
        if replayed_id is None or not is_last or not session.capabilities.has_truncation:
            await session.deliver(command)
            return
        # It was replayed as text, which cannot be cut: replayed again, it is in its old place.
        assert isinstance(said, TextEntry)
        limit = self._options.replay.max_characters
        await session.deliver(ours.DeleteItem(command.item_id))
        session.note_replayed(command.item_id, f"{replayed_id}_cut")
        for each in (
            replayed(said, item_id=f"{replayed_id}_cut", max_characters=limit) if said.text else ()
        ):
            await session.deliver(each)

    def _is_follow_up_due(self, command: ours.AddToolOutput) -> bool:
        """Return true for the last output of the open calls, unless all results are silent."""
        self._has_audible_result |= command.start_response
        if self._state.transcript.has_open_calls:
            return False
        is_due, self._has_audible_result = self._has_audible_result, False
        return is_due

    async def _answer_tool(self, command: ours.AddToolOutput) -> None:
        transcript = self._state.transcript
        transcript.record(command)
        is_follow_up_due = self._is_follow_up_due(command)
        does_agent_request = self._outside.needs_response_after_tool
        session = self._session
        if session is None:
            # It is replayed to the next session, which answers only on request.
            if not does_agent_request and is_follow_up_due:
                self._state.pending.append(PendingReply())
            return
        call = transcript.find_call(command.call_id)
        if call is not None and command.call_id not in session.replayed_calls:
            # Text to this session, which answers it only on request.
            session.answers.handle_text()
            assert self._manager is not None
            await self._manager.replay_entry(session, call)
            must_request = not does_agent_request
        else:
            session.answers.handle_tool_output()
            await session.deliver(command)
            must_request = session.answers.must_request_after_tools
        if not is_follow_up_due:
            return
        if must_request:
            await self._request_reply(PendingReply())
        elif not session.capabilities.needs_response_after_tool:
            session.replies.handle_tools_answered(now_s=self._clock())
