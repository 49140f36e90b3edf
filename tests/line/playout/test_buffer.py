"""The playout buffer: order, positions, endings, and falling silent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from line.playout.buffer import FramePart, PlayoutBuffer, PlayoutFrame, PlayoutPosition

RATE_HZ = 24_000
FRAME_SAMPLES = 480
FADE_SAMPLES = 120


def _pcm(samples: int, value: int = 1000) -> bytes:
    return np.full(samples, value, np.int16).tobytes()


def _position(key: str, samples: int, *, is_complete: bool = False) -> PlayoutPosition:
    return PlayoutPosition(key, samples, RATE_HZ, is_complete)


def test_plays_whole_frames_and_waits_for_the_rest() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(700))
    frame = buffer.take_frame()
    assert frame is not None
    assert frame.pcm == _pcm(480)
    assert frame.started == ("a",)
    assert buffer.position == _position("a", 480)
    assert buffer.position.played_ms == 20
    assert buffer.take_frame() is None
    buffer.push("a", _pcm(260))
    assert buffer.has_frame


def test_pads_the_last_frame_and_says_done_with_it() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(500))
    assert not buffer.finish("a")
    first = buffer.take_frame()
    assert first is not None
    assert first.done == ()
    second = buffer.take_frame()
    assert second is not None
    assert second.pcm == _pcm(20) + bytes(460 * 2)
    assert second.done == ("a",)
    buffer.push("b", _pcm(100))
    buffer.finish("b")
    last = buffer.take_frame()
    assert last is not None
    assert (last.started, last.done) == (("b",), ("b",))
    assert last.pcm == _pcm(100) + bytes(380 * 2)
    assert buffer.position is None


def test_one_frame_may_end_one_key_and_begin_the_next() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(100, 1))
    buffer.push("b", _pcm(400, 2))
    frame = buffer.take_frame()
    assert frame is not None
    assert frame.pcm == _pcm(100, 1) + _pcm(380, 2)
    assert (frame.started, frame.done) == (("a", "b"), ("a",))
    assert buffer.position == _position("b", 380)


def test_finish_after_the_last_sample_left_is_done_at_once() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(480))
    assert buffer.take_frame() is not None
    assert buffer.is_expecting
    assert buffer.finish("a")
    assert not buffer.finish("a")
    assert not buffer.is_expecting


def test_flush_takes_an_unfinished_rest() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push(None, _pcm(10))
    assert buffer.take_frame() is None
    assert buffer.take_bridge() is None
    frame = buffer.take_bridge(is_flush=True)
    assert frame is not None
    assert frame.pcm[:20] == _pcm(10)
    assert frame.started == (None,)
    assert frame.parts == (FramePart(None, 0, 0, 10),)


def test_clear_tells_where_each_key_stood_and_fades() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(4800, 10_000))
    buffer.push("b", _pcm(4800))
    buffer.take_frame()
    cleared = buffer.clear()
    assert cleared.positions == (_position("a", 600), _position("b", 0))
    assert cleared.fade is not None
    fade = np.frombuffer(cleared.fade.pcm, np.int16)
    assert len(fade) == FRAME_SAMPLES
    assert fade[0] == 10_000
    assert (np.diff(fade[:120].astype(int)) <= 0).all()
    assert not fade[119:].any()
    assert buffer.take_frame() is None
    assert buffer.clear().positions == ()


def test_clear_before_anything_was_heard_sends_nothing() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(4800))
    assert buffer.clear().fade is None


def test_clear_counts_what_is_complete() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(480))
    buffer.take_frame()
    assert buffer.clear().positions == (_position("a", 480),)
    buffer.push("b", _pcm(490))
    buffer.finish("b")
    buffer.take_frame()
    assert buffer.clear().positions == (_position("b", 490, is_complete=True),)


def test_overrun_is_dropped_and_counted() -> None:
    buffer = PlayoutBuffer(RATE_HZ, max_queued_s=0.1)
    buffer.push("a", _pcm(2400 + 7))
    buffer.push("a", _pcm(5))
    assert buffer.queued_ms == 100
    assert buffer.statistics.overrun_samples == 12


def test_refuses_half_samples() -> None:
    with pytest.raises(ValueError, match="even"):
        PlayoutBuffer(RATE_HZ).push("a", b"123")


class Listener:
    """Follows what leaves a buffer and what must leave it, sample by sample."""

    def __init__(self) -> None:
        self.buffer = PlayoutBuffer(RATE_HZ)
        self.pushed: dict[int, list[int]] = {}
        self.heard: dict[int, int] = {}
        self.key = 0
        self.finished: set[int] = set()
        self.done: list[object] = []

    def push(self, key: int, samples: int) -> None:
        """The samples of a key count up from 1000, so that each is told from its neighbours."""
        source = self.pushed.setdefault(key, [])
        pcm = np.arange(1000 + len(source), 1000 + len(source) + samples).astype(np.int16)
        source += pcm.tolist()
        self.buffer.push(key, pcm.tobytes())

    def take(self, frame: PlayoutFrame | None) -> None:
        """Nothing but the very next samples of each key, louder nowhere, whole after a fade."""
        if frame is None:
            return
        out = np.frombuffer(frame.pcm, np.int16)
        assert len(out) == FRAME_SAMPLES
        for part in frame.parts:
            assert isinstance(part.key, int)
            begin = self.heard.get(part.key, 0)
            assert part.first_sample == begin
            source = np.array(self.pushed[part.key][begin : begin + part.samples])
            sent = out[part.offset : part.offset + part.samples]
            assert len(source) == part.samples
            assert (sent <= source).all()
            assert (sent[FADE_SAMPLES:] == source[FADE_SAMPLES:]).all()
            self.heard[part.key] = begin + part.samples
        self.done += frame.done

    def do(self, step: str, count: int) -> None:
        """One thing that may happen to a playout."""
        buffer = self.buffer
        match step:
            case "push" if self.key not in self.finished:
                self.push(self.key, count)
            case "take":
                self.take_frames(count)
            case "bridge":
                self.take(buffer.take_bridge(is_flush=True))
            case "finish":
                self.finished.add(self.key)
                if buffer.finish(self.key):
                    self.done.append(self.key)
            case "pause":
                self.pause()
            case "resume":
                buffer.resume()
            case "clear":
                self.clear()
                self.key += 1
            case "next":
                self.key += 1

    def take_frames(self, count: int) -> None:
        """As many frames as there are, and no more than `count`."""
        for _ in range(count):
            self.take(self.buffer.take_frame())

    def pause(self) -> None:
        """In a pause nothing leaves but its fade."""
        self.take(self.buffer.pause())
        assert not self.buffer.has_frame
        assert self.buffer.take_frame() is None
        assert self.buffer.take_bridge(is_flush=True) is None

    def check(self) -> None:
        """What left and what waits add up to what was pushed, and positions say so."""
        left = sum(self.heard.values())
        waiting = sum(map(len, self.pushed.values())) - left
        assert self.buffer.statistics.played_samples == left
        assert self.buffer.queued_ms == pytest.approx(waiting * 1000 / RATE_HZ)
        if (position := self.buffer.position) is not None:
            assert isinstance(position.key, int)
            assert position.played_samples == self.heard[position.key]

    def clear(self) -> None:
        """Positions after a clear are what was heard; what waited is gone for good."""
        cleared = self.buffer.clear()
        self.take(cleared.fade)
        for position in cleared.positions:
            assert isinstance(position.key, int)
            assert position.played_samples == self.heard.get(position.key, 0)
        assert self.buffer.queued_ms == 0
        self.pushed = {key: self.pushed[key][:count] for key, count in self.heard.items()}


STEPS = st.one_of(
    st.tuples(st.just("push"), st.integers(0, 1500)),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["next", "finish", "bridge", "pause", "resume", "clear"]), st.none()),
)


@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_each_sample_leaves_once_in_order_or_not_at_all(
    steps: list[tuple[str, int | None]],
) -> None:
    listener = Listener()
    buffer = listener.buffer
    for step, count in steps:
        listener.do(step, count or 0)
        listener.check()
    buffer.resume()
    buffer.finish(listener.key)
    while buffer.queued_ms:
        listener.take(buffer.take_frame() or buffer.take_bridge(is_flush=True))
    listener.check()
    assert buffer.queued_ms == 0
    assert len(listener.done) == len(set(listener.done))


def test_a_gap_is_bridged_with_a_fade_and_counted_once() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(480 + 200))
    buffer.take_frame()
    bridge = buffer.take_bridge()
    assert bridge is not None
    out = np.frombuffer(bridge.pcm, np.int16).astype(int)
    assert (out[:200] == 1000).all()
    assert np.abs(np.diff(out)).max() < 20, "no step that would click"
    assert not out[320:].any()
    assert bridge.parts == (FramePart("a", 480, 0, 200),)
    assert buffer.take_bridge(is_flush=True) is None
    assert buffer.statistics.underruns == 1
    buffer.push("a", _pcm(480))
    frame = buffer.take_frame()
    assert frame is not None
    back = np.frombuffer(frame.pcm, np.int16).astype(int)
    assert back[0] == 0
    assert np.abs(np.diff(back)).max() < 20
    assert (back[FADE_SAMPLES:] == 1000).all()


def test_a_bridge_leaves_room_for_its_fade() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(480 + 479))
    buffer.take_frame()
    bridge = buffer.take_bridge()
    assert bridge is not None
    assert bridge.parts == (FramePart("a", 480, 0, 360),)
    assert buffer.queued_ms == pytest.approx(119 / 24)


def test_no_bridge_where_a_key_ends_or_before_it_begins() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(480))
    assert buffer.take_bridge() is None
    buffer.finish("a")
    assert buffer.take_frame() is not None
    assert buffer.take_bridge() is None
    assert buffer.statistics.underruns == 0


def test_a_pause_ends_and_resumes_with_a_fade_at_the_next_sample() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(2000))
    buffer.take_frame()
    fade = buffer.pause()
    assert fade is not None
    out = np.frombuffer(fade.pcm, np.int16)
    assert out[0] == 1000
    assert (np.diff(out[:120]) <= 0).all()
    assert not out[120:].any()
    assert buffer.pause() is None
    assert buffer.position == _position("a", 600)
    buffer.resume()
    frame = buffer.take_frame()
    assert frame is not None
    back = np.frombuffer(frame.pcm, np.int16)
    assert back[0] == 0
    assert (np.diff(back[:120]) >= 0).all()
    assert (back[120:] == 1000).all()
    assert buffer.position == _position("a", 1080)


def test_what_is_cleared_in_a_pause_ends_in_silence() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(2000))
    buffer.take_frame()
    buffer.pause()
    cleared = buffer.clear()
    assert cleared.fade is None
    assert cleared.positions == (_position("a", 600),)
    buffer.push("b", _pcm(480))
    frame = buffer.take_frame()
    assert frame is not None
    assert frame.pcm == _pcm(480)


@pytest.mark.parametrize("rest", [0, 60])
@pytest.mark.parametrize("how", ["clear", "pause"])
def test_a_cut_with_little_or_nothing_left_fades_too(how: str, rest: int) -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(480 + rest))
    buffer.take_frame()
    fade = buffer.pause() if how == "pause" else buffer.clear().fade
    assert fade is not None
    out = np.frombuffer(fade.pcm, np.int16).astype(int)
    assert len(out) == FRAME_SAMPLES
    assert out[0] == 1000
    assert (np.diff(out[:FADE_SAMPLES]) <= 0).all()
    assert not out[FADE_SAMPLES:].any()
    # A pause keeps so short a rest whole.
    assert sum(part.samples for part in fade.parts) == (rest if how == "clear" else 0)
    assert buffer.pause() is None
