"""The line of our voice, without waiting: late timers, replies and pauses, minutes in moments."""

from __future__ import annotations

import itertools
import random
from collections.abc import Hashable

import numpy as np
import pytest

from line.playout.buffer import PlayoutBuffer, PlayoutFrame
from line.playout.pacer import Slot
from line.playout.sender import TAIL_FRAMES, PlayoutSender
from line.sounds.bed import SoundBed
from line.sounds.clip import Clip
from line.timing import RTP_CLOCK_HZ
from rtc.opus import OpusEncoder
from rtc.voice import OpusVoice
from tests.rtc.sound import tone

RATE_HZ = 24_000
TONE = tone(440, 0.1, RATE_HZ)


class Sent:
    """A line and what left it."""

    def __init__(self, bed: SoundBed | None = None) -> None:
        self.packets: list[tuple[bytes, int]] = []
        self.frames: list[tuple[PlayoutFrame, Slot]] = []
        self.done: list[Hashable] = []
        self.slots: list[Slot] = []
        self.line = PlayoutSender(
            PlayoutBuffer(RATE_HZ),
            on_frame=self._take_frame,
            on_started=lambda _key: None,
            on_done=self.done.append,
            bed=bed,
        )

        self._voice = OpusVoice(
            OpusEncoder(RATE_HZ, complexity=0),
            listeners=dict,
            is_heard=lambda: True,
            on_packet=lambda payload, ticks: self.packets.append((payload, ticks)),
        )

    def _take_frame(self, frame: PlayoutFrame, slot: Slot) -> None:
        self._voice.play(frame, slot)
        self.slots.append(slot)
        if frame.parts:
            self.frames.append((frame, slot))

    def run(self, now_s: float, until_s: float, late_s: random.Random | None = None) -> None:
        """As the clock does, with timers that come late."""
        while (next_s := self.line.next_s) is not None and next_s <= until_s:
            now_s = max(now_s, next_s) + (late_s.uniform(0, 0.03) if late_s else 0.0)
            self.line.send(now_s)
            self.line.announce()


def test_talk_with_late_timers_does_not_drift() -> None:
    sent = Sent()
    late_s = random.Random(1)
    now_s = 100.0
    for _ in range(600):
        sent.line.buffer.push("reply", TONE)
        sent.run(now_s, now_s + 0.06, late_s)
        now_s += 0.1
    sent.line.finish("reply")
    sent.run(now_s, now_s + 10, late_s)
    assert sent.done == ["reply"]
    assert len(sent.frames) == 600 * 5
    (first, begin), (last, end) = sent.frames[0], sent.frames[-1]
    assert end.due_s - begin.due_s == pytest.approx(60.0 - 0.02, abs=1e-6)
    assert end.ticks - begin.ticks == (600 * 5 - 1) * 960
    assert last.parts[0].first_sample - first.parts[0].first_sample == 24 * 59_980
    assert sent.line.stalls == 0
    assert sent.line.buffer.statistics.underruns == 0


def test_rtp_time_is_real_time_at_each_new_talk_spurt() -> None:
    sent = Sent()
    now_s = 50.0
    starts: list[tuple[float, int]] = []
    for number in range(40):
        sent.line.buffer.push(number, TONE)
        sent.line.finish(number)
        count = len(sent.packets)
        sent.run(now_s, now_s + 5)
        assert sent.line.next_s is None
        assert len(sent.packets) == count + 5 + TAIL_FRAMES
        starts.append((now_s, sent.packets[count][1]))
        now_s += 0.2 + number * 0.0371
    for at_s, ticks in starts:
        assert ticks == pytest.approx((at_s - 50.0) * RTP_CLOCK_HZ, abs=1)


def test_a_long_digital_silence_inside_a_reply_is_not_sent() -> None:
    sent = Sent()
    sent.line.buffer.push("a", TONE + bytes(2 * RATE_HZ * 2) + TONE)
    sent.line.finish("a")
    sent.run(10.0, 100.0)
    assert len(sent.packets) < 50
    ticks = [ticks for _, ticks in sent.packets]
    assert ticks == sorted(ticks)
    assert ticks[-1] == (5 + 100 + 5 + TAIL_FRAMES - 1) * 960


def lines_with_and_without_a_background() -> tuple[Sent, Sent]:
    bed = SoundBed(RATE_HZ)
    noise = np.random.default_rng(1).integers(-2_000, 2_000, RATE_HZ).astype(np.int16)
    bed.set_background(Clip(noise, is_loop=True), duck_db=-6)
    return Sent(bed), Sent()


def test_a_background_changes_nothing_of_what_counts_as_voice() -> None:
    lines = lines_with_and_without_a_background()
    positions = []
    for sent in lines:
        # One that is heard whole, one with a gap in the middle, one that is cut.
        sent.run(0.0, 1.0)
        sent.line.buffer.push("whole", TONE)
        sent.line.finish("whole")
        sent.run(1.0, 2.0)
        sent.line.buffer.push("gap", TONE[:-500])
        sent.run(2.0, 2.3)
        sent.line.buffer.push("gap", TONE)
        sent.line.finish("gap")
        sent.run(2.3, 3.0)
        for _ in range(10):
            sent.line.buffer.push("cut", TONE)
        sent.run(3.0, 3.25)
        positions.append(sent.line.clear(3.25))
        sent.run(3.25, 5.0)
    mixed, alone = lines
    assert mixed.done == alone.done == ["whole", "gap"]
    uncut = [
        [
            (frame.parts, frame.pcm if frame.voice is None else frame.voice)
            for frame, _ in each.frames
        ]
        for each in lines
    ]
    assert uncut[0][:9] == uncut[1][:9]
    for sent, (cut,) in zip(lines, positions, strict=True):
        parts = [part for frame, _ in sent.frames for part in frame.parts if part.key == "cut"]
        assert cut.played_samples == sum(part.samples for part in parts)
        assert cut.played_samples == pytest.approx(0.25 * RATE_HZ, abs=RATE_HZ / 50)
    assert len(mixed.slots) >= 250, "silence is sent, as long as there is a background"
    assert mixed.line.buffer.statistics.underruns == alone.line.buffer.statistics.underruns == 1


def test_a_background_has_one_grid_from_its_beginning_to_its_end() -> None:
    sent, _ = lines_with_and_without_a_background()
    late_s = random.Random(1)
    for second in range(60):
        sent.line.buffer.push(second, TONE)
        sent.line.finish(second)
        sent.run(second, second + 1, late_s)
    ticks = [slot.ticks for slot in sent.slots]
    assert len(ticks) > 2_990
    assert {after - before for before, after in itertools.pairwise(ticks)} == {960}
