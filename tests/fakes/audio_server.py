"""A server of `/v1/audio/transcriptions` and `/v1/audio/speech`, scripted, with the faults of real ones."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import wave
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

from tests.fakes.ports import lasting_port

TONE_MS = 100
RATE_HZ = 24_000


def tone(milliseconds: int = TONE_MS, rate_hz: int = RATE_HZ) -> bytes:
    """A tone as PCM16."""
    times = np.arange(rate_hz * milliseconds // 1000) / rate_hz
    return bytes((8_000 * np.sin(times * 2 * np.pi * 440)).astype(np.int16).tobytes())


def streamed_wav(pcm: bytes, rate_hz: int, channels: int = 1, bits: int = 16) -> bytes:
    """A WAV file as servers stream it, with a length that means nothing."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * frame, frame, bits)
    head = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", len(form)) + form
    return head + b"LIST\x02\x00\x00\x00ab" + b"data\xff\xff\xff\xff" + pcm


@dataclass
class Heard:
    """A request for a transcription."""

    fields: dict[str, str]
    authorization: str | None
    rate_hz: int
    pcm: bytes


@dataclass
class Spoken:
    """A request for speech."""

    fields: dict[str, Any]
    authorization: str | None


@dataclass
class AudioServer:
    """Answers by what is set here.

    texts: of the next transcriptions; then `text`
    answer: of a transcription, in place of a sound one
    statuses: of the next requests; then 200
    go: nothing is answered until it is set
    pieces: of the audio that is spoken
    holds_after: pieces that are sent without waiting for `go`
    breaks_after: pieces after which the connection is cut
    """

    text: str = "hello"
    texts: deque[str] = field(default_factory=deque)
    answer: tuple[str, bytes] | None = None
    statuses: deque[int] = field(default_factory=deque)
    content_type: str = "audio/pcm"
    pieces: list[bytes] = field(default_factory=lambda: [tone(), tone(), tone()])
    holds_after: int = 0
    breaks_after: int | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)
    heard: list[Heard] = field(default_factory=list)
    spoken: list[Spoken] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client closed the connection before its answer was over."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first request."""

    def __post_init__(self) -> None:
        self.go.set()

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_post("/v1/audio/transcriptions", self._transcribe)
        app.router.add_post("/v1/audio/speech", self._speak)
        return app

    def _refusal(self) -> web.Response | None:
        self.asked.set()
        status = self.statuses.popleft() if self.statuses else 200
        if status == 200:
            return None
        return web.json_response({"error": {"message": f"scripted {status}"}}, status=status)

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        upload = form["file"]
        assert isinstance(upload, web.FileField)
        with wave.open(io.BytesIO(upload.file.read()), "rb") as wav:
            rate_hz, pcm = wav.getframerate(), wav.readframes(wav.getnframes())
            assert (wav.getnchannels(), wav.getsampwidth()) == (1, 2)
        upload.file.close()
        self.heard.append(Heard(fields, request.headers.get("Authorization"), rate_hz, pcm))
        if (refusal := self._refusal()) is not None:
            return refusal
        await self._wait_to_go()
        if self.answer is not None:
            content_type, content = self.answer
            return web.Response(body=content, content_type=content_type)
        text = self.texts.popleft() if self.texts else self.text
        return web.json_response({"text": text})

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        fields = json.loads(await request.text())
        self.spoken.append(Spoken(fields, request.headers.get("Authorization")))
        if (refusal := self._refusal()) is not None:
            return refusal
        response = web.StreamResponse(headers={"Content-Type": self.content_type})
        if not self.holds_after:
            await self._wait_to_go()
        await response.prepare(request)
        try:
            for number, piece in enumerate(self.pieces):
                if number == self.breaks_after:
                    assert request.transport is not None
                    request.transport.abort()
                    return response
                if number >= self.holds_after:
                    await self._wait_to_go()
                await response.write(piece)
            await response.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            self.left.set()
            raise
        return response

    async def _wait_to_go(self) -> None:
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise


@asynccontextmanager
async def audio_server() -> AsyncIterator[tuple[AudioServer, str]]:
    """The server, and its address with the version."""
    server = AudioServer()
    # A handler whose client has left is cancelled: that is how it is noticed while it waits.
    runner = web.AppRunner(
        server.application(), access_log=None, shutdown_timeout=0.2, handler_cancellation=True
    )
    await runner.setup()
    port = lasting_port("127.0.0.1")
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield server, f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()
