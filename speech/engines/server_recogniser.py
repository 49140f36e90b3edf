"""Speech to text by any server of OpenAI's `/v1/audio/transcriptions` shape."""

from __future__ import annotations

import io
import json
import re
import wave
from typing import Any, Final

import aiohttp
from pydantic import SecretStr

from speech.engines.protocols import Transcript
from speech.engines.speech_server import SpeechServer, read_limited
from speech.errors import EngineError
from speech.sample_rates import ENGINE_RATE_HZ

READ_TIMEOUT_S: Final = 15.0
NO_SPEECH_LIMIT: Final = 0.6

_MAX_ANSWER_BYTES: Final = 1_000_000
_MAX_TEXT_CHARACTERS: Final = 32_000
_PATH: Final = "/audio/transcriptions"


class ServerRecogniser:
    """Uploads each utterance as a WAV file."""

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

    async def transcribe(self, pcm16k: bytes, *, language: str | None = None) -> Transcript:
        """Recognise PCM16 mono at 16 kHz; cancelling it closes the request.

        Raises:
            EngineError: no sound answer in time.
        """
        wav = _as_wav(pcm16k)

        def body() -> dict[str, Any]:
            form = aiohttp.FormData()
            form.add_field("file", wav, filename="speech.wav", content_type="audio/wav")
            form.add_field("model", self._model)
            form.add_field("response_format", "json")
            if language is not None:
                form.add_field("language", language)
            return {"data": form}

        async with self._server.post(_PATH, body) as response:
            content = await read_limited(response, _MAX_ANSWER_BYTES)
        return parse_transcription(content, response.content_type)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._server.aclose()


def _as_wav(pcm: bytes) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(ENGINE_RATE_HZ)
        wav.writeframes(pcm)
    return target.getvalue()


def parse_transcription(content: bytes, content_type: str) -> Transcript:
    """Read an answer: `json`, `verbose_json` or `text`, whichever the server sends.

    Raises:
        EngineError: none of these, or no text in it.
    """
    text = content.decode("utf-8", errors="replace").strip()
    if not text.startswith("{"):
        if content_type in {"text/plain", "application/octet-stream"} and not text.startswith("<"):
            return Transcript(text[:_MAX_TEXT_CHARACTERS])
        raise EngineError(f"the transcription server answered with {content_type}, not with JSON")
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise EngineError("the transcription server answered with broken JSON") from error
    if not isinstance(heard := answer.get("text"), str):
        raise EngineError("the transcription server's answer has no text")
    no_speech_prob = _no_speech_prob(answer.get("segments"))
    if no_speech_prob > NO_SPEECH_LIMIT:
        return Transcript("", no_speech_prob)
    return Transcript(
        heard.strip()[:_MAX_TEXT_CHARACTERS],
        no_speech_prob,
        language=_language(answer.get("language")),
    )


def _no_speech_prob(segments: Any) -> float:
    """Return the least of the segments': 0 where they give none."""
    if not isinstance(segments, list) or not segments:
        return 0.0
    values = [each.get("no_speech_prob") for each in segments if isinstance(each, dict)]
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return min(numbers) if len(numbers) == len(segments) else 0.0


def _language(value: Any) -> str | None:
    """Return an ISO 639-1 code; servers that answer with a name ("english") are not asked further."""
    return value if isinstance(value, str) and re.fullmatch("[a-z]{2}", value) else None
