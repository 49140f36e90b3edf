"""Recognisers and voices that live in the application, for the local model in its own process.

`AudioAdapterServer` gives them the shape of `/v1/audio/transcriptions` and `/v1/audio/speech`, on
loopback and for the holder of a random key only.
"""

from __future__ import annotations

import hmac
import inspect
import io
import logging
import secrets
import wave
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

from aiohttp import hdrs, web

from audio import Resampler
from speech.engines.protocols import AnyRecogniser, AnyVoice, Recogniser, Voice
from speech.engines.shared import checked_transcript, resampled
from speech.engines.threaded import asynchronous_recogniser, asynchronous_voice
from speech.errors import EngineError
from speech.sample_rates import ENGINE_RATE_HZ

_log = logging.getLogger("parley.in_process")

MAX_UPLOAD_BYTES: Final = 16 * 1024 * 1024
_THREADS: Final = 4


class _FunctionRecogniser:
    """A function of PCM16 at 16 kHz that returns the text."""

    def __init__(self, function: Callable[[bytes], Any]) -> None:
        self._function = function

    def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Any:  # noqa: ARG002
        return self._function(pcm16k)


class _FunctionVoice:
    """A function of text that returns or yields PCM16 at 24 kHz."""

    sample_rate_hz = 24_000

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def synthesise(self, text: str, *, speed: float = 1.0) -> Any:  # noqa: ARG002
        return self._function(text)


def as_recogniser(adapter: Any) -> AnyRecogniser:
    """Return a `Recogniser`: the adapter, or one of a function `(pcm16k) -> text`.

    Raises:
        TypeError: it is neither.
    """
    if callable(getattr(adapter, "transcribe", None)):
        recogniser: AnyRecogniser = adapter
        return recogniser
    if callable(adapter):
        return _FunctionRecogniser(adapter)
    raise TypeError("an stt adapter is a function or has `transcribe(pcm16k, *, language)`")


def as_voice(adapter: Any) -> AnyVoice:
    """Return a `Voice`: the adapter, or one of a function `(text) -> PCM16 at 24 kHz`.

    Raises:
        TypeError: it is neither.
    """
    if callable(getattr(adapter, "synthesise", None)) and hasattr(adapter, "sample_rate_hz"):
        voice: AnyVoice = adapter
        return voice
    if callable(adapter) and not inspect.isclass(adapter):
        return _FunctionVoice(adapter)
    raise TypeError(
        "a tts adapter is a function or has `synthesise(text, *, speed)` and `sample_rate_hz`"
    )


class AudioAdapterServer:
    """Serves one recogniser and one voice; either may be absent."""

    def __init__(self, *, stt: AnyRecogniser | None, tts: AnyVoice | None) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="audio-adapter")
        self._recogniser: Recogniser | None = None
        self._voice: Voice | None = None
        if stt is not None:
            self._recogniser = asynchronous_recogniser(stt, self._threads)
        if tts is not None:
            self._voice = asynchronous_voice(tts, self._threads)
        self._key = secrets.token_urlsafe(32)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[dict[str, Any]]:
        """Serve, and give what a `cascade` says of these adapters."""
        app = web.Application(client_max_size=MAX_UPLOAD_BYTES)
        app.router.add_post("/v1/audio/transcriptions", self._handle_transcription)
        app.router.add_post("/v1/audio/speech", self._handle_speech)
        # A cancelled reply closes its request, which cancels the handler and with it the voice.
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            there = {
                "engine": "server",
                "base_url": f"http://127.0.0.1:{port}/v1",
                "api_key": self._key,
            }
            parts = {"recogniser": self._recogniser, "voice": self._voice}
            yield {name: dict(there) for name, part in parts.items() if part is not None}
        finally:
            await runner.cleanup()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _check_key(self, request: web.Request) -> None:
        shown = request.headers.get(hdrs.AUTHORIZATION, "").encode(errors="surrogateescape")
        if not hmac.compare_digest(shown, f"Bearer {self._key}".encode()):
            raise web.HTTPUnauthorized

    async def _handle_transcription(self, request: web.Request) -> web.Response:
        self._check_key(request)
        if self._recogniser is None:
            raise web.HTTPNotFound
        form = await request.post()
        upload, language = form.get("file"), form.get("language")
        if not isinstance(upload, web.FileField):
            raise web.HTTPBadRequest(text="file: a WAV file is needed")
        with upload.file as file:
            pcm = _read_wav(file.read())
        try:
            made = await self._recogniser.transcribe(
                pcm, language=language if isinstance(language, str) and language else None
            )
            transcript = checked_transcript(made)
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            return _failure("stt", error)
        return web.json_response({"text": transcript.text, "language": transcript.language})

    async def _handle_speech(self, request: web.Request) -> web.StreamResponse:
        self._check_key(request)
        if self._voice is None:
            raise web.HTTPNotFound
        text, speed = _read_speech_request(await request.json())
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        try:
            async with aclosing(resampled(self._voice, text, speed)) as pieces:
                async for pcm in pieces:
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(pcm)
        except ConnectionError:
            return response  # nobody listens to the rest
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            if not response.prepared:
                return _failure("tts", error)
            _log.warning("tts adapter failed: %s", type(error).__name__)
            if request.transport is not None:
                request.transport.abort()  # an orderly end would pass for the whole
        return response if response.prepared else web.Response(status=204)


def _read_wav(content: bytes) -> bytes:
    """Return PCM16 mono at 16 kHz. Raises: HTTPBadRequest: this is no such WAV file."""
    try:
        with wave.open(io.BytesIO(content), "rb") as wav:
            if (wav.getnchannels(), wav.getsampwidth()) != (1, 2):
                raise web.HTTPBadRequest(text="file: 16-bit mono is needed")
            resampler = Resampler(wav.getframerate(), ENGINE_RATE_HZ)
            return resampler.push(wav.readframes(wav.getnframes())) + resampler.flush()
    except (wave.Error, EOFError) as error:
        raise web.HTTPBadRequest(text="file: a WAV file is needed") from error


def _read_speech_request(body: Any) -> tuple[str, float]:
    text = body.get("input") if isinstance(body, dict) else None
    if not isinstance(text, str):
        raise web.HTTPBadRequest(text="input: text is needed")
    speed = body.get("speed", 1.0)
    return text, float(speed) if isinstance(speed, int | float) and 0.25 <= speed <= 4 else 1.0


def _failure(kind: str, error: Exception) -> web.Response:
    name = str(error) if isinstance(error, EngineError) else type(error).__name__
    _log.warning("%s adapter failed: %s", kind, name)
    return web.json_response({"error": {"message": f"{kind} adapter: {name}"}}, status=500)
