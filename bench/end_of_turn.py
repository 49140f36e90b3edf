"""End of turn: how often an agent would cut in, and how long it would wait, by each way to tell.

Turns are fed at the speed of the processor; time is that of their audio, and a judgement counts from
when it would have come: the recogniser's and the model's own time after the look that asked for it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from audio import Resampler
from bench.end_of_turn_speech import THINKING_MS, Turn, recorded_turns, turns, voices
from bench.speech import RATE_HZ, load_speech
from load.statistics import percentile
from speech.engines.vad import WINDOW_SAMPLES, SileroDetector, SpeechDetector
from speech.engines.whisper import WhisperRecogniser
from speech.input_buffer import InputAudioBuffer
from speech.sample_rates import ENGINE_RATE_HZ
from speech.turns.eagerness import patience, semantic_settings
from speech.turns.judged_pause import JudgedPause
from speech.turns.smart_turn import SmartTurn, installed_path
from speech.turns.turn_detector import (
    SilenceWentOn,
    SpeechPaused,
    SpeechResumed,
    SpeechStopped,
    TurnEvent,
    TurnSettings,
)

_WINDOW_BYTES: Final = WINDOW_SAMPLES * 2
_PIECE_BYTES: Final = 20 * RATE_HZ * 2 // 1000


@dataclass(frozen=True, slots=True)
class Way:
    """A way to tell the end of a turn. eagerness: None: by silence alone."""

    name: str
    eagerness: str | None
    by_words: bool = True
    by_voice: bool = True


WAYS: Final = (
    Way("server_vad, 400 ms", None),
    Way("words alone, auto", "auto", by_voice=False),
    Way("smart-turn alone, auto", "auto", by_words=False),
    Way("semantic_vad, high", "high"),
    Way("semantic_vad, auto (medium)", "auto"),
    Way("semantic_vad, low", "low"),
)


@dataclass
class Outcome:
    """Of one way: how many of the turns it cut into, and milliseconds waited after the others.

    unfinished, finished: turns with and without a pause
    """

    unfinished: int = 0
    finished: int = 0
    cut_pauses: list[str] = field(default_factory=list)
    cut_words: list[str] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)


class Engines:
    """Recogniser and end-of-turn model, asked once about each stretch of audio.

    words_ms, voice_ms: what one call takes
    """

    def __init__(self) -> None:
        self._recogniser = WhisperRecogniser(threads=1)
        self._model = SmartTurn(installed_path())
        self._words: dict[bytes, str] = {}
        self._voice: dict[bytes, float] = {}
        sample = load_speech("u07_f.wav")[: 2 * RATE_HZ * 2]
        self.words_ms = min(_took_ms(lambda: self._recogniser.transcribe(sample)) for _ in range(9))
        self.voice_ms = min(_took_ms(lambda: self._model.probability(sample)) for _ in range(9))

    def words(self, pcm: bytes) -> str:
        """Recognise the words."""
        if pcm not in self._words:
            self._words[pcm] = self._recogniser.transcribe(pcm).text
        return self._words[pcm]

    def voice(self, pcm: bytes) -> float:
        """Judge if it is a whole turn, from 0 to 1."""
        if pcm not in self._voice:
            self._voice[pcm] = self._model.probability(pcm)
        return self._voice[pcm]


def _took_ms(call: Callable[[], object]) -> float:
    """Processor time, which other work of the machine does not change: it is all one thread's."""
    began_s = time.process_time()
    call()
    return (time.process_time() - began_s) * 1000


class HeardBefore:
    """A speech detector that has heard this turn already: the network runs once for all ways."""

    def __init__(self, turn: Turn) -> None:
        resampler, detector = Resampler(RATE_HZ, ENGINE_RATE_HZ), SileroDetector()
        pcm = resampler.push(turn.pcm)
        windows = range(0, len(pcm) - _WINDOW_BYTES + 1, _WINDOW_BYTES)
        self._probabilities = [detector.probability(pcm[at : at + _WINDOW_BYTES]) for at in windows]
        self._next = 0

    def probability(self, _window: bytes) -> float:
        """As a detector has it."""
        self._next += 1
        return self._probabilities[self._next - 1]

    def reset(self) -> None:
        """Hear the turn from its start."""
        self._next = 0


class Listener:
    """One turn heard in one way."""

    def __init__(self, way: Way, engines: Engines, detector: SpeechDetector) -> None:
        self._way = way
        self._engines = engines
        self._input = InputAudioBuffer(detector, max_turn_ms=120_000)
        semantic = None if way.eagerness is None else semantic_settings(way.eagerness)
        self._input.detect_turns(semantic or TurnSettings())
        self._pause: JudgedPause | None = None
        self._due: list[tuple[float, Callable[[], None]]] = []

    def ends_ms(self, turn: Turn) -> list[int]:
        """Times at which turns ended, in the audio."""
        ends = []
        for start in range(0, len(turn.pcm), _PIECE_BYTES):
            self._deliver()
            for event in self._input.push(turn.pcm[start : start + _PIECE_BYTES]):
                self._handle(event)
                if isinstance(event, SpeechStopped):
                    ends.append(event.end_ms)
                    if event.end_ms > turn.end_ms:
                        return ends
        raise AssertionError(f"no end of turn: {turn.name}")

    def _deliver(self) -> None:
        now_ms = self._input.now_ms
        due = [call for at_ms, call in self._due if at_ms <= now_ms]
        self._due = [(at_ms, call) for at_ms, call in self._due if at_ms > now_ms]
        for call in due:
            call()

    def _handle(self, event: TurnEvent) -> None:
        match event:
            case SpeechPaused(at_ms):
                self._begin(at_ms)
            case SilenceWentOn(at_ms):
                self._look(at_ms)
            case SpeechResumed() | SpeechStopped():
                self._due.clear()
                self._pause = None
            case _:
                pass

    def _begin(self, at_ms: int) -> None:
        turns = self._input.turns
        if turns is None or self._way.eagerness is None:
            return
        pause = self._pause = JudgedPause(turns, patience(self._way.eagerness))
        if self._way.by_words:
            words = self._engines.words(self._heard(at_ms))
            self._due.append((at_ms + self._engines.words_ms, lambda: pause.add_words(words, "en")))
        else:
            pause.add_words(None)
        if self._way.by_voice:
            self._look(at_ms)
        else:
            pause.add_voice(None)

    def _look(self, at_ms: int) -> None:
        pause = self._pause
        if pause is None or not self._way.by_voice or not pause.should_listen():
            return
        probability = self._engines.voice(self._heard(at_ms))
        self._due.append((at_ms + self._engines.voice_ms, lambda: pause.add_voice(probability)))

    def _heard(self, at_ms: int) -> bytes:
        turns = self._input.turns
        assert turns is not None
        assert turns.start_ms is not None
        return self._input.peek(turns.start_ms, at_ms).engine_pcm


def compare(spoken: Iterable[Turn], engines: Engines) -> dict[Way, Outcome]:
    """Hear every turn in every way."""
    outcomes = {way: Outcome() for way in WAYS}
    for turn in spoken:
        detector = HeardBefore(turn)
        for way, outcome in outcomes.items():
            _count(outcome, turn, Listener(way, engines, detector).ends_ms(turn))
    return outcomes


def _count(outcome: Outcome, turn: Turn, ends_ms: list[int]) -> None:
    early = [end_ms for end_ms in ends_ms if end_ms < turn.end_ms]
    if turn.pause_ms is None:
        outcome.finished += 1
    else:
        outcome.unfinished += 1
    in_pause = turn.pause_ms is not None and any(end_ms <= turn.pause_ms[1] for end_ms in early)
    if in_pause:
        outcome.cut_pauses.append(turn.name)
    elif early:
        outcome.cut_words.append(turn.name)
    if turn.pause_ms is None:
        outcome.waits_ms.append(ends_ms[-1] - turn.end_ms)


async def rows() -> list[str]:
    """A table for each voice."""
    engines = Engines()
    lines = [
        f"end of turn; words known {engines.words_ms:.0f} ms after a look, voice {engines.voice_ms:.0f} ms",
        f"end of turn; pauses of {THINKING_MS} ms; waits in ms after the last sound",
    ]
    spoken = {name: turns(speak) for name, speak in voices().items()}
    for name, turns_of_voice in {**spoken, "recorded": recorded_turns()}.items():
        lines += _table(name, compare(turns_of_voice, engines))
    return lines


def _table(voice: str, outcomes: dict[Way, Outcome]) -> list[str]:
    lines = [f"{voice:<30} {'cut pauses':>12} {'cut others':>12} {'median':>8} {'p95':>8}"]
    for way, outcome in outcomes.items():
        pauses = f"{len(outcome.cut_pauses)}/{outcome.unfinished}"
        others = f"{len(outcome.cut_words)}/{outcome.unfinished + outcome.finished}"
        median = statistics.median(outcome.waits_ms)
        p95 = percentile(outcome.waits_ms, 0.95)
        lines.append(f"{way.name:<30} {pauses:>12} {others:>12} {median:8.0f} {p95:8.0f}")
    return lines
