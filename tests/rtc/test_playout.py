"""The playout buffer: order, positions, endings, and falling silent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.playout import PlayoutBuffer, PlayoutPosition

RATE_HZ = 24_000
FRAME_SAMPLES = 480


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
    assert buffer.statistics.underruns == 1
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
    frame = buffer.take_frame(is_flush=True)
    assert frame is not None
    assert frame.pcm == _pcm(10) + bytes(470 * 2)


def test_clear_tells_where_each_key_stood_and_fades() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(4800, 10_000))
    buffer.push("b", _pcm(4800))
    buffer.take_frame()
    cleared = buffer.clear()
    assert cleared.positions == (_position("a", 600), _position("b", 0))
    assert cleared.fade is not None
    fade = np.frombuffer(cleared.fade, np.int16)
    assert len(fade) == FRAME_SAMPLES
    assert fade[0] == 10_000
    assert (np.diff(fade[:120].astype(int)) <= 0).all()
    assert not fade[119:].any()
    assert buffer.take_frame(is_flush=True) is None
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


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1200), st.integers(0, 3)), max_size=30),
)
def test_everything_pushed_leaves_once_in_order(pushes: list[tuple[int, int, int]]) -> None:
    """Keys only ever grow (a reply does not go back), any sizes, frames taken in between."""
    buffer = PlayoutBuffer(RATE_HZ)
    sent: list[int] = []
    left: list[int] = []
    key, value = 0, 0
    for step, samples, takes in pushes:
        key += step
        pcm = np.arange(value + 1, value + samples + 1).astype(np.int16)
        value += samples
        sent += pcm.tolist()
        buffer.push(key, pcm.tobytes())
        for _ in range(takes):
            if (frame := buffer.take_frame()) is not None:
                left += np.frombuffer(frame.pcm, np.int16).tolist()
    while (frame := buffer.take_frame(is_flush=True)) is not None:
        left += np.frombuffer(frame.pcm, np.int16).tolist()
    assert left[: len(sent)] == sent
    assert not any(left[len(sent) :])
    assert buffer.statistics.played_samples == len(sent)
    assert buffer.queued_ms == 0


@given(
    length=st.integers(1, 4000),
    pauses=st.lists(st.integers(0, 12), max_size=4),
    is_finished=st.booleans(),
)
def test_pauses_lose_and_repeat_nothing(length: int, pauses: list[int], is_finished: bool) -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(length))
    if is_finished:
        buffer.finish("a")
    heard: list[bytes] = []
    done: list[object] = []
    fades = 0
    for count in [*pauses, 99]:
        for _ in range(count):
            if (frame := buffer.take_frame(is_flush=True)) is not None:
                heard.append(frame.pcm)
                done += frame.done
        if (fade := buffer.pause()) is not None:
            fades += 1
            heard.append(fade)
        assert not buffer.has_frame
        assert buffer.take_frame(is_flush=True) is None
        buffer.resume()
    # A fade makes samples smaller, and just one of its own silent.
    assert np.count_nonzero(np.frombuffer(b"".join(heard), np.int16)) == length - 2 * fades
    assert buffer.queued_ms == 0
    assert done == (["a"] if is_finished else [])


def test_a_pause_ends_and_resumes_with_a_fade_at_the_next_sample() -> None:
    buffer = PlayoutBuffer(RATE_HZ)
    buffer.push("a", _pcm(2000))
    buffer.take_frame()
    fade = buffer.pause()
    assert fade is not None
    out = np.frombuffer(fade, np.int16)
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
