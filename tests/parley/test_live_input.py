"""`LiveInputQueue`: bounded, in order, from any thread."""

from __future__ import annotations

import threading

import pytest

from parley import live_input
from parley.live_input import LiveInput, LiveInputQueue, LiveQueueFullError


def taken(queue: LiveInputQueue) -> list[LiveInput]:
    items = []
    while (item := queue.take()) is not None:
        items.append(item)
    return items


def test_inputs_come_in_order_and_what_follows_the_end_is_dropped() -> None:
    queue = LiveInputQueue()
    queue.send_activity_start()
    queue.send_audio(b"\x01\x00" * 8, 8_000)
    queue.send_activity_end()
    queue.send_text("hello")
    queue.send_image(b"jpeg")
    queue.close()
    queue.close()
    queue.send_text("too late")
    queue.send_audio(b"\x00\x00")
    kinds = [item.kind for item in taken(queue)]
    assert kinds == ["activity_start", "audio", "activity_end", "text", "image"]
    assert queue.dropped == 2
    assert queue.is_closed


def test_a_full_queue_drops_its_oldest_audio_and_nothing_else() -> None:
    queue = LiveInputQueue(max_audio_s=1.0)
    second = bytes(2 * 8_000)
    queue.send_text("first")
    queue.send_audio(b"\x01\x00" * 8_000, 8_000)
    queue.send_activity_end()
    queue.send_audio(second, 8_000)
    items = taken(queue)
    assert [item.kind for item in items] == ["text", "activity_end", "audio"]
    assert items[-1].data == second
    assert queue.dropped == 1
    assert queue.waiting_s == 0


def test_the_end_of_a_piece_that_is_longer_than_the_queue_is_kept() -> None:
    queue = LiveInputQueue(max_audio_s=1.0)
    queue.send_text("first")
    queue.send_audio(b"\x01\x00" * 8_000 + b"\x02\x00" * 8_000, 8_000)
    text, audio = taken(queue)
    assert text.text == "first"
    assert audio.data == b"\x02\x00" * 8_000


@pytest.mark.parametrize(
    ("data", "rate"), [(b"\x00", 16_000), (b"\x00\x00", 3_999), (b"\x00\x00", 200_000)]
)
def test_wrong_audio_is_refused(data: bytes, rate: int) -> None:
    with pytest.raises(ValueError, match=r"even|sample_rate"):
        LiveInputQueue().send_audio(data, rate)


def test_wrong_texts_and_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        LiveInputQueue().send_text(" ")
    with pytest.raises(ValueError, match="positive"):
        LiveInputQueue(max_audio_s=0)


def test_too_many_other_inputs_are_refused_rather_than_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_input, "MAX_CONTROLS", 3)
    queue = LiveInputQueue()
    for _ in range(3):
        queue.interrupt()
    with pytest.raises(LiveQueueFullError):
        queue.send_text("one more")
    queue.take()
    queue.send_text("one more")
    assert queue.waiting == 3


def test_threads_may_send_at_once_and_the_consumer_hears_of_it() -> None:
    queue, news = LiveInputQueue(), threading.Semaphore(0)
    queue.attach(news.release)
    assert news.acquire(timeout=0)

    def send() -> None:
        for _ in range(500):
            queue.send_text("x")
            queue.send_audio(b"\x00\x00" * 80)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items = taken(queue)
    assert len(items) == 4_000
    assert news.acquire(timeout=0)
    with pytest.raises(RuntimeError, match="another call"):
        queue.attach(news.release)
    queue.detach()
    queue.attach(news.release)
