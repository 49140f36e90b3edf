"""The user's turn and the model's reply, with the ids that Gemini does not give. Pure.

Each method says what happened and returns what that means to an agent. An id is given once and
never again, so what comes late for a reply that is over can never sound like the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from realtime import events as ours
from realtime.events import ModelEvent, ResponseStatus, Usage
from realtime.streams import TextStream

MakeId = Callable[[str], str]


@dataclass(slots=True)
class UserTurn:
    """The user's turn; `is_announced` once its start was emitted."""

    item_id: str
    is_announced: bool
    is_over: bool = False
    words: list[str] = field(default_factory=list)
    stream: TextStream = field(default_factory=TextStream)

    def hear(self, text: str) -> list[ModelEvent]:
        """More words, which may come long after they were said."""
        text = self.stream.push(text)
        if not text:
            return []
        self.words.append(text)
        return [ours.InputTranscriptDelta(self.item_id, text)]

    def stop(self, *, at_ms: int) -> list[ModelEvent]:
        """The user ended, or is answered already."""
        if self.is_over:
            return []
        self.is_over = True
        stopped: list[ModelEvent] = (
            [ours.SpeechStopped(self.item_id, at_ms)] if self.is_announced else []
        )
        return [*stopped, ours.InputCommitted(self.item_id)]

    def settle(self, *, at_ms: int) -> list[ModelEvent]:
        """No more words will come."""
        text = "".join(self.words).strip()
        done: ModelEvent = (
            ours.InputTranscriptDone(self.item_id, text)
            if text
            else ours.InputTranscriptFailed(self.item_id, "no words were understood")
        )
        return [*self.stop(at_ms=at_ms), done]


@dataclass(slots=True)
class _Speech:
    item_id: str
    words: list[str] = field(default_factory=list)
    stream: TextStream = field(default_factory=TextStream)
    has_audio: bool = False
    is_audio_done: bool = False


class Reply:
    """One turn of the model: speech before and after calls, written words, calls."""

    def __init__(self, make_id: MakeId, *, answers: UserTurn | None) -> None:
        """answers: what the user said before it, if anything"""
        self._make_id = make_id
        self.response_id = make_id("resp")
        self.answers = answers
        # When the provider cut it (monotonic seconds); it may still send the rest of a frame.
        self.interrupted_at_s: float | None = None
        self.is_cancelled = False
        self.usage = Usage()
        self._reason: str | None = None
        self._speech: _Speech | None = None
        self._text_id: str | None = None
        self._text: list[str] = []
        self._text_stream = TextStream()
        self._is_generated = False

    @property
    def is_in_the_making(self) -> bool:
        """True if the rest of the reply is still wanted."""
        return not self.is_cancelled and self.interrupted_at_s is None

    def interrupt(self, *, now_s: float, reason: str) -> None:
        """The provider stopped making it."""
        self.interrupted_at_s = now_s
        self._reason = self._reason or reason

    def cancel(self) -> None:
        """We want no more of it; what still comes is left out."""
        self.is_cancelled = True
        self._reason = self._reason or "client_cancelled"

    def hear_audio(self, pcm: bytes, sample_rate_hz: int) -> list[ModelEvent]:
        """More of its voice."""
        if self.is_cancelled or not pcm:
            return []
        events: list[ModelEvent] = []
        if self._speech is not None and self._speech.is_audio_done:
            events += self._settle_speech()
        speech, opened = self._open_speech()
        speech.has_audio = True
        delta = ours.AudioDelta(self.response_id, speech.item_id, 0, pcm, sample_rate_hz)
        return [*events, *opened, delta]

    def hear_words(self, text: str) -> list[ModelEvent]:
        """More of the words that its voice says, before or after it says them."""
        if self.is_cancelled or not text:
            return []
        speech, opened = self._open_speech()
        text = speech.stream.push(text)
        if not text:
            return opened
        speech.words.append(text)
        return [*opened, ours.TranscriptDelta(self.response_id, speech.item_id, 0, text)]

    def _open_speech(self) -> tuple[_Speech, list[ModelEvent]]:
        if self._speech is not None:
            return self._speech, []
        self._speech = _Speech(self._make_id("item"))
        return self._speech, [self._added(self._speech.item_id)]

    def _added(self, item_id: str) -> ours.ItemAdded:
        return ours.ItemAdded(item_id, "message", "assistant", self.response_id)

    def read(self, text: str) -> list[ModelEvent]:
        """More written words."""
        if self.is_cancelled or not text:
            return []
        events: list[ModelEvent] = []
        if self._text_id is None:
            self._text_id = self._make_id("item")
            events.append(self._added(self._text_id))
        text = self._text_stream.push(text)
        if not text:
            return events
        self._text.append(text)
        return [*events, ours.TextDelta(self.response_id, self._text_id, 0, text)]

    def call(self, call_id: str, name: str, arguments: str) -> list[ModelEvent]:
        """It wants a tool run; its voice pauses."""
        item_id = self._make_id("item")
        return [
            *self._end_audio(),
            ours.ItemAdded(item_id, "function_call", None, self.response_id),
            ours.ToolCallRequested(self.response_id, item_id, call_id, name, arguments),
        ]

    def end_generation(self) -> list[ModelEvent]:
        """Nothing more will be made, though words may still come."""
        if self._is_generated:
            return []
        self._is_generated = True
        return [*self._end_audio(), ours.GenerationDone(self.response_id)]

    def _end_audio(self) -> list[ModelEvent]:
        speech = self._speech
        if speech is None or speech.is_audio_done or not speech.has_audio:
            return []
        speech.is_audio_done = True
        return [ours.AudioDone(self.response_id, speech.item_id, 0)]

    def _settle_speech(self) -> list[ModelEvent]:
        events, speech, self._speech = self._end_audio(), self._speech, None
        if speech is None or not speech.words:
            return events
        words = "".join(speech.words).strip()
        return [*events, ours.TranscriptDone(self.response_id, speech.item_id, 0, words)]

    def end(self, *, failure: str | None = None) -> list[ModelEvent]:
        """Its turn is over.

        failure: why nothing became of it, if so
        """
        events = [*self.end_generation(), *self._settle_speech()]
        if self._text_id is not None:
            text = "".join(self._text)
            events.append(ours.TextDone(self.response_id, self._text_id, 0, text))
        status = ResponseStatus.COMPLETED
        if self._reason is not None:
            status = ResponseStatus.CANCELLED
        elif failure is not None:
            status = ResponseStatus.FAILED
        done = ours.ResponseDone(self.response_id, status, self._reason or failure, self.usage)
        return [*events, done]
