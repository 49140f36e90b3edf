"""The input audio buffer: keeps the user's audio, finds turns in it, cuts utterances out of it."""

from __future__ import annotations

from dataclasses import dataclass

from audio import Resampler
from speech.engines.noise import LEVELS, NoiseSuppressor
from speech.engines.vad import WINDOW_MS, WINDOW_SAMPLES, SpeechDetector
from speech.sample_rates import ENGINE_RATE_HZ, WIRE_RATE_HZ
from speech.turns.turn_detector import TurnDetector, TurnEvent, TurnSettings

_KEPT_WHILE_SILENT_MS = 1_000
_WINDOW_BYTES = WINDOW_SAMPLES * 2


class AudioLine:
    """A stretch of one PCM16 stream, addressed in milliseconds since the stream began."""

    def __init__(self, rate_hz: int) -> None:
        self._bytes_per_ms = rate_hz * 2 // 1000
        self._base_ms = 0
        self._pcm = bytearray()

    @property
    def end_ms(self) -> int:
        """Whole milliseconds received since the stream began."""
        return self._base_ms + len(self._pcm) // self._bytes_per_ms

    @property
    def kept_ms(self) -> int:
        """Whole milliseconds that can still be cut."""
        return len(self._pcm) // self._bytes_per_ms

    @property
    def base_ms(self) -> int:
        """The first millisecond still kept."""
        return self._base_ms

    def push(self, pcm: bytes) -> None:
        """Append the next piece."""
        self._pcm += pcm

    def cut(self, start_ms: int, end_ms: int) -> bytes:
        """The audio from `start_ms` to `end_ms`, as far as it is kept."""
        first = max(0, start_ms - self._base_ms) * self._bytes_per_ms
        last = max(0, end_ms - self._base_ms) * self._bytes_per_ms
        return bytes(self._pcm[first:last])

    def forget_before(self, at_ms: int) -> None:
        """Free what ended before `at_ms`."""
        drop_ms = min(max(0, at_ms - self._base_ms), self.kept_ms)
        del self._pcm[: drop_ms * self._bytes_per_ms]
        self._base_ms += drop_ms


@dataclass(frozen=True, slots=True)
class Utterance:
    """One user turn's audio: as it came (24 kHz) and as the recogniser wants it (16 kHz)."""

    wire_pcm: bytes
    engine_pcm: bytes

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.wire_pcm) / 2 / WIRE_RATE_HZ


class InputAudioBuffer:
    """One session's input. `push` at most a second at a time: detection costs 3 % of real time."""

    def __init__(self, detector: SpeechDetector, *, max_turn_ms: int) -> None:
        self._speech_detector = detector
        self._max_turn_ms = max_turn_ms
        self._resampler = Resampler(WIRE_RATE_HZ, ENGINE_RATE_HZ)
        self._wire = AudioLine(WIRE_RATE_HZ)
        self._engine = AudioLine(ENGINE_RATE_HZ)
        self._window = bytearray()
        self._heard_ms = 0
        self._noise_reduction: str | None = None
        self._suppressor: NoiseSuppressor | None = None
        self.turns: TurnDetector | None = None

    @property
    def now_ms(self) -> int:
        """Milliseconds of audio received."""
        return self._wire.end_ms

    @property
    def buffered_ms(self) -> int:
        """Milliseconds waiting to be committed by hand."""
        return self._wire.kept_ms

    def detect_turns(self, settings: TurnSettings | None) -> None:
        """Use these settings from now on; None: the client commits by hand."""
        if settings is None:
            self.turns = None
        elif self.turns is not None:
            self.turns.change(settings)
        else:
            self._speech_detector.reset()
            self.turns = TurnDetector(settings, window_ms=WINDOW_MS, max_turn_ms=self._max_turn_ms)
            self.turns.reset(self._wire.base_ms)

    def suppress_noise(self, kind: str | None) -> None:
        """Suppress noise from now on: `near_field`, `far_field`; None: not.

        Raises:
            ModelFilesError: the package for it is not there.
        """
        if kind == self._noise_reduction:
            return
        if self._suppressor is not None:
            self._take_in(self._suppressor.flush())
        self._suppressor = None if kind is None else NoiseSuppressor(LEVELS[kind])
        self._noise_reduction = kind

    def push(self, pcm: bytes) -> list[TurnEvent]:
        """Take in the next 24 kHz audio; what it meant for the turns."""
        self._forget_silence()  # not afterwards: a turn that ends in `pcm` is still to be taken
        self._wire.push(pcm)
        audio = self._resampler.push(pcm)
        self._take_in(audio if self._suppressor is None else self._suppressor.push(audio))
        return [event for event in self._judge_windows() if event is not None]

    def _take_in(self, audio: bytes) -> None:
        self._engine.push(audio)
        self._window += audio

    def _judge_windows(self) -> list[TurnEvent | None]:
        events = []
        while len(self._window) >= _WINDOW_BYTES:
            window = bytes(self._window[:_WINDOW_BYTES])
            del self._window[:_WINDOW_BYTES]
            self._heard_ms += WINDOW_MS
            if self.turns is not None:
                probability = self._speech_detector.probability(window)
                events.append(self.turns.handle_window(probability, self._heard_ms))
        return events

    def _forget_silence(self) -> None:
        if self.turns is None or self.turns.is_speaking:
            return
        kept_ms = max(_KEPT_WHILE_SILENT_MS, 2 * self.turns.settings.prefix_padding_ms)
        self._forget_before(self.now_ms - kept_ms)

    def keep_last(self, duration_ms: int) -> None:
        """Forget what is older than the last `duration_ms`."""
        self._forget_before(self.now_ms - duration_ms)

    def _forget_before(self, at_ms: int) -> None:
        self._wire.forget_before(at_ms)
        self._engine.forget_before(at_ms)

    def peek(self, start_ms: int, end_ms: int) -> Utterance:
        """The audio of a turn that may go on."""
        return Utterance(self._wire.cut(start_ms, end_ms), self._engine.cut(start_ms, end_ms))

    def take(self, start_ms: int, end_ms: int) -> Utterance:
        """The audio of a finished turn, removed from the buffer."""
        utterance = self.peek(start_ms, end_ms)
        self._forget_before(end_ms)
        return utterance

    def take_all(self) -> Utterance:
        """All that waits, for a commit by hand; an open turn ends with it."""
        utterance = self.take(0, self.now_ms)
        self.clear()
        return utterance

    def clear(self) -> None:
        """Forget what waits, and an open turn with it."""
        self._forget_before(self.now_ms)
        if self.turns is not None:
            self.turns.reset(self.now_ms)
