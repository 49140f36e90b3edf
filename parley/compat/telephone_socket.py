"""Audio over a WebSocket in the frames of Twilio's media streams, to and from a call in-process.

Up: `start`, `media` (base64), `mark`, `stop`. Down: `media`, `mark`, `clear`. Marks say what was played, so
that an interruption cuts the reply exactly there.
"""

from __future__ import annotations

import base64
import json
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

from audio import Resampler
from bridge import g711
from parley.in_process.event_backlog import EventBacklog
from parley.in_process.live_call import CallItem, CallOver, VoiceCleared, VoiceDelta
from parley.live_input import LiveInputQueue
from realtime.playback import RealtimePlaybackTracker
from untrusted.json_reader import InvalidJsonError, read_base64, read_object

TELEPHONE_RATE_HZ: Final = 8_000
MAX_MARKS: Final = 10_000
"""Marks without an answer; of more, the oldest count as played."""

_log = logging.getLogger("parley.compat")


class Socket(Protocol):
    """A WebSocket as FastAPI and Starlette have it."""

    def iter_text(self) -> AsyncIterator[str]:
        """Text frames until the other side closes."""
        ...

    async def send_text(self, data: str) -> None:
        """Send a text frame."""
        ...


class TelephoneSocket:
    """One connection. `handle_item` gets what happens in the call, `run` serves until the end."""

    def __init__(self, socket: Socket, *, sample_rate_hz: int, is_telephone: bool) -> None:
        """
        sample_rate_hz: of the audio both ways
        is_telephone: it is G.711 u-law instead of PCM16
        """
        self.tracker = RealtimePlaybackTracker()
        self._socket = socket
        self._rate_hz = sample_rate_hz
        self._is_telephone = is_telephone
        self._stream_id = ""
        self._to_send: EventBacklog[dict[str, Any]] = EventBacklog(self._audio_s)
        # Name of each mark that is on its way, and the audio before it: item, part and milliseconds.
        self._marks: deque[tuple[str, str, int, float]] = deque()
        self._count = 0
        self._resampler: Resampler | None = None

    # -- to the client -----------------------------------------------------------------------------

    def handle_item(self, item: CallItem) -> None:
        """Take what happens in the call; returns at once."""
        match item:
            case VoiceDelta():
                self._play(item)
            case VoiceCleared():
                self._to_send.drop(lambda frame: frame["event"] in ("media", "mark"))
                self._marks.clear()
                self._to_send.put(self._frame("clear"))
            case CallOver():
                self._to_send.finish()
            case _:
                pass

    def _play(self, voice: VoiceDelta) -> None:
        if self._resampler is None:
            self._resampler = Resampler(voice.sample_rate_hz, self._rate_hz)
        if pcm := self._resampler.push(voice.pcm):
            data = g711.encode("ulaw", pcm) if self._is_telephone else pcm
            payload = base64.b64encode(data).decode()
            self._to_send.put(self._frame("media", media={"payload": payload}))
        self._count += 1
        name = f"{voice.item_id}/{self._count}"
        length_ms = len(voice.pcm) / 2 / voice.sample_rate_hz * 1000
        self._marks.append((name, voice.item_id, voice.content_index, length_ms))
        if len(self._marks) > MAX_MARKS:
            self._handle_mark(self._marks[0][0])
        self._to_send.put(self._frame("mark", mark={"name": name}))

    def _frame(self, event: str, **fields: Any) -> dict[str, Any]:
        return {"event": event, "streamSid": self._stream_id, **fields}

    def _audio_s(self, frame: dict[str, Any]) -> float:
        if frame["event"] != "media":
            return 0.0
        size = 1 if self._is_telephone else 2
        return len(frame["media"]["payload"]) * 3 / 4 / size / self._rate_hz

    async def send(self) -> None:
        """Send what is to be sent, until the end of the call."""
        while (frame := await self._to_send.get()) is not None:
            await self._socket.send_text(json.dumps(frame))

    # -- from the client ---------------------------------------------------------------------------

    async def receive(self, queue: LiveInputQueue) -> None:
        """Pass on what the client says, until it stops or closes. Wrong frames are ignored."""
        async for text in self._socket.iter_text():
            try:
                frame = read_object(text)
                if frame.get("event") == "stop":
                    return
                self._take(frame, queue)
            except (InvalidJsonError, ValueError, KeyError, TypeError) as error:
                _log.debug("a frame of a media stream was ignored: %s", type(error).__name__)

    def _take(self, frame: dict[str, Any], queue: LiveInputQueue) -> None:
        match frame.get("event"):
            case "start":
                self._stream_id = str(frame["start"]["streamSid"])
            case "media":
                data = read_base64(frame["media"]["payload"])
                pcm = g711.decode("ulaw", data) if self._is_telephone else data
                queue.send_audio(pcm, self._rate_hz)
            case "mark":
                self._handle_mark(str(frame["mark"]["name"]))
            case _:
                pass

    def _handle_mark(self, name: str) -> None:
        """Note that all audio before this mark was played."""
        if not any(each[0] == name for each in self._marks):
            return
        while self._marks:
            mark, item_id, content_index, length_ms = self._marks.popleft()
            self.tracker.on_play_ms(item_id, content_index, length_ms)
            if mark == name:
                return
