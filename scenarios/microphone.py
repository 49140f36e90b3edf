"""A person's microphone: what they say, in the noise behind them if there is any."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from rtc.channel import Channel
from scenarios.format import Noise
from scenarios.sound import SAMPLE_RATE_HZ, SPEECH_RMS, make_noise, mix, voice_span_s

_CHUNK_BYTES: Final = SAMPLE_RATE_HZ // 10 * 2
"""Of noise, 100 ms: so much later than asked for may a voice begin in it."""

_NOISE_S: Final = 7.0
"""After so long the noise repeats itself."""


@dataclass
class Utterance:
    """Something said. Loop times in seconds: its first and last sound; None: not yet.

    done: all of it has left, or was dropped
    """

    pcm: bytes
    text: str = ""
    began_s: float | None = None
    ended_s: float | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Microphone:
    """Plays utterances over a channel that is connected. Times are loop times.

    Attributes:
        sent: All that left, and when.
    """

    def __init__(self, channel: Channel, noise: Noise | None = None) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self._channel = channel
        self._numbers = itertools.count()
        self._playing: dict[Hashable, _Piece] = {}
        self._waiting: list[_Piece] = []
        self._noise = b""
        self._noise_at = 0
        if noise is not None:
            level = SPEECH_RMS / 10 ** (noise.snr_db / 20)
            self._noise = make_noise(_NOISE_S, level, noise.kind, noise.seed)
        channel.on("playout_started", self._handle_started)
        channel.on("playout_done", self._handle_done)

    def start(self) -> None:
        """Begin to send the noise, if there is one."""
        if self._noise:
            for _ in range(2):
                self._push_chunk()

    def say(self, pcm: bytes, text: str = "") -> Utterance:
        """Begin to say something; after what is being said."""
        utterance = Utterance(pcm, text)
        if not pcm:
            utterance.began_s = utterance.ended_s = asyncio.get_running_loop().time()
            utterance.done.set()
        elif self._noise:
            pieces = [pcm[at : at + _CHUNK_BYTES] for at in range(0, len(pcm), _CHUNK_BYTES)]
            self._waiting += [
                _Piece(piece, utterance, is_first=at == 0, is_last=at == len(pieces) - 1)
                for at, piece in enumerate(pieces)
            ]
        else:
            self._push(_Piece(pcm, utterance, is_first=True, is_last=True))
        return utterance

    def stop(self) -> None:
        """Fall silent now; what is left of all utterances is dropped."""
        self._channel.clear_sender_audio_buffer()
        now_s = asyncio.get_running_loop().time()
        for piece in (*self._playing.values(), *self._waiting):
            if (utterance := piece.utterance) is not None and not utterance.done.is_set():
                utterance.ended_s = utterance.ended_s or now_s
                utterance.done.set()
        self._playing.clear()
        self._waiting.clear()
        self.start()

    def close(self) -> None:
        """Fall silent for good, the noise too."""
        self._noise = b""
        self.stop()

    def _push(self, piece: _Piece) -> None:
        key = ("scenario", next(self._numbers))
        self._playing[key] = piece
        self._channel.push_audio_frame(piece.pcm, key=key)
        self._channel.finish_audio(key)

    def _push_chunk(self) -> None:
        at, self._noise_at = self._noise_at, (self._noise_at + _CHUNK_BYTES) % len(self._noise)
        chunk = (self._noise[at:] + self._noise)[:_CHUNK_BYTES]
        if not self._waiting:
            self._push(_Piece(chunk))
            return
        piece = self._waiting.pop(0)
        piece.pcm = mix(chunk, piece.pcm)
        self._push(piece)

    def _handle_started(self, key: Hashable) -> None:
        if (piece := self._playing.get(key)) is None:
            return
        now_s = asyncio.get_running_loop().time()
        piece.started_s = now_s
        self.sent.append((now_s, piece.pcm))
        if piece.utterance is not None and piece.is_first:
            piece.utterance.began_s = now_s + voice_span_s(piece.utterance.pcm)[0]

    def _handle_done(self, key: Hashable) -> None:
        if (piece := self._playing.pop(key, None)) is None:
            return
        utterance = piece.utterance
        if utterance is not None and piece.is_last:
            length_s = len(utterance.pcm) / 2 / SAMPLE_RATE_HZ
            tail_s = length_s - voice_span_s(utterance.pcm)[1]
            utterance.ended_s = asyncio.get_running_loop().time() - tail_s
            utterance.done.set()
        if self._noise:
            self._push_chunk()


@dataclass
class _Piece:
    """Sound under one playout key."""

    pcm: bytes
    utterance: Utterance | None = None
    is_first: bool = False
    is_last: bool = False
    started_s: float | None = None
