"""Turn detection on scripted probabilities, and on real speech."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.ear import Ear
from speech.engines.vad import SileroDetector
from speech.turns import (
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
    TurnEvent,
    TurnSettings,
    semantic_hold_ms,
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
        SpeechPaused(last_loud_ms + 6 * WINDOW_MS),
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


def test_a_held_turn_waits_longer_until_someone_speaks_again() -> None:
    turns = TurnDetector(TurnSettings(), window_ms=WINDOW_MS, max_turn_ms=60_000)
    now_ms = 0

    def hear(probability: float, windows: int) -> list[TurnEvent]:
        nonlocal now_ms
        events = []
        for _ in range(windows):
            now_ms += WINDOW_MS
            events.append(turns.handle_window(probability, now_ms))
        return [event for event in events if event is not None]

    hear(0.9, 5)
    hear(0.0, 8)
    turns.hold(2_000)
    assert hear(0.0, 50) == []
    assert [type(event) for event in hear(0.9, 3)] == [SpeechResumed]
    assert isinstance(hear(0.0, 13)[-1], SpeechStopped)


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


@pytest.mark.parametrize(
    ("words", "is_held"),
    [
        ("Remind me to call my.", True),
        ("I would like to...", True),
        ("Set a timer for five minutes.", False),
        ("", False),
    ],
)
def test_unfinished_sentences_are_held(words: str, is_held: bool) -> None:
    assert (semantic_hold_ms(words, "auto") > 0) is is_held


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
    ear = Ear(SileroDetector(), max_turn_ms=60_000)
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
