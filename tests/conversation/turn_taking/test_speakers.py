"""The local ear, and who is speaking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.turn_taking.speakers import Speakers, VoiceChange
from conversation.turn_taking.voice_level import (
    ONSET_FRAMES,
    RELEASE_FRAMES,
    VoiceLevel,
    level_dbfs,
)

_RNG = np.random.default_rng(1)


def _noise(dbfs: float) -> bytes:
    """20 ms of noise at 24 kHz."""
    samples = _RNG.normal(0, 32_768 * 10 ** (dbfs / 20), 480)
    return np.clip(samples, -32_768, 32_767).astype(np.int16).tobytes()


SILENCE = bytes(960)
VOICE = _noise(-20)


def test_levels() -> None:
    assert level_dbfs(b"") == level_dbfs(SILENCE) == -90
    assert level_dbfs(_noise(-30)) == pytest.approx(-30, abs=1)
    assert level_dbfs(np.full(480, -32_768, np.int16).tobytes()) == 0
    assert level_dbfs(b"\x00") == -90


def _changes(frames: list[bytes]) -> list[tuple[int, bool]]:
    voice = VoiceLevel()
    pushed = [(index, voice.push(level_dbfs(frame))) for index, frame in enumerate(frames)]
    return [(index, change) for index, change in pushed if change is not None]


def test_a_voice_is_noticed_within_60_ms_and_missed_within_80() -> None:
    frames = [SILENCE] * 20 + [VOICE] * 20 + [SILENCE] * 20
    assert _changes(frames) == [(20 + ONSET_FRAMES - 1, True), (40 + RELEASE_FRAMES - 1, False)]


@pytest.mark.parametrize(
    "frames",
    [
        [SILENCE] * 200,
        [_noise(-50)] * 200,
        [SILENCE, SILENCE, SILENCE, SILENCE, SILENCE, SILENCE, SILENCE, VOICE] * 30,
        [VOICE, VOICE, SILENCE] * 30,
    ],
    ids=["silence", "quiet room", "clicks", "short knocks"],
)
def test_no_voice(frames: list[bytes]) -> None:
    assert _changes(frames) == []


def test_noise_that_stays_becomes_the_room_and_a_voice_above_it_is_still_heard() -> None:
    voice = VoiceLevel()
    for _ in range(50 * 60):
        voice.push(level_dbfs(_noise(-38)))
    assert not voice.is_speaking
    for _ in range(5):
        voice.push(level_dbfs(VOICE))
    assert voice.is_speaking


def test_changes_are_dated_back_to_where_they_happened() -> None:
    speakers = Speakers()
    changes: list[VoiceChange] = []
    for index, frame in enumerate([SILENCE] * 10 + [VOICE] * 10 + [SILENCE] * 10):
        if (change := speakers.push(7, frame, 100 + index * 0.02)) is not None:
            changes.append(change)
        assert speakers.is_any_speaking == (12 <= index < 23)
    # A frame is dated by its end.
    assert [(change.uid, change.is_speaking) for change in changes] == [(7, True), (7, False)]
    assert changes[0].at_s == pytest.approx(100 + 9 * 0.02)
    assert changes[1].at_s == pytest.approx(100 + 19 * 0.02)


def test_the_loudest_of_three_is_named_for_each_time() -> None:
    speakers = Speakers()
    for index in range(100):
        now_s = index * 0.02
        speakers.push(1, VOICE if index < 50 else SILENCE, now_s)
        speakers.push(2, VOICE if index >= 50 else SILENCE, now_s)
        speakers.push(3, _noise(-34), now_s)
    assert speakers.loudest(0, 0.9) == 1
    assert speakers.loudest(1.1, 2.0) == 2
    assert speakers.loudest(5, 6) is None


def test_alone_in_the_room_everything_is_theirs() -> None:
    speakers = Speakers()
    assert speakers.loudest(0, 1) is None
    speakers.add(4)
    assert speakers.loudest(0, 1) == 4


def test_who_leaves_in_the_middle_of_a_word_speaks_no_more() -> None:
    speakers = Speakers()
    for index in range(10):
        speakers.push(1, VOICE, index * 0.02)
    assert speakers.remove(1, 0.2) == VoiceChange(1, is_speaking=False, at_s=0.2)
    assert not speakers.is_any_speaking
    assert speakers.remove(1, 0.3) is None


@given(st.lists(st.floats(-90, 0), max_size=300))
def test_whatever_is_heard_changes_alternate(levels: list[float]) -> None:
    voice = VoiceLevel()
    changes = [change for level in levels if (change := voice.push(level)) is not None]
    assert changes == [index % 2 == 0 for index in range(len(changes))]
