"""`ReplyStream`: a reply in the making, from the mind's events to clauses with their voice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from speech.engines.work_queue import Urgency
from speech.language_model.protocol import (
    ChatEvent,
    LanguageModelError,
    ReplyEnd,
    TextDelta,
    TokenUsage,
    ToolArgumentsDelta,
    ToolCallDone,
    ToolCallStarted,
)
from speech.lead_silence import LeadSilence
from speech.mind import Answer
from speech.spoken_text.clause_splitter import Clause, ClauseSplitter
from speech.spoken_text.reasoning import ReasoningFilter
from speech.usage import CHARACTERS_PER_TOKEN, text_tokens
from utils import OwnedTasks

Speak = Callable[[str, Urgency], AsyncGenerator[bytes, None]]
"""Speaks a clause: pieces of PCM16 at 24 kHz."""

STALL_S: Final = 0.3
"""Wait for more of a clause after which it may be cut at a word, lest the voice falls silent."""

_EARLY_WORDS: Final = 4
_ENOUGH_AHEAD_S: Final = 0.5
_MAX_CHARACTERS: Final = 64_000


@dataclass(frozen=True, slots=True)
class WrittenText:
    """The next text of a written reply."""

    text: str


class SpokenClause:
    """The next clause of a spoken reply; `shown` is its part of the transcript."""

    def __init__(self, clause: Clause) -> None:
        self.shown = clause.shown
        self.spoken = clause.spoken
        self._pieces: asyncio.Queue[bytes | _End] = asyncio.Queue()

    async def synthesise(self, speak: Speak, urgency: Urgency, lead: LeadSilence) -> None:
        """Make the audio; an engine's error is raised to whoever takes it."""
        end = _End()
        try:
            async with aclosing(speak(self.spoken, urgency)) as pieces:
                async for pcm in pieces:
                    if heard := lead.push(pcm):
                        self._pieces.put_nowait(heard)
            if rest := lead.flush():
                self._pieces.put_nowait(rest)
        except Exception as error:  # noqa: BLE001 - engines may raise anything
            end = _End(error)
        self._pieces.put_nowait(end)

    async def audio(self) -> AsyncGenerator[bytes, None]:
        """Yield the audio as it is made, once; raises what the engine raised."""
        if not self.spoken:
            return
        while not isinstance(piece := await self._pieces.get(), _End):
            yield piece
        if piece.error is not None:
            raise piece.error


Step = WrittenText | SpokenClause | ToolCallStarted | ToolArgumentsDelta | ToolCallDone


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None = None


class ReplyStream:
    """Reads on by itself; one clause is synthesised ahead of the one whose audio is being taken.

    end: the model's last event, once it came
    is_speculative: it may turn out not to be wanted, so the voice does other work first
    ahead_s: seconds of audio that are sent but not played yet, for whoever takes the steps to set
    """

    def __init__(
        self,
        answer: Answer,
        speak: Speak | None,
        tasks: OwnedTasks,
        *,
        language: str = "en",
        is_speculative: bool = False,
    ) -> None:
        """speak: None for a written reply; tasks: owns what runs here."""
        self.is_speculative = is_speculative
        self.end: ReplyEnd | None = None
        self.ahead_s: Callable[[], float] = lambda: 0.0
        self._asked = answer.asked
        self._written_characters = 0
        self._language = language
        self._events: asyncio.Queue[ChatEvent | _End] = asyncio.Queue()
        self._steps: asyncio.Queue[Step | _End] = asyncio.Queue()
        self._to_speak: asyncio.Queue[SpokenClause] = asyncio.Queue()
        self._may_synthesise = asyncio.Semaphore(1)
        self._unsent_clauses = 0
        self._has_calls = False
        self._has_step = asyncio.Event()
        cut = self._write() if speak is None else self._cut()
        self._tasks = [
            tasks.start(self._read(answer.events), name="reply: read"),
            tasks.start(self._bounded(cut), name="reply: cut"),
        ]
        if speak is not None:
            self._tasks.append(tasks.start(self._synthesise(speak), name="reply: synthesise"))

    @property
    def is_by_model(self) -> bool:
        """True if a language model answers and not the rules."""
        return self._asked is not None

    @property
    def usage(self) -> TokenUsage | None:
        """The model's tokens, estimated until its last event came; None for rules."""
        if self._asked is None or self.end is not None:
            return None if self.end is None else self.end.usage
        asked = "".join(str(message.get("content") or "") for message in self._asked.messages)
        written = -(-self._written_characters // CHARACTERS_PER_TOKEN)
        return TokenUsage(text_tokens(asked), written, is_estimated=True)

    def cancel(self) -> None:
        """Give the reply up: the model's request is closed, nothing more is synthesised."""
        for task in self._tasks:
            task.cancel()

    async def is_ready_within(self, timeout_s: float | None) -> bool:
        """Wait for the first step; False if it did not come in time. None: no limit."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._has_step.wait()
        except TimeoutError:
            return False
        return True

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Yield the reply in order, once. A clause's audio is to be taken before the next step.

        Raises:
            LanguageModelError: no answer, or one that broke off.
        """
        while not isinstance(step := await self._steps.get(), _End):
            if isinstance(step, SpokenClause) and step.spoken:
                self._may_synthesise.release()
            yield step
            if isinstance(step, SpokenClause):
                self._unsent_clauses -= 1
        if step.error is not None:
            raise step.error

    # -- from events to steps ------------------------------------------------------------------

    async def _read(self, events: AsyncGenerator[ChatEvent, None]) -> None:
        end = _End()
        try:
            async with aclosing(events):
                async for event in events:
                    self._count(event)
                    self._events.put_nowait(event)
        except Exception as error:  # noqa: BLE001 - models may raise anything
            end = _End(error)
        self._events.put_nowait(end)

    def _count(self, event: ChatEvent) -> None:
        match event:
            case TextDelta():
                self._written_characters += len(event.text)
            case ToolArgumentsDelta():
                self._written_characters += len(event.delta)
        if self._written_characters > _MAX_CHARACTERS:
            raise LanguageModelError("invalid", "the reply does not end")

    async def _bounded(self, cut: AsyncGenerator[Step, None]) -> None:
        end = _End()
        try:
            async with aclosing(cut):
                async for step in cut:
                    self._put(step)
        except Exception as error:  # noqa: BLE001 - for whoever takes the steps
            end = _End(error)
        self._put(end)

    def _put(self, step: Step | _End) -> None:
        self._steps.put_nowait(step)
        self._has_step.set()

    async def _write(self) -> AsyncGenerator[Step, None]:
        """A written reply: the text as it comes, without the model's reasoning."""
        visible, has_written = ReasoningFilter(), False
        while not isinstance(event := await self._events.get(), _End):
            if not isinstance(event, TextDelta):
                if (step := self._passed_on(event)) is not None:
                    yield step
                continue
            text = visible.push(event.text)
            text = text if has_written else text.lstrip()
            if text:
                has_written = True
                yield WrittenText(text)
        if event.error is not None:
            raise event.error
        if rest := visible.flush():
            has_written = True
            yield WrittenText(rest)
        self._check_answered(has_written)

    async def _cut(self) -> AsyncGenerator[Step, None]:
        """A spoken reply: clauses."""
        splitter = ClauseSplitter(language=self._language)
        while not isinstance(event := await self._next_event(), _End):
            for clause in self._clauses(splitter, event):
                yield self._spoken(clause)
            if event is not None and (step := self._passed_on(event)) is not None:
                yield step
        for clause in splitter.flush() if event.error is None else splitter.early(1):
            yield self._spoken(clause)
        if event.error is not None:
            raise event.error
        self._check_answered(splitter.has_spoken)

    def _clauses(self, splitter: ClauseSplitter, event: ChatEvent | None) -> list[Clause]:
        """The clauses that are complete with this event."""
        match event:
            case None:
                return splitter.early(_EARLY_WORDS) if self._is_voice_short() else []
            case TextDelta():
                return splitter.push(event.text)
            case _:
                return splitter.flush()

    async def _next_event(self) -> ChatEvent | _End | None:
        """The next event; None when none came for a while."""
        try:
            async with asyncio.timeout(STALL_S):
                return await self._events.get()
        except TimeoutError:
            return None

    def _is_voice_short(self) -> bool:
        """True if the listener will soon hear nothing."""
        return self._unsent_clauses == 0 and self.ahead_s() < _ENOUGH_AHEAD_S

    def _passed_on(self, event: ChatEvent) -> Step | None:
        match event:
            case ReplyEnd():
                self.end = event
                return None
            case TextDelta():
                return None
            case _:
                self._has_calls = True
                return event

    def _check_answered(self, has_text: bool) -> None:
        if self.is_by_model and not has_text and not self._has_calls:
            raise LanguageModelError("empty", "the model answered nothing")

    # -- the voice -----------------------------------------------------------------------------

    def _spoken(self, clause: Clause) -> SpokenClause:
        spoken = SpokenClause(clause)
        self._unsent_clauses += 1
        if spoken.spoken:
            self._to_speak.put_nowait(spoken)
        return spoken

    async def _synthesise(self, speak: Speak) -> None:
        lead = LeadSilence()
        while True:
            clause = await self._to_speak.get()
            await self._may_synthesise.acquire()
            await clause.synthesise(speak, self._urgency(), lead)

    def _urgency(self) -> Urgency:
        if self.is_speculative:
            return Urgency.SPECULATIVE
        return Urgency.FIRST if self.ahead_s() < _ENOUGH_AHEAD_S else Urgency.LATER
