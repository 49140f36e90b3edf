"""Levels, pauses and overlaps of recordings whose sound is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.store.levels import (
    MAX_WINDOWS,
    OVERLAP_MS,
    PAUSE_MS,
    LevelMeter,
    Span,
    overlaps,
    pauses,
)
from control.store.recordings import Recordings, read_levels
from session.recording.timeline import Block
from session.recording.wav_file import WavFile

RATE_HZ = 16_000
PER_MS = RATE_HZ // 1000

Stereo = npt.NDArray[np.int16]


def sound(duration_ms: int, user: list[Span], agent: list[Span]) -> Stereo:
    """Tones of half of full scale where a side speaks, and a little noise elsewhere."""
    samples = np.random.default_rng(1).integers(-20, 20, (duration_ms * PER_MS, 2), dtype=np.int16)
    wave = (16_384 * np.sin(np.arange(len(samples)) * 0.3)).astype(np.int16)
    for side, spans in enumerate((user, agent)):
        for begin, end in spans:
            samples[begin * PER_MS : end * PER_MS, side] = wave[begin * PER_MS : end * PER_MS]
    return samples


def write(path: Path, stereo: Stereo, began_ms: int = 1_700_000_000_000) -> Path:
    file = WavFile.open(path, RATE_HZ, "test")
    file.begin(began_ms)
    file.write(Block(0, stereo.tobytes()))
    file.close()
    return path


def near(found: tuple[Span, ...], expected: list[Span]) -> bool:
    """True if each is where it was expected, within two frames."""
    return len(found) == len(expected) and all(
        abs(one[0] - other[0]) <= 40 and abs(one[1] - other[1]) <= 40
        for one, other in zip(found, expected, strict=True)
    )


def test_levels_pauses_and_overlaps_are_where_the_sound_is(tmp_path: Path) -> None:
    user, agent = [(500, 2_000), (9_000, 10_500)], [(2_200, 5_000), (10_000, 12_000)]
    levels = read_levels(write(tmp_path / "a.wav", sound(13_000, user, agent)))
    assert (levels.began_ms, levels.duration_ms, levels.window_ms) == (
        1_700_000_000_000,
        13_000,
        20,
    )
    assert len(levels.user) == len(levels.agent) == 650
    for peaks, spans in ((levels.user, user), (levels.agent, agent)):
        for place, peak in enumerate(peaks):
            is_loud = any(begin <= place * 20 < end for begin, end in spans)
            assert (120 <= peak <= 128) if is_loud else peak <= 1, (place, peak)
    # What is silent before the first word and after the last is no pause.
    assert near(levels.pauses, [(5_000, 9_000)]), levels.pauses
    assert near(levels.overlaps, [(10_000, 10_500)]), levels.overlaps


def test_noise_that_stays_is_no_voice(tmp_path: Path) -> None:
    stereo = sound(20_000, [(6_000, 7_000), (16_000, 17_000)], [])
    hum = (200 * np.sin(np.arange(len(stereo)) * 0.05)).astype(np.int16)
    stereo[:, 0] = np.where(np.abs(stereo[:, 0]) < 21, hum, stereo[:, 0])
    found = read_levels(write(tmp_path / "a.wav", stereo))
    assert near(found.pauses, [(7_000, 16_000)]), found.pauses
    assert found.overlaps == ()


def test_blocks_of_any_length_give_the_same_levels() -> None:
    stereo = sound(9_990, [(100, 3_000)], [(2_000, 4_000), (8_000, 9_990)])

    def measured(frames: int) -> Any:
        meter = LevelMeter(RATE_HZ, len(stereo))
        step = frames * meter.frame_samples
        for at in range(0, len(stereo), step):
            meter.add(stereo[at : at + step])
        return meter.levels(5)

    assert measured(1) == measured(7) == measured(500) == measured(10_000)


def test_a_long_recording_has_no_more_windows_than_a_short_one() -> None:
    samples = 3_600 * RATE_HZ
    meter = LevelMeter(RATE_HZ, samples)
    block = sound(10_000, [(0, 1_000)], [(5_000, 6_000)])
    for _ in range(360):
        meter.add(block)
    levels = meter.levels(0)
    assert levels.duration_ms == 3_600_000
    assert len(levels.user) <= MAX_WINDOWS
    assert len(levels.user) * levels.window_ms >= levels.duration_ms
    assert len(levels.pauses) == 719
    assert 120 <= max(levels.user) <= 128


SPANS = st.lists(st.integers(1, 4_000), max_size=12).map(
    lambda steps: [(sum(steps[:at]), sum(steps[: at + 1])) for at in range(1, len(steps) - 1, 2)]
)


@given(SPANS, SPANS)
def test_pauses_and_overlaps_are_what_a_look_at_each_moment_finds(
    one: list[Span], other: list[Span]
) -> None:
    end_ms = max((end for _, end in one + other), default=0)
    mine, theirs = np.zeros(end_ms, bool), np.zeros(end_ms, bool)
    for speaking, spans in ((mine, one), (theirs, other)):
        for begin, end in spans:
            speaking[begin:end] = True
    first_ms = min((begin for begin, _ in one + other), default=0)
    silent = [(first_ms + a, first_ms + b) for a, b in _runs(~(mine | theirs)[first_ms:])]
    assert list(pauses(one, other)) == [(a, b) for a, b in silent if b - a > PAUSE_MS]
    assert list(overlaps(one, other)) == [
        (a, b) for a, b in _runs(mine & theirs) if b - a >= OVERLAP_MS
    ]


def _runs(flags: npt.NDArray[np.bool_]) -> list[Span]:
    steps = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return [(int(a), int(b)) for a, b in zip(begins, ends, strict=True)]


@pytest.mark.asyncio
async def test_levels_are_read_once_until_the_file_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> Any:
        read.append(path)
        return read_levels(path)

    monkeypatch.setattr("control.store.recordings.read_levels", counted)
    recordings = Recordings(tmp_path)
    path = tmp_path / "agent-1.wav"
    write(path, sound(1_000, [(0, 500)], []))
    first = await recordings.levels("agent-1")
    assert await recordings.levels("agent-1") == first
    assert len(read) == 1
    file = WavFile.open(path, RATE_HZ, "test")
    file.write(Block(RATE_HZ, sound(1_000, [], [(0, 500)]).tobytes()))
    file.close()
    second = await recordings.levels("agent-1")
    assert second is not None
    assert (second.duration_ms, len(read)) == (2_000, 2)
    recordings.forget_calls(["agent-1"])
    await recordings.levels("agent-1")
    assert len(read) == 3
    assert await recordings.delete(["agent-1", "agent-2"]) == 1
    assert await recordings.levels("agent-1") is None


@pytest.mark.asyncio
async def test_a_growing_recording_that_takes_long_to_read_is_not_read_at_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0

    def slow(path: Path) -> Any:
        nonlocal now_s
        now_s += 0.5
        return read_levels(path)

    monkeypatch.setattr("control.store.recordings.read_levels", slow)
    recordings = Recordings(tmp_path, now_s=lambda: now_s)
    for seconds, wait_s, expected_ms in ((1, 0.0, 1_000), (2, 9.9, 1_000), (3, 0.2, 3_000)):
        write(tmp_path / "agent-1.wav", sound(seconds * 1_000, [], []))
        now_s += wait_s
        levels = await recordings.levels("agent-1")
        assert levels is not None
        assert levels.duration_ms == expected_ms


@pytest.mark.asyncio
async def test_what_is_no_recording_has_no_levels(tmp_path: Path) -> None:
    for name, content in (("other", b"RIFF" + bytes(2_000)), ("short", b""), ("cut", b"RIFF")):
        (tmp_path / f"{name}.wav").write_bytes(content)
        assert await Recordings(tmp_path).levels(name) is None
    assert await Recordings(tmp_path).levels("missing") is None
    assert await Recordings(tmp_path).levels("../other") is None
    assert await Recordings(None).levels("other") is None
    # A file that says that it is longer than it is.
    whole = write(tmp_path / "whole.wav", sound(2_000, [(0, 1_000)], []))
    data = whole.read_bytes()
    (tmp_path / "half.wav").write_bytes(data[: len(data) // 2 + 1])
    half = await Recordings(tmp_path).levels("half")
    assert half is not None
    assert (half.duration_ms, len(half.user)) == (2_000, 100)
    assert max(half.user[60:]) == 0
