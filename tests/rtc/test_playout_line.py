"""The line of our voice, without waiting: late timers, replies and pauses, minutes in moments."""

from __future__ import annotations

import random
from collections.abc import Hashable

import pytest

from rtc.opus import OpusEncoder
from rtc.playout import PlayoutBuffer, PlayoutFrame
from rtc.playout_line import TAIL_FRAMES, PlayoutLine
from rtc.playout_pace import RTP_CLOCK_HZ, Slot
from tests.rtc.sound import tone

RATE_HZ = 24_000
TONE = tone(440, 0.1, RATE_HZ)


class Sent:
    """A line and what left it."""

    def __init__(self) -> None:
        self.packets: list[tuple[bytes, int]] = []
        self.frames: list[tuple[PlayoutFrame, Slot]] = []
        self.done: list[Hashable] = []
        self.line = PlayoutLine(
            PlayoutBuffer(RATE_HZ),
            OpusEncoder(RATE_HZ, complexity=0),
            on_packet=lambda payload, ticks: self.packets.append((payload, ticks)),
            on_frame=lambda frame, slot: self.frames.append((frame, slot)),
            on_started=lambda _key: None,
            on_done=self.done.append,
        )

    def run(self, now_s: float, until_s: float, late_s: random.Random | None = None) -> None:
        """As the clock does, with timers that come late."""
        while (next_s := self.line.next_s) is not None and next_s <= until_s:
            now_s = max(now_s, next_s) + (late_s.uniform(0, 0.03) if late_s else 0.0)
            self.line.tick(now_s)


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
