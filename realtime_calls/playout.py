"""The output audio buffer of a call: replies are played by the server, and cut when it is told to.

Emits `output_audio_buffer.started`, `.stopped` and `.cleared`, and knows what of each reply was heard.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, Protocol

from line.playout.buffer import PlayoutPosition
from realtime import struct as wire
from speech.output_audio import HeardItem


class Voice(Protocol):
    """The part that plays the audio: `line.playout.outgoing.Outgoing`."""

    def push(self, key: Hashable, pcm: bytes) -> None:
        """Queue audio under `key`."""

    def finish(self, key: Hashable) -> None:
        """Mark the audio of `key` as complete."""

    def clear(self) -> list[PlayoutPosition]:
        """Fall silent now; where each key stood."""


class AudioKey(NamedTuple):
    """One audio part of a reply."""

    response_id: str
    item_id: str
    content_index: int


class _Response:
    def __init__(self) -> None:
        # Audio that has not left completely.
        self.keys: set[AudioKey] = set()
        self.has_started = False
        # No more audio follows.
        self.is_done = False
        # Cleared while its audio was still being made: the rest is not played either.
        self.is_cleared = False


class CallPlayout:
    """An `OutputAudioBuffer`. `attach` it to its voice, then hand it the session's events."""

    def __init__(self, emit: Callable[[wire.WireEvent], None]) -> None:
        """emit: gets the events of the buffer"""
        self._emit = emit
        self._voice: Voice | None = None
        self._responses: dict[str, _Response] = {}

    def attach(self, voice: Voice) -> None:
        """Play with `voice`, which calls `handle_started` and `handle_done`."""
        self._voice = voice

    # -- the session's events ------------------------------------------------------------------

    def push(self, delta: wire.ResponseOutputAudioDelta) -> None:
        """Queue a piece of a reply."""
        response = self._responses.setdefault(delta.response_id, _Response())
        if response.is_cleared or self._voice is None:
            return
        key = AudioKey(delta.response_id, delta.item_id, delta.content_index)
        response.keys.add(key)
        self._voice.push(key, wire.decode_pcm(delta.delta))

    def finish(self, done: wire.ResponseOutputAudioDone) -> None:
        """No more of this part follows."""
        if self._voice is not None:
            self._voice.finish(AudioKey(done.response_id, done.item_id, done.content_index))

    def end_response(self, response_id: str) -> None:
        """No more of this reply follows; call it after its `response.done` was sent."""
        response = self._responses.get(response_id)
        if response is not None:
            response.is_done = True
            self._forget_played(response_id, response)

    # -- the voice -----------------------------------------------------------------------------

    def handle_started(self, key: Hashable) -> None:
        """The first sample of `key` left."""
        assert isinstance(key, AudioKey)
        response = self._responses.get(key.response_id)
        if response is not None and not response.has_started:
            response.has_started = True
            self._emit(wire.OutputAudioBufferStarted(response_id=key.response_id))

    def handle_done(self, key: Hashable) -> None:
        """The last sample of `key` left."""
        assert isinstance(key, AudioKey)
        response = self._responses.get(key.response_id)
        if response is not None:
            response.keys.discard(key)
            self._forget_played(key.response_id, response)

    def _forget_played(self, response_id: str, response: _Response) -> None:
        if response.keys or not response.is_done:
            return
        del self._responses[response_id]
        if response.has_started and not response.is_cleared:
            self._emit(wire.OutputAudioBufferStopped(response_id=response_id))

    # -- interruption --------------------------------------------------------------------------

    def clear(self) -> Sequence[HeardItem]:
        """Fall silent; see `OutputAudioBuffer`."""
        if self._voice is None:
            return ()
        heard = [
            HeardItem(key.item_id, key.content_index, int(position.heard_ms))
            for position in self._voice.clear()
            if isinstance(key := position.key, AudioKey)
        ]
        for response_id, response in list(self._responses.items()):
            if response.keys:
                self._emit(wire.OutputAudioBufferCleared(response_id=response_id))
            response.keys.clear()
            response.is_cleared = True
            self._forget_played(response_id, response)
        return heard
