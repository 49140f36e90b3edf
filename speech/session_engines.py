"""`SessionEngines`: the recogniser and the voice of one session."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from speech.abilities import Abilities
from speech.engines.protocols import Transcript
from speech.engines.shared import SharedRecogniser, SharedVoices
from speech.engines.vad import SpeechDetector
from speech.engines.work_queue import Urgency
from speech.errors import EngineError, SpeechError
from speech.spoken_text.spoken_form import pause_ms, spoken_form
from speech.turns.end_of_turn import EndOfTurn

_log = logging.getLogger(__name__)

_BYTES_PER_MS = 48

LoadMultilingual = Callable[[], Awaitable[SharedRecogniser]]
LoadVoices = Callable[[], Awaitable[SharedVoices]]


class SessionEngines:
    """Engines as one session has them. Others share the models, and their turns are fair."""

    def __init__(
        self,
        recogniser: SharedRecogniser,
        voices: SharedVoices,
        abilities: Abilities,
        *,
        new_detector: Callable[[], SpeechDetector],
        end_of_turn: EndOfTurn | None = None,
        voice: str | None = None,
        load_multilingual: LoadMultilingual | None = None,
        load_fallback_voices: LoadVoices | None = None,
        on_close: Callable[[SessionEngines], None] = lambda _engines: None,
    ) -> None:
        """
        voice: a name of the voices; None: their default
        load_multilingual: gives the recogniser of languages that `recogniser` does not hear
        load_fallback_voices: gives the voices that speak English when `voices` fail
        """
        self.abilities = abilities
        self.new_detector = new_detector
        self.voice = voice or voices.engine.names[0]
        self.language = abilities.language
        self._recogniser = recogniser
        self._voices = voices
        self._multilingual: SharedRecogniser | None = None
        self._load_multilingual = load_multilingual
        self._fallback: SharedVoices | None = None
        self._load_fallback_voices = load_fallback_voices
        self._end_of_turn = end_of_turn
        self._on_close = on_close

    async def transcribe(self, pcm16k: bytes, *, urgency: Urgency = Urgency.FIRST) -> Transcript:
        """Recognise PCM16 mono at 16 kHz.

        Raises:
            SpeechError, EngineError: it cannot be recognised; engines may raise anything else too.
        """
        recogniser = await self._choose_recogniser()
        return await recogniser.transcribe(
            pcm16k, owner=self, urgency=urgency, language=self.language
        )

    @property
    def is_recogniser_missing(self) -> bool:
        """True if the recogniser of the present language is not loaded yet."""
        return self._needs_multilingual and self._multilingual is None

    @property
    def _needs_multilingual(self) -> bool:
        hears = self._recogniser.engine.languages
        return self.language is not None and hears is not None and self.language not in hears

    async def load_recogniser(self) -> None:
        """Load it ahead of the first turn, which would wait for it; a failure shows at that turn."""
        try:
            await self._choose_recogniser()
        except (SpeechError, EngineError) as error:
            _log.warning("the recogniser of %s cannot be loaded: %s", self.language, error)

    async def _choose_recogniser(self) -> SharedRecogniser:
        if not self._needs_multilingual:
            return self._recogniser
        if self._multilingual is None:
            if self._load_multilingual is None:
                raise EngineError(f"no recogniser here hears {self.language}")
            self._multilingual = await self._load_multilingual()
        return self._multilingual

    async def probability_of_end(self, pcm16k: bytes) -> float | None:
        """Probability that PCM16 mono at 16 kHz up to a pause is a whole turn; None: not known."""
        return None if self._end_of_turn is None else await self._end_of_turn.probability(pcm16k)

    async def speak(
        self, clause: str, speed: float, *, urgency: Urgency = Urgency.FIRST
    ) -> AsyncGenerator[bytes, None]:
        """Yield `clause` as PCM16 mono at 24 kHz as it is made, with the pause that follows it.

        Closing the iterator cancels the synthesis. Where the voice fails the packaged one speaks, if
        it is there and speaks the language; a clause of which something was heard ends.

        Raises:
            EngineError: no voice spoke.
        """
        spoken = spoken_form(clause, self.language or "en")
        made = self._pieces(spoken, speed, urgency)
        async with aclosing(made) as pieces:
            async for pcm in pieces:
                yield pcm
        if pause := bytes(pause_ms(clause) * _BYTES_PER_MS):
            yield pause

    async def _pieces(
        self, text: str, speed: float, urgency: Urgency
    ) -> AsyncGenerator[bytes, None]:
        is_heard = False
        failure: Exception | None = None
        if not (self._voices.is_failing and self._can_fall_back):
            own = self._voices.speak(self.voice, text, speed, owner=self, urgency=urgency)
            try:
                async with aclosing(own) as pieces:
                    async for pcm in pieces:
                        is_heard = True
                        yield pcm
            except Exception as error:  # noqa: BLE001 - engines may raise anything
                failure = error
            if failure is None:
                return
            _log.warning("voice %s failed: %s", self.voice, _reason(failure))
            self._voices.note_failure()
        if is_heard:
            return  # what was heard is not said again
        voices = await self._fallback_voices(failure)
        name = voices.engine.names[0]
        async with aclosing(voices.speak(name, text, speed, owner=self, urgency=urgency)) as pieces:
            async for pcm in pieces:
                yield pcm

    @property
    def _can_fall_back(self) -> bool:
        return self._load_fallback_voices is not None and self.language in {None, "en"}

    async def _fallback_voices(self, failure: Exception | None) -> SharedVoices:
        """Return the packaged voice. Raises: EngineError: it is not there."""
        if self._load_fallback_voices is not None and self._can_fall_back:
            try:
                self._fallback = self._fallback or await self._load_fallback_voices()
            except SpeechError as error:
                _log.warning("no voice to fall back to: %s", error)
            else:
                return self._fallback
        raise EngineError(f"the voice failed: {_reason(failure)}") from failure

    def uses(self, engine: SharedRecogniser | SharedVoices) -> bool:
        """Return true if this session has that engine."""
        return engine in (self._recogniser, self._multilingual, self._voices, self._fallback)

    def hurry(self) -> None:
        """What was asked for speculatively is needed now."""
        (self._multilingual or self._recogniser).queue.hurry(self)
        self._voices.queue.hurry(self)

    def change_language(self, language: str | None) -> None:
        """Hear and speak this language, an ISO 639-1 code, from the next call on; None: detect it."""
        self.language = language

    def close(self) -> None:
        """The session is over."""
        self._on_close(self)


def _reason(error: Exception | None) -> str:
    """Return one line without what was to be said."""
    if isinstance(error, EngineError | SpeechError):
        return str(error)
    return "it failed lately" if error is None else type(error).__name__
