"""`ReplyDelivery`: one reply on its way to the client, at the pace of its playback."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from speech.engines.work_queue import Urgency
from speech.errors import EngineError
from speech.language_model.protocol import (
    LanguageModelError,
    ReplyEnd,
    ToolArgumentsDelta,
    ToolCallDone,
    ToolCallStarted,
)
from speech.lead_silence import LeadSilence
from speech.notices import Notice, notice_text
from speech.reply_counters import ReplyCounters
from speech.reply_stream import ReplyStream, Speak, SpokenClause, Step, WrittenText
from speech.response import ResponseWriter
from speech.spoken_text.clause_splitter import clauses

_log = logging.getLogger(__name__)

_FIRST_DELTA_BYTES = 40 * 48
_DELTA_BYTES = 200 * 48


class SpeechPacer:
    """Limit of how far synthesis may run ahead of playback."""

    def __init__(self, lead_s: float) -> None:
        self._lead_s = lead_s
        self._first_s: float | None = None
        self._sent_s = 0.0

    def count(self, audio_s: float) -> None:
        """Add audio that was sent."""
        if self._first_s is None:
            self._first_s = time.monotonic()
        self._sent_s += audio_s

    def ahead_s(self) -> float:
        """Seconds of audio that were sent and cannot have been played yet; negative after a gap."""
        if self._first_s is None:
            return 0.0
        return self._sent_s - (time.monotonic() - self._first_s)

    async def wait(self) -> None:
        """Wait until more may be sent."""
        await asyncio.sleep(max(0.0, self.ahead_s() - self._lead_s))


class ReplyDelivery:
    """Sends what the stream gives, and honest sentences where it gives nothing."""

    def __init__(
        self,
        writer: ResponseWriter,
        speak: Speak,
        *,
        pacer: SpeechPacer,
        wait_for_room: Callable[[], Awaitable[None]],
        counters: ReplyCounters,
        language: str,
        model_name: str | None = None,
    ) -> None:
        """wait_for_room: in the client's queue; language: of the honest sentences; model_name: the
        language model that is to answer: another one is named in the response's metadata.
        """
        self._writer = writer
        self._speak = speak
        self._pacer = pacer
        self._wait_for_room = wait_for_room
        self._counters = counters
        self._language = language
        self._model_name = model_name
        self._has_said = False
        self._has_called = False
        self._has_voice_failed = False

    async def send(self, stream: ReplyStream, filler_after_s: float | None) -> None:
        """Send the reply to its end and say `response.done`.

        filler_after_s: the listener hears after this wait that an answer is coming; None: never
        """
        stream.ahead_s = self._pacer.ahead_s
        try:
            if not await stream.is_ready_within(filler_after_s):
                self._counters.fillers += 1
                await self._say_notice("filler")
            async with aclosing(stream.steps()) as steps:
                async for step in steps:
                    if not self._writer.has_room:
                        break
                    await self._send_step(step)
        except LanguageModelError as error:
            self._writer.count(stream.usage)
            await self._finish_failed(error)
        else:
            self._finish(stream)

    async def _send_step(self, step: Step) -> None:
        match step:
            case WrittenText():
                self._add_text(step.text)
                self._has_said = True
            case SpokenClause():
                await self._send_clause(step)
                self._has_said = True
            case ToolCallStarted():
                self._writer.begin_call(step.call_id, step.name)
            case ToolArgumentsDelta():
                self._writer.add_arguments(step.delta)
            case ToolCallDone():
                self._has_called = True
                self._writer.end_call(step.arguments)

    def _add_text(self, text: str) -> None:
        if not self._writer.has_message:
            self._writer.begin_message()
            text = text.lstrip()
        self._writer.add_text(text)

    async def _send_clause(self, clause: SpokenClause) -> None:
        await self._pacer.wait()
        await self._wait_for_room()
        has_begun = False
        try:
            async with aclosing(clause.audio()) as pieces:
                async for pcm in pieces:
                    if not has_begun:
                        self._add_text(clause.shown)
                        has_begun = True
                    self._send_audio(pcm)
        except EngineError as error:
            # The words can still be read.
            _log.warning("response %s: %s", self._writer.id, error)
            self._has_voice_failed = True
        if not has_begun:
            self._add_text(clause.shown)
        if clause.spoken:
            self._writer.end_clause()

    def _send_audio(self, pcm: bytes) -> None:
        start = 0
        while start < len(pcm):
            is_first = self._writer.audio_ms == 0
            end = start + (_FIRST_DELTA_BYTES if is_first else _DELTA_BYTES)
            self._writer.add_audio(pcm[start:end])
            start = end
        self._pacer.count(len(pcm) / 48_000)

    # -- the end -------------------------------------------------------------------------------

    def _finish(self, stream: ReplyStream) -> None:
        self._writer.count(stream.usage)
        if stream.end is not None and stream.end.model != self._model_name:
            self._writer.note(language_model=stream.end.model)
        if self._has_voice_failed:
            self._writer.finish("failed", error="The voice failed: the reply is text only.")
            return
        reason = "max_output_tokens" if not self._writer.has_room else _cut_reason(stream.end)
        if reason is None:
            self._writer.finish()
        else:
            self._writer.finish("incomplete", reason=reason)

    async def _finish_failed(self, error: LanguageModelError) -> None:
        """Say so: a caller who hears nothing cannot know whom to blame."""
        _log.warning("response %s: language model: %s: %s", self._writer.id, error.kind, error)
        self._counters.failures[error.kind] += 1
        code = f"language_model_{error.kind}"
        if self._has_called:
            self._writer.finish("incomplete", failure=code)
        elif self._has_said:
            await self._say_notice("lost")
            self._writer.finish("incomplete", failure=code)
        else:
            await self._say_notice(error.kind)
            self._writer.finish("completed", failure=code)

    async def _say_notice(self, notice: Notice) -> None:
        self._writer.end_call(None)
        self._writer.end_message("incomplete" if notice == "lost" else "completed")
        self._writer.begin_message(is_notice=True)
        text = notice_text(notice, self._language)
        if self._writer.settings.modality == "text":
            self._writer.add_text(text)
        else:
            lead = LeadSilence()
            for clause in clauses(text, language=self._language):
                spoken = SpokenClause(clause)
                await spoken.synthesise(self._speak, Urgency.FIRST, lead)
                await self._send_clause(spoken)
        self._writer.end_message()


def _cut_reason(end: ReplyEnd | None) -> str | None:
    match end:
        case ReplyEnd(reason="length"):
            return "max_output_tokens"
        case ReplyEnd(reason="content_filter"):
            return "content_filter"
        case _:
            return None
