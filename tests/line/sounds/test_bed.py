"""Sounds under the agent's voice, on samples."""

from __future__ import annotations

import numpy as np
import pytest

from line.sounds.bed import BACKGROUND_FADE_MS, FADE_MS, TAIL_FRAMES, SoundBed
from line.sounds.clip import Clip, Samples, amplitude, seamless
from line.sounds.ducking import ATTACK_MS, HOLD_MS, RELEASE_MS, Ducker

RATE_HZ = 24_000
FRAME = RATE_HZ // 50
SILENCE = bytes(2 * FRAME)
FADE = RATE_HZ * FADE_MS // 1000


def level(value: int, count: int = FRAME) -> Samples:
    return np.full(count, value, np.int16)


def voice(value: int = 1_000) -> bytes:
    return level(value).tobytes()


def taken(bed: SoundBed, pcm: bytes = SILENCE, *, has_voice: bool = False) -> Samples:
    return np.frombuffer(bed.mix(pcm, has_voice=has_voice), np.int16)


def present(bed: SoundBed) -> None:
    """Let the background fade in."""
    for _ in range(BACKGROUND_FADE_MS // 20):
        taken(bed)


def test_without_sounds_a_frame_is_the_very_same_object_and_nothing_is_sent_in_silence() -> None:
    bed = SoundBed(RATE_HZ)
    pcm = voice()
    assert not bed.is_active
    assert bed.mix(pcm, has_voice=True) is pcm


def test_a_background_fades_in_plays_on_ducks_under_the_voice_and_comes_back() -> None:
    bed = SoundBed(RATE_HZ)
    bed.set_background(Clip(level(8_000, 10_000), is_loop=True), duck_db=-20)
    first = taken(bed)
    assert first[0] == 0
    assert 0 < first[-1] < 1_000
    present(bed)
    assert set(taken(bed)) == {8_000}

    under = [taken(bed, voice(0), has_voice=True) for _ in range(ATTACK_MS // 20)]
    joined = np.concatenate(under).astype(np.int32)
    assert np.abs(np.diff(joined)).max() < 40, "no step is heard"
    assert joined[-1] == pytest.approx(800, abs=2)
    assert set(taken(bed, voice(500), has_voice=True)) == {1_300}

    for _ in range(HOLD_MS // 20 - 1):
        assert set(taken(bed)) == {800}, "a pause between words"
    for _ in range(RELEASE_MS // 20):
        taken(bed)
    assert set(taken(bed)) == {8_000}


def test_a_background_fades_away_and_then_nothing_is_sent() -> None:
    bed = SoundBed(RATE_HZ)
    bed.set_background(Clip(level(8_000), is_loop=True))
    present(bed)
    bed.set_background(None)
    last = 8_000
    for _ in range(BACKGROUND_FADE_MS // 20):
        assert bed.is_active
        frame = taken(bed)
        assert frame[0] <= last
        last = int(frame[-1])
    assert last == 0
    for _ in range(TAIL_FRAMES):
        assert bed.is_active, "a codec holds back some of it"
        taken(bed)
    assert not bed.is_active


def test_setting_the_same_background_again_changes_nothing() -> None:
    bed = SoundBed(RATE_HZ)
    samples = level(8_000)
    bed.set_background(Clip(samples, is_loop=True))
    present(bed)
    bed.set_background(Clip(samples, is_loop=True))
    assert set(taken(bed)) == {8_000}


def test_a_background_that_comes_back_while_it_fades_away_does_not_start_over() -> None:
    bed = SoundBed(RATE_HZ)
    clip = Clip(level(8_000), is_loop=True)
    bed.set_background(clip)
    present(bed)
    bed.set_background(None)
    low = int(taken(bed)[-1])
    bed.set_background(clip)
    assert taken(bed)[0] == pytest.approx(low, abs=2)


def test_a_single_sound_begins_and_ends_without_a_click() -> None:
    bed = SoundBed(RATE_HZ)
    bed.play(Clip(level(6_000, FRAME + 100), gain=0.5))
    first, second = taken(bed), taken(bed)
    assert first[0] == 0
    assert set(first[FADE:]) == {3_000}
    assert set(second[100:]) == {0}
    assert not bed.is_playing


def test_a_loop_goes_on_where_its_end_meets_its_beginning() -> None:
    bed = SoundBed(RATE_HZ)
    ramp = np.arange(700, dtype=np.int16)
    bed.play(Clip(ramp, is_loop=True))
    heard = np.concatenate([taken(bed) for _ in range(10)])
    wanted = np.tile(ramp, 10)[: len(heard)]
    assert (heard[FADE:] == wanted[FADE:]).all()


@pytest.mark.parametrize("how", ["voice", "stop"])
def test_a_single_sound_is_gone_within_the_frame(how: str) -> None:
    bed = SoundBed(RATE_HZ)
    bed.play(Clip(level(6_000), is_loop=True))
    taken(bed)
    if how == "stop":
        bed.stop()
        assert not bed.is_playing
    frame = taken(bed, voice(0), has_voice=how == "voice")
    assert frame[0] == 6_000
    assert set(frame[FADE:]) == {0}
    assert set(taken(bed)) == {0}


def test_a_sound_that_was_stopped_before_it_began_is_never_heard() -> None:
    bed = SoundBed(RATE_HZ)
    bed.play(Clip(level(6_000), is_loop=True))
    bed.stop()
    assert set(taken(bed)) == {0}


def test_a_sum_that_is_too_loud_is_limited_and_does_not_wrap_around() -> None:
    bed = SoundBed(RATE_HZ)
    bed.set_background(Clip(level(20_000), is_loop=True))
    present(bed)
    assert set(taken(bed, voice(20_000))) == {32_767}
    assert set(taken(bed, voice(-20_000))) == {0}


def test_the_ducker_never_leaves_its_range() -> None:
    ducker = Ducker(-12)
    levels = [ducker.step(has_voice=number % 7 < 3) for number in range(500)]
    levels += [ducker.step(has_voice=False) for _ in range(500)]
    assert min(levels) >= -12
    assert max(levels) == levels[-1] == 0


def test_a_loop_of_any_sound_has_no_click() -> None:
    time = np.arange(RATE_HZ) / RATE_HZ
    tone = (10_000 * np.sin(2 * np.pi * 333.3 * time)).astype(np.int16)
    loop = seamless(tone, RATE_HZ).astype(np.int32)
    steps = np.abs(np.diff(np.concatenate([loop, loop])))
    assert steps.max() < 1.5 * np.abs(np.diff(tone.astype(np.int32))).max()
    assert len(seamless(tone[:3], RATE_HZ)) == 3


def test_levels_are_those_of_amplitudes() -> None:
    assert amplitude(0) == 1
    assert amplitude(-20) == pytest.approx(0.1)
