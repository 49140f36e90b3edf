"""A model's side that costs little: it hears by loudness alone when a person has spoken, and answers."""

from __future__ import annotations

import base64
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from aiohttp import web

from load.lateness import LATE_S, Lateness
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults
from tests.fakes.openai_vocabulary import Vocabulary

SILENCE_S: Final = 0.3
"""After the last loud sound: the turn is over."""

_RATE_HZ: Final = 24_000
_LOUD: Final = 1500
_APPEND: Final = '{"type":"input_audio_buffer.append","audio":"'
_FRAMES_A_SECOND: Final = 50


class AnsweringSession(FakeSession):
    """Keeps none of the sound. appended: frames and late ones of each second of the wall clock"""

    def __init__(
        self, socket: web.WebSocketResponse, model: str, faults: Faults, vocabulary: Vocabulary
    ) -> None:
        super().__init__(socket, model, faults, vocabulary)
        self.appended: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        self._lateness = Lateness()
        self._stream_s = 0.0
        self._loud_s: float | None = None
        self._item_id = ""

    async def _handle(self, text: str) -> None:
        if not text.startswith(_APPEND):
            await super()._handle(text)
            return
        pcm = np.frombuffer(base64.b64decode(text[len(_APPEND) : -len('"}')]), np.int16)
        length_s = pcm.size / _RATE_HZ
        self._stream_s += length_s
        now_s, frames = time.monotonic(), round(length_s * _FRAMES_A_SECOND)
        second = self.appended[int(now_s)]
        second[0] += frames
        second[1] += frames * (self._lateness.add(self._stream_s, now_s) > LATE_S)
        await self._listen(is_loud=int(np.abs(pcm.astype(np.int32)).max(initial=0)) > _LOUD)

    async def _listen(self, *, is_loud: bool) -> None:
        if is_loud:
            if self._loud_s is None:
                self.sent.clear()
                self._item_id = await self.speech_started(audio_start_ms=int(self._stream_s * 1000))
            self._loud_s = self._stream_s
        elif self._loud_s is not None and self._stream_s - self._loud_s >= SILENCE_S:
            self._loud_s = None
            await self.speech_stopped(
                self._item_id, "a question", audio_end_ms=int(self._stream_s * 1000)
            )


class AnsweringModel(FakeRealtimeServer):
    """Answers each turn with the same speech."""

    def __init__(self, answer: bytes, words: str = "an answer") -> None:
        """answer: PCM16 at 24 kHz"""

        async def reply(session: FakeSession) -> None:
            await session.say(answer, words, pace=0.5)

        super().__init__(reply_with=reply)

    def _create_session(
        self, socket: web.WebSocketResponse, model: str, vocabulary: Vocabulary
    ) -> AnsweringSession:
        return AnsweringSession(socket, model, self.faults, vocabulary)


def appended_frames(sessions: Sequence[FakeSession], from_s: float, to_s: float) -> tuple[int, int]:
    """Return how many frames of people came in this time (monotonic seconds), and how many of them late."""
    frames = late = 0
    for session in sessions:
        assert isinstance(session, AnsweringSession)
        for second, (count, late_count) in session.appended.items():
            if from_s <= second < to_s:
                frames, late = frames + count, late + late_count
    return frames, late
