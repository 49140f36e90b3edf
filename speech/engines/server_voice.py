"""Text to speech by any server of OpenAI's `/v1/audio/speech` shape, as it streams."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any, Final

from pydantic import SecretStr

from audio import Resampler
from speech.engines.speech_server import SpeechServer
from speech.engines.wav_stream import WavStream
from speech.errors import EngineError
from speech.sample_rates import WIRE_RATE_HZ

READ_TIMEOUT_S: Final = 10.0
MAX_CLAUSE_S: Final = 120.0
"""No clause is that long; a stream without an end is cut there."""

_PATH: Final = "/audio/speech"
_RATE: Final = re.compile(r"rate=(\d{4,6})")
_SOUND_TYPES: Final = ("audio/", "application/octet-stream")
_OTHER_FORMATS: Final = re.compile(r"mpeg|mp3|ogg|opus|aac|flac|webm")


class ServerVoices:
    """The voices of one server."""

    def __init__(
        self,
        base_url: str,
        *,
        model: str,
        api_key: SecretStr | None = None,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._server = SpeechServer(base_url, api_key, read_timeout_s=timeout_s)
        self._model = model

    def voice(self, name: str) -> ServerVoice:
        """Return the voice that the server knows by this name."""
        return ServerVoice(self._server, self._model, name)


class ServerVoice:
    """One voice of a server: PCM at 24 kHz is asked for, WAV is understood."""

    sample_rate_hz = WIRE_RATE_HZ

    def __init__(self, server: SpeechServer, model: str, name: str) -> None:
        self._server = server
        self._model = model
        self._name = name

    async def synthesise(self, text: str, *, speed: float = 1.0) -> AsyncGenerator[bytes, None]:
        """Yield PCM16 as it arrives; closing this closes the request.

        Raises:
            EngineError: no sound answer in time, or a stream that broke off.
        """
        fields: dict[str, Any] = {
            "model": self._model,
            "input": text,
            "voice": self._name,
            "response_format": "pcm",
        }
        if speed != 1.0:
            fields["speed"] = speed
        async with self._server.post(_PATH, lambda: {"json": fields}) as response:
            sound = _Sound(response.headers.get("Content-Type", ""))
            async for piece in response.content.iter_any():
                if pcm := sound.push(piece):
                    yield pcm
                if sound.made_s > MAX_CLAUSE_S:
                    raise EngineError("the speech server's audio of a clause has no end")
            if rest := sound.flush():
                yield rest
            if not sound.made_s:
                raise EngineError("the speech server answered without any audio")

    async def aclose(self) -> None:
        """Close all connections of the server."""
        await self._server.aclose()


class _Sound:
    """What a server sends, as PCM16 mono at the rate of the wire."""

    def __init__(self, content_type: str) -> None:
        """Raises: EngineError: this is no audio, or compressed."""
        kind = content_type.lower()
        if _OTHER_FORMATS.search(kind) or (kind and not kind.startswith(_SOUND_TYPES)):
            raise EngineError(
                f"the speech server answered with {content_type[:60]}: PCM or WAV is needed"
            )
        rate = _RATE.search(kind)
        self._rate_hz = int(rate[1]) if rate else WIRE_RATE_HZ
        self._start = b""
        self._wav: WavStream | None = None
        self._resampler: Resampler | None = None
        self._half_sample = b""
        self.made_s = 0.0

    def push(self, piece: bytes) -> bytes:
        """Take in the next bytes; the first four say whether this is a WAV file."""
        if self._resampler is None and self._wav is None:
            self._start += piece
            if len(self._start) < 4:
                return b""
            piece, self._start = self._start, b""
            if piece[:4] == b"RIFF":
                self._wav = WavStream()
        if self._wav is not None:
            piece = self._wav.push(piece)
            if self._wav.rate_hz is None:
                return b""
            self._rate_hz = self._wav.rate_hz
        return self._convert(piece)

    def _convert(self, piece: bytes) -> bytes:
        if self._resampler is None:
            self._resampler = Resampler(self._rate_hz, WIRE_RATE_HZ)
        pcm = self._half_sample + piece
        whole = len(pcm) // 2 * 2
        self._half_sample = pcm[whole:]
        return self._count(self._resampler.push(pcm[:whole]))

    def flush(self) -> bytes:
        """Return what the resampler held back."""
        return b"" if self._resampler is None else self._count(self._resampler.flush())

    def _count(self, pcm: bytes) -> bytes:
        self.made_s += len(pcm) / 2 / WIRE_RATE_HZ
        return pcm
