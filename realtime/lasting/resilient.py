"""`ResilientModel`: one session for the agent, however many the providers need for it.

Whatever happens to a provider's session, the conversation goes on in another one, which is told
what was said, shown, called and heard. The agent sees `ConnectionChanged` and, where a reply was
cut, its `ResponseDone` with status failed; `SessionEnded` comes only when nothing helps any more.

What an agent sends while no session is open is never refused: user audio waits (bounded, see
`audio_backlog`), texts, pictures and tool outputs go into the transcript that the next session is
told, requests for replies and changed settings are kept.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, replace

from realtime import events as ours
from realtime.events import ModelCommand, ModelEvent
from realtime.lasting.memory import Memory
from realtime.lasting.model_session import ModelSession, ModelSource
from realtime.lasting.replay import retold
from realtime.lasting.reply_watch import OwedReply
from realtime.lasting.resilience import ResilienceOptions, ResilienceStatistics
from realtime.lasting.retry import Trouble
from realtime.lasting.session_keeper import SessionKeeper
from realtime.lasting.transcript import HeardText, Said, Transcript
from realtime.model import (
    Capabilities,
    ModelConnectError,
    ModelDisconnectedError,
    ModelSettings,
    RealtimeModel,
    RealtimeModelConfig,
    UnsupportedCommandError,
)

__all__ = ["ModelSource", "ResilienceOptions", "ResilientModel"]

MAX_EVENTS = 1_024
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
        heard_text: HeardText,
        fallback: ModelSource | None = None,
        options: ResilienceOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = lambda: time.time_ns() / 1e9,
    ) -> None:
        """
        create: makes models of the preferred provider, not yet connected
        heard_text: how to cut a reply's words to what was heard
        fallback: asked while the preferred provider is down
        clock, wall_clock: monotonic and Unix seconds
        """
        self._create = create
        self._fallback = fallback
        self._options = options or ResilienceOptions()
        self._clock = clock
        self._wall_clock = wall_clock
        self._first = create()
        # The rates stay what they were, whoever takes over.
        self._outside = replace(self._first.capabilities, has_truncation=True)
        self._memory = Memory(self._outside, heard_text, self._options.replay)
        self._keeper: SessionKeeper | None = None
        self._events: asyncio.Queue[ModelEvent | None] = asyncio.Queue(MAX_EVENTS)
        self._is_flushing = False
        self._is_over = False

    @property
    def capabilities(self) -> Capabilities:
        """What the preferred provider's model can do."""
        return self._outside

    @property
    def transcript(self) -> Transcript:
        """The conversation so far, as a new session would be told it."""
        return self._memory.transcript

    @property
    def statistics(self) -> ResilienceStatistics:
        """What it took so far."""
        return replace(
            self._memory.statistics, dropped_samples=self._memory.backlog.dropped_samples
        )

    # -- a life --------------------------------------------------------------------------------

    async def connect(self, config: RealtimeModelConfig) -> None:
        """Open the first session; a failure here is told, not tried again.

        Raises:
            ModelConnectError: see `RealtimeModel.connect`.
        """
        sources = [ModelSource("preferred", self._create, config)]
        if self._fallback is not None:
            sources.append(self._fallback)
        self._memory.settings = config.settings
        self._keeper = SessionKeeper(
            sources,
            self._outside,
            self._memory,
            self._options,
            tell=self._tell,
            on_open=self._handle_open,
            clock=self._clock,
            wall_clock=self._wall_clock,
            rng=random.Random(),
        )
        if self._is_over:
            raise ModelConnectError("closed while connecting", code="closed", is_retryable=False)
        await self._keeper.start(self._first)

    async def events(self) -> AsyncIterator[ModelEvent]:
        """Everything the providers say; see `RealtimeModel.events`."""
        while (event := await self._events.get()) is not None:
            yield event
            if isinstance(event, ours.SessionEnded):
                return

    async def _tell(self, event: ModelEvent) -> None:
        if isinstance(event, ours.SessionEnded):
            self._is_over = True
        await self._events.put(event)

    async def close(self) -> None:
        """Close whatever is open; safe at any time and again."""
        self._is_over = True
        await self._first.close()
        if self._keeper is not None:
            await self._keeper.close()
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
                await self._request_reply(OwedReply(command.instructions))
            case ours.CancelResponse():
                await self._cancel_reply(command)
            case ours.UpdateSettings():
                await self._change_settings(command)
            case ours.TruncateItem():
                await self._truncate(command)
            case ours.AddToolOutput():
                await self._answer_tool(command)
            case _:
                await self._tell_model(command)

    def _require_life(self) -> None:
        if self._is_over or self._keeper is None:
            raise ModelDisconnectedError("the session is over", code="closed", is_retryable=False)

    @property
    def last_event_s(self) -> float | None:
        """When the provider last said anything (monotonic); None while there is no session."""
        return None if self._session is None else self._session.last_event_s

    def renew(self, reason: str) -> None:
        """Replace the provider's session by another one, as if it had been lost."""
        if (session := self._session) is not None:
            session.end(Trouble(reason))

    @property
    def _session(self) -> ModelSession | None:
        return self._keeper.session if self._keeper is not None else None

    async def _handle_open(self) -> None:
        """A session got the floor: give it what waits, ask it for what is owed."""
        await self._flush()
        owed, self._memory.owed = self._memory.owed, []
        for reply in owed:
            try:
                await self._request_reply(reply)
            except UnsupportedCommandError:
                self._memory.statistics.untellable += 1

    async def _deliver(self, command: ModelCommand) -> bool:
        session = self._session
        return session is not None and await session.deliver(command)

    async def _send_audio(
        self, command: ours.AppendAudio | ours.CommitAudio | ours.ClearAudio
    ) -> None:
        backlog = self._memory.backlog
        if isinstance(command, ours.ClearAudio):
            backlog.clear()
        backlog.push(command)
        await self._flush()

    async def _flush(self) -> None:
        """Send what waits, in order; whoever comes while this is under way need not wait."""
        if self._is_flushing:
            return
        backlog = self._memory.backlog
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

    def _note_sent(self, session: ModelSession, command: ModelCommand) -> None:
        backlog = self._memory.backlog
        if isinstance(command, ours.CommitAudio):
            session.turns.handle_commit(sent=backlog.sent_position)
        backlog.forget_sent(session.turns.oldest_needed)

    async def request_owed(self, reply: OwedReply) -> None:
        """Ask for a reply that an earlier process of this conversation did not finish.

        Raises:
            ModelDisconnectedError: no session will come any more.
        """
        self._require_life()
        await self._request_reply(reply)

    async def _request_reply(self, reply: OwedReply) -> None:
        session = self._session
        if session is None:
            self._memory.owed.append(reply)
            return
        is_plain = reply.instructions is None and not reply.heard
        if is_plain and session.answers.takes_request(is_manual=self._memory.is_manual):
            return
        # Known as requested first: if the session dies over it, the next one is asked.
        session.replies.request(reply.instructions, now_s=self._clock())
        if not reply.heard:
            await session.deliver(ours.CreateResponse(reply.instructions))
            return
        note = _GO_ON.format(heard=reply.heard)
        if reply.instructions is None:
            await session.offer(ours.AddText(note, "system"))
            await session.deliver(ours.CreateResponse())
        else:
            await session.deliver(ours.CreateResponse(f"{reply.instructions}\n{note}"))

    async def _cancel_reply(self, command: ours.CancelResponse) -> None:
        self._memory.owed.clear()
        if (session := self._session) is not None:
            session.replies.cancel()
            await session.deliver(command)

    async def _change_settings(self, command: ours.UpdateSettings) -> None:
        for name in command.changes:
            if name not in _SETTINGS:
                raise UnsupportedCommandError(f"{name}: there is no such setting")
        await self._deliver(command)
        self._memory.settings = replace(self._memory.settings, **command.changes)

    async def _tell_model(self, command: ModelCommand) -> None:
        """Something for the transcript: if no session takes it now, the next one is told."""
        if isinstance(command, ours.AddImage) and not self._outside.has_image_input:
            raise UnsupportedCommandError("this model cannot see images")
        transcript = self._memory.transcript
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
        transcript = self._memory.transcript
        transcript.record(command)
        session, said = self._session, transcript.find(command.item_id)
        if session is None:
            return
        told_id = session.told_as(command.item_id)
        is_last = isinstance(said, Said) and said.number == transcript.count - 1
        if told_id is None or not is_last or not session.capabilities.has_truncation:
            await session.deliver(command)
            return
        # It was told as text, which cannot be cut: told anew, it is in its old place.
        assert isinstance(said, Said)
        limit = self._options.replay.max_characters
        await session.deliver(ours.DeleteItem(command.item_id))
        session.note_told(command.item_id, f"{told_id}_cut")
        for each in (
            retold(said, item_id=f"{told_id}_cut", max_characters=limit) if said.text else ()
        ):
            await session.deliver(each)

    async def _answer_tool(self, command: ours.AddToolOutput) -> None:
        transcript = self._memory.transcript
        transcript.record(command)
        does_agent_ask = self._outside.needs_response_after_tool
        session = self._session
        if session is None:
            # The next session is told, and answers only what it is asked.
            if not does_agent_ask and not transcript.has_open_calls:
                self._memory.owed.append(OwedReply())
            return
        session.answers.handle_tool_output()
        call = transcript.find_call(command.call_id)
        if call is not None and command.call_id not in session.told_calls:
            assert self._keeper is not None
            await self._keeper.tell_entry(session, call)
            must_ask = not does_agent_ask
        else:
            await session.deliver(command)
            must_ask = session.answers.must_ask_after_tools
        if transcript.has_open_calls:
            return
        if must_ask:
            await self._request_reply(OwedReply())
        elif not session.capabilities.needs_response_after_tool:
            session.replies.handle_tools_answered(now_s=self._clock())
