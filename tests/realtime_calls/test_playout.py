"""The output audio buffer: what it announces, in what order, and what was heard when it is cleared."""

from __future__ import annotations

from collections.abc import Hashable

from line.playout.buffer import PlayoutPosition
from realtime import struct as wire
from realtime_calls.playout import AudioKey, CallPlayout
from speech.output_audio import HeardItem

A1, A2, B1 = AudioKey("a", "a1", 0), AudioKey("a", "a2", 0), AudioKey("b", "b1", 0)


class _Voice:
    """Keeps what it is given; the test says how much of it has left."""

    def __init__(self) -> None:
        self.pushed: dict[Hashable, bytes] = {}
        self.finished: list[Hashable] = []
        self.heard_ms: dict[Hashable, int] = {}

    def push(self, key: Hashable, pcm: bytes) -> None:
        self.pushed[key] = self.pushed.get(key, b"") + pcm

    def finish(self, key: Hashable) -> None:
        self.finished.append(key)

    def clear(self) -> list[PlayoutPosition]:
        heard = [PlayoutPosition(key, ms * 24, 24_000) for key, ms in self.heard_ms.items()]
        self.heard_ms = {}
        return heard


class _Stage:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.voice = _Voice()
        self.playout = CallPlayout(self._note)
        self.playout.attach(self.voice)

    def _note(self, event: wire.WireEvent) -> None:
        kind = str(event.type).removeprefix("output_audio_buffer.")  # type: ignore[attr-defined]
        self.events.append((kind, event.response_id))  # type: ignore[attr-defined]

    def push(self, key: AudioKey) -> None:
        self.playout.push(
            wire.ResponseOutputAudioDelta(
                response_id=key.response_id,
                item_id=key.item_id,
                output_index=0,
                content_index=key.content_index,
                delta=wire.encode_pcm(b"\1\0"),
            )
        )


def test_a_reply_of_two_parts_starts_once_and_stops_once_all_has_left() -> None:
    stage = _Stage()
    stage.push(A1)
    stage.push(A1)
    assert stage.voice.pushed == {A1: b"\1\0\1\0"}
    stage.playout.handle_started(A1)
    stage.push(A2)
    stage.playout.handle_done(A1)
    stage.playout.handle_started(A2)
    stage.playout.end_response("a")
    assert stage.events == [("started", "a")]
    stage.playout.handle_done(A2)
    assert stage.events == [("started", "a"), ("stopped", "a")]


def test_it_stops_after_the_response_is_done() -> None:
    stage = _Stage()
    stage.push(A1)
    stage.playout.handle_started(A1)
    stage.playout.handle_done(A1)
    assert stage.events == [("started", "a")]
    stage.playout.end_response("a")
    assert stage.events == [("started", "a"), ("stopped", "a")]


def test_a_reply_without_audio_announces_nothing() -> None:
    stage = _Stage()
    stage.playout.end_response("a")
    assert stage.playout.clear() == []
    assert stage.events == []


def test_clearing_reports_what_was_heard_of_each_reply() -> None:
    stage = _Stage()
    stage.push(A1)
    stage.playout.handle_started(A1)
    stage.playout.end_response("a")
    stage.push(B1)
    stage.voice.heard_ms = {A1: 1_200, B1: 0}
    assert stage.playout.clear() == [HeardItem("a1", 0, 1_200), HeardItem("b1", 0, 0)]
    assert stage.events == [("started", "a"), ("cleared", "a"), ("cleared", "b")]
    assert stage.playout.clear() == []
    assert len(stage.events) == 3


def test_what_is_still_made_of_a_cleared_reply_is_not_played() -> None:
    stage = _Stage()
    stage.push(A1)
    stage.playout.handle_started(A1)
    stage.playout.clear()
    stage.push(A1)
    stage.push(A2)
    assert stage.voice.pushed == {A1: b"\1\0"}
    stage.playout.end_response("a")
    assert stage.events == [("started", "a"), ("cleared", "a")]
    stage.push(B1)
    assert B1 in stage.voice.pushed
