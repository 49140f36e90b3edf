"""The queue of a slow client: the oldest audio goes, all else stays, and is bounded."""

from __future__ import annotations

from bridge.outgoing_queue import MAX_AUDIO_MESSAGES, MAX_BYTES, OutgoingQueue


def test_the_oldest_audio_goes_and_everything_else_keeps_its_place() -> None:
    queue = OutgoingQueue()
    queue.put("first", is_audio=False)
    for number in range(MAX_AUDIO_MESSAGES + 3):
        queue.put(bytes([number]), is_audio=True)
        if number == 1:
            queue.put("second", is_audio=False)
    queue.put("third", is_audio=False)
    taken = []
    while queue:
        taken.append(queue.take().message)
    assert queue.dropped_audio == 3
    audio = [bytes([number]) for number in range(3, MAX_AUDIO_MESSAGES + 3)]
    assert taken == ["first", "second", *audio, "third"]
    # What was taken makes room again.
    queue.put(b"x", is_audio=True)
    assert queue.dropped_audio == 3


def test_too_much_that_must_not_be_dropped_is_too_long() -> None:
    queue = OutgoingQueue()
    queue.put("x" * MAX_BYTES, is_audio=False)
    assert not queue.is_too_long
    queue.put("x", is_audio=False)
    assert queue.is_too_long
    queue.clear()
    assert not queue
    assert not queue.is_too_long
