"""Turn detection on scripted probabilities, and on real speech."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.engines.vad import SileroDetector
from speech.input_buffer import InputAudioBuffer
from speech.turns.turn_detector import (
    SilenceWentOn,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
    TurnEvent,
    TurnSettings,
)
from tests.speech.talk import utterance

WINDOW_MS = 32


def _events(probabilities: list[float], **settings: float) -> list[TurnEvent]:
    turns = TurnDetector(
        TurnSettings(**settings),  # type: ignore[arg-type]
        window_ms=WINDOW_MS,
        max_turn_ms=60_000,
    )
    found = [turns.handle_window(p, (i + 1) * WINDOW_MS) for i, p in enumerate(probabilities)]
    return [event for event in found if event is not None]


def test_a_turn_has_padding_before_and_silence_after() -> None:
    events = _events([0.0] * 20 + [0.9] * 10 + [0.0] * 20)
    onset_ms, last_loud_ms = 20 * WINDOW_MS, 30 * WINDOW_MS
    start_ms = onset_ms - 300
    assert events == [
        SpeechStarted(start_ms),
        SpeechPaused(last_loud_ms + 3 * WINDOW_MS),
        SpeechStopped(start_ms, last_loud_ms + 13 * WINDOW_MS),
    ]


def test_a_click_is_no_turn_and_a_short_pause_no_end() -> None:
    assert _events([0.0] * 5 + [0.9] + [0.0] * 20) == []
    events = _events([0.9] * 5 + [0.0] * 8 + [0.9] * 5 + [0.0] * 20)
    kinds = [type(event) for event in events]
    assert kinds == [SpeechStarted, SpeechPaused, SpeechResumed, SpeechPaused, SpeechStopped]


def test_a_turn_never_reaches_back_into_the_one_before() -> None:
    events = _events([0.9] * 5 + [0.0] * 13 + [0.9] * 5 + [0.0] * 13, prefix_padding_ms=2_000)
    first, second = [event for event in events if isinstance(event, SpeechStopped)]
    assert second.start_ms == first.end_ms


def test_endless_speech_is_cut() -> None:
    events = _events([0.9] * 2_000)
    stopped = [event for event in events if isinstance(event, SpeechStopped)]
    assert [event.end_ms - event.start_ms >= 60_000 for event in stopped] == [True]


class _Listener:
    """A detector and the time of what it hears."""

    def __init__(self, settings: TurnSettings) -> None:
        self.turns = TurnDetector(settings, window_ms=WINDOW_MS, max_turn_ms=60_000)
        self._now_ms = 0

    def hear(self, probability: float, windows: int) -> list[TurnEvent]:
        events = []
        for _ in range(windows):
            self._now_ms += WINDOW_MS
            events.append(self.turns.handle_window(probability, self._now_ms))
        return [event for event in events if event is not None]


def test_a_turn_waits_as_long_as_it_is_told_until_someone_speaks_again() -> None:
    listener = _Listener(TurnSettings())
    listener.hear(0.9, 5)
    listener.hear(0.0, 8)
    listener.turns.wait_for(2_000)
    assert listener.hear(0.0, 50) == []
    assert [type(event) for event in listener.hear(0.9, 3)] == [SpeechResumed]
    assert isinstance(listener.hear(0.0, 13)[-1], SpeechStopped)


def test_a_turn_may_end_before_the_silence_of_the_settings() -> None:
    listener = _Listener(TurnSettings())
    listener.hear(0.9, 5)
    assert [type(event) for event in listener.hear(0.0, 8)] == [SpeechPaused]
    listener.turns.wait_for(200)
    assert [type(event) for event in listener.hear(0.0, 1)] == [SpeechStopped]


def test_a_turn_ends_without_more_audio_once_its_silence_was_long_enough() -> None:
    listener = _Listener(TurnSettings(silence_ms=2_000))
    assert listener.turns.end_overdue() is None
    listener.hear(0.9, 5)
    listener.turns.wait_for(0)
    assert listener.turns.end_overdue() is None  # nobody is silent
    listener.turns.wait_for(2_000)
    listener.hear(0.0, 20)
    assert listener.turns.end_overdue() is None
    listener.turns.wait_for(300)
    ended = listener.turns.end_overdue()
    assert ended == SpeechStopped(0, 25 * WINDOW_MS)
    assert not listener.turns.is_speaking
    assert listener.turns.end_overdue() is None


def test_a_pause_is_announced_again_while_it_lasts() -> None:
    settings = TurnSettings(silence_ms=1_000, first_look_ms=120, look_again_ms=250)
    listener = _Listener(settings)
    listener.hear(0.9, 5)
    found = listener.hear(0.0, 40)
    spoken_ms = 5 * WINDOW_MS
    looks = [e.at_ms - spoken_ms for e in found if isinstance(e, SpeechPaused | SilenceWentOn)]
    assert looks == [128, 384, 640, 896]
    assert [type(event) for event in found] == [SpeechPaused, *[SilenceWentOn] * 3, SpeechStopped]
    # Of the next turn too, and not while speech goes on.
    listener.hear(0.9, 5)
    assert [type(event) for event in listener.hear(0.0, 4)] == [SpeechPaused]
    assert [type(event) for event in listener.hear(0.9, 5)] == [SpeechResumed]
    assert [type(event) for event in listener.hear(0.0, 4)] == [SpeechPaused]


@given(st.lists(st.floats(0, 1), max_size=300))
def test_turns_are_disjoint_and_in_order(probabilities: list[float]) -> None:
    last_end_ms = 0
    open_turn: int | None = None
    for event in _events(probabilities):
        match event:
            case SpeechStarted(start_ms):
                assert open_turn is None
                assert start_ms >= last_end_ms
                open_turn = start_ms
            case SpeechStopped(start_ms, end_ms):
                assert open_turn == start_ms < end_ms
                open_turn, last_end_ms = None, end_ms
            case _:
                assert open_turn is not None


@pytest.mark.speech
@pytest.mark.parametrize(
    ("name", "silence_ms", "turns"),
    [
        ("u07_f", 400, 1),
        ("u12_f_pink10", 400, 1),
        ("u10_f", 400, 1),
        ("p01_f_pause700", 400, 2),
        ("p01_f_pause700", 1_000, 1),
    ],
)
def test_real_speech_is_found(name: str, silence_ms: int, turns: int) -> None:
    ear = InputAudioBuffer(SileroDetector(), max_turn_ms=60_000)
    ear.detect_turns(TurnSettings(silence_ms=silence_ms))
    pcm = utterance(name) + bytes(2 * 48_000)
    events: list[TurnEvent] = []
    taken_ms = 0
    for start in range(0, len(pcm), 4_800):
        for event in ear.push(pcm[start : start + 4_800]):
            events.append(event)
            if isinstance(event, SpeechStopped):
                audio = ear.take(event.start_ms, event.end_ms)
                taken_ms += len(audio.wire_pcm) // 48
                assert len(audio.wire_pcm) // 48 == event.end_ms - event.start_ms
                assert abs(len(audio.engine_pcm) / 32 - len(audio.wire_pcm) / 48) < 5
    stopped = [event for event in events if isinstance(event, SpeechStopped)]
    assert len(stopped) == turns
    true_end_ms = len(utterance(name)) // 48 - 500
    late_ms = stopped[-1].end_ms - true_end_ms
    assert silence_ms - 100 < late_ms < silence_ms + 200
    assert taken_ms > 0


@pytest.mark.speech
def test_a_detector_is_not_woken_by_silence() -> None:
    detector = SileroDetector()
    assert [detector.probability(bytes(1024)) for _ in range(20)] == [0.0] * 20
