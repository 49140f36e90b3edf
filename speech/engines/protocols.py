"""`Recogniser` and `Voice`: what an engine implements, to be used by the local model.

An engine of your own is named in the settings as `package.module:function`; the function is called
once per process, without arguments, and returns an object of one of these shapes. Engines that block
are run in threads; those with `async` methods run on the server's loop and must not block it.

```python
class MyVoice:
    sample_rate_hz = 24_000

    async def synthesise(self, text: str, *, speed: float = 1.0) -> AsyncIterator[bytes]:
        async with self._client.stream(text, speed) as pieces:
            async for pcm in pieces:
                yield pcm
```
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Transcript:
    """The recognised text; empty without speech.

    no_speech_prob: of the model, 0 where it gives none
    tokens: output tokens of the model, 0 where it counts none
    language: ISO 639-1 code of what was spoken, where the model says it
    """

    text: str
    no_speech_prob: float = 0.0
    tokens: int = 0
    language: str | None = None


class Recogniser(Protocol):
    """Speech to text. Shared by all sessions, which call it at the same time."""

    async def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Transcript:
        """Recognise one utterance: PCM16 mono at 16 kHz.

        language: ISO 639-1 code of what is spoken; None: detect it, or use the engine's own

        May be cancelled at any time. Any exception is reported to the client as a failed
        transcription; the session goes on.
        """
        ...


class Voice(Protocol):
    """Text to speech. Shared by all sessions, which call it at the same time."""

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of what `synthesise` yields."""
        ...

    def synthesise(self, text: str, *, speed: float = 1.0) -> AsyncIterator[bytes]:
        """Yield `text` (a clause or sentence) as PCM16 mono, in pieces of whole samples.

        Nothing is yielded for a text without anything to pronounce. Closing the iterator cancels
        the synthesis. Any exception ends the clause; what was yielded has been heard by then.
        """
        ...


class BlockingRecogniser(Protocol):
    """A recogniser whose call blocks; it is called from several threads at the same time."""

    def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Transcript:
        """As `Recogniser.transcribe`."""
        ...


class BlockingVoice(Protocol):
    """A voice whose call blocks; it is called from several threads at the same time."""

    @property
    def sample_rate_hz(self) -> int:
        """As `Voice.sample_rate_hz`."""
        ...

    def synthesise(self, text: str, *, speed: float = 1.0) -> bytes | Iterable[bytes]:
        """As `Voice.synthesise`; all at once, or in pieces."""
        ...


AnyRecogniser = Recogniser | BlockingRecogniser
AnyVoice = Voice | BlockingVoice


@dataclass(frozen=True, slots=True)
class RecogniserEngine:
    """A loaded recogniser and what it can.

    model: its name, as sessions show it
    languages: ISO 639-1 codes; None: any that a client names
    slots: utterances at a time; None: as many as there are worker threads
    """

    recogniser: AnyRecogniser
    model: str
    languages: frozenset[str] | None = None
    slots: int | None = None


@dataclass(frozen=True, slots=True)
class VoiceEngine:
    """The loaded voices of an engine, and what they can.

    names: the first is the default
    get: returns the voice of a name; cheap
    takes_any_name: other names may be asked for, as of a server with voices of its own
    languages: ISO 639-1 codes; None: any
    slots: clauses at a time; None: as many as there are worker threads
    """

    names: tuple[str, ...]
    get: Callable[[str], AnyVoice]
    takes_any_name: bool = False
    languages: frozenset[str] | None = None
    slots: int | None = None

    @classmethod
    def of(
        cls, voice: AnyVoice, name: str, *, languages: frozenset[str] | None = None
    ) -> VoiceEngine:
        """Return the engine of one voice."""
        return cls((name,), lambda _name: voice, languages=languages)
