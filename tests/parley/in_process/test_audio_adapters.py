"""Recognisers and voices of the application, as the local model in another process reaches them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from parley.compat.ag2 import RealtimeAgent
from parley.in_process.audio_adapters import AudioAdapterServer, as_recogniser, as_voice
from speech.engines.server_recogniser import ServerRecogniser
from speech.engines.server_voice import ServerVoices
from speech.errors import EngineError
from tests.deadlines import DEADLINE_S
from tests.fakes.audio_server import tone
from tests.speech.engines.own_engines import AsyncEars, AsyncVoice, BlockingEars, PiecesVoice

pytestmark = pytest.mark.asyncio


async def _heard(stt: Any, pcm: bytes, language: str | None = None) -> str:
    async with AudioAdapterServer(stt=as_recogniser(stt), tts=None).serving() as cascade:
        assert set(cascade) == {"recogniser"}
        there = cascade["recogniser"]
        recogniser = ServerRecogniser(
            there["base_url"], model="m", api_key=SecretStr(there["api_key"])
        )
        try:
            return (await recogniser.transcribe(pcm, language=language)).text
        finally:
            await recogniser.aclose()


async def _spoken(tts: Any, text: str, speed: float = 1.0) -> bytes:
    async with AudioAdapterServer(stt=None, tts=as_voice(tts)).serving() as cascade:
        assert set(cascade) == {"voice"}
        there = cascade["voice"]
        voices = ServerVoices(there["base_url"], model="m", api_key=SecretStr(there["api_key"]))
        voice = voices.voice("any")
        try:
            return b"".join([piece async for piece in voice.synthesise(text, speed=speed)])
        finally:
            await voice.aclose()


@pytest.mark.parametrize("stt", [BlockingEars(), AsyncEars()])
async def test_an_stt_adapter_hears_what_the_local_model_sends(stt: Any) -> None:
    assert await _heard(stt, bytes(16_000), "it") == "500 ms of it"


async def test_functions_are_adapters_too() -> None:
    async def hear(pcm: bytes) -> str:
        return f"{len(pcm)} bytes"

    async def speak(text: str) -> AsyncIterator[bytes]:
        for _ in text.split():
            yield tone(20)

    assert await _heard(hear, bytes(3_200)) == "3200 bytes"
    assert await _heard(lambda pcm: str(len(pcm)), bytes(320)) == "320"
    assert await _spoken(speak, "three little words") == tone(20) * 3
    assert await _spoken(lambda text: tone(len(text)), "ten__chars") == tone(10)


@pytest.mark.parametrize("tts", [AsyncVoice(), PiecesVoice()])
async def test_a_tts_adapter_speaks(tts: Any) -> None:
    assert len(await _spoken(tts, "0123456789", 2.0)) == 50 * 48


async def test_an_adapter_that_fails_is_an_error_of_that_piece_of_work() -> None:
    def fail(_given: Any) -> Any:
        raise ZeroDivisionError("secret words")

    for failing in (_heard(fail, bytes(320)), _spoken(fail, "x")):
        with pytest.raises(EngineError, match="adapter: ZeroDivisionError") as caught:
            await failing
        assert "secret" not in str(caught.value)


async def test_a_voice_that_breaks_off_is_no_whole_answer() -> None:
    async def speak(_text: str) -> AsyncIterator[bytes]:
        yield tone()
        raise ZeroDivisionError

    with pytest.raises(EngineError):
        await _spoken(speak, "x")


async def test_the_adapters_are_for_the_holder_of_the_key_only() -> None:
    server = AudioAdapterServer(stt=as_recogniser(AsyncEars()), tts=as_voice(AsyncVoice()))
    async with server.serving() as cascade, aiohttp.ClientSession() as http:
        base_url, key = cascade["voice"]["base_url"], cascade["voice"]["api_key"]
        assert base_url.startswith("http://127.0.0.1:")
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": key}):
            for path in ("/audio/speech", "/audio/transcriptions"):
                async with http.post(f"{base_url}{path}", headers=headers) as answer:
                    assert answer.status == 401
        right = {"Authorization": f"Bearer {key}"}
        async with http.post(f"{base_url}/audio/speech", json={}, headers=right) as answer:
            assert answer.status == 400
        form = aiohttp.FormData()
        form.add_field("file", b"no wav", filename="speech.wav")
        async with http.post(
            f"{base_url}/audio/transcriptions", data=form, headers=right
        ) as answer:
            assert answer.status == 400


async def test_what_is_no_adapter_is_refused() -> None:
    agent = RealtimeAgent(name="Bot")
    with pytest.raises(ValueError, match="stt or tts"):
        agent.register_audio_adapter("mic", print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an stt adapter is"):
        agent.register_audio_adapter("stt", object())
    with pytest.raises(TypeError, match="a tts adapter is"):
        agent.register_audio_adapter("tts", 3)


@pytest.mark.speech
@pytest.mark.timeout(180)
async def test_an_agent_speaks_with_the_applications_own_voice() -> None:
    said: list[str] = []

    def speak(text: str) -> bytes:
        said.append(text)
        return tone(200)

    agent = RealtimeAgent(name="Bot", llm_config={"model": "local"})
    agent.register_audio_adapter("tts", speak)
    agent.register_audio_adapter("stt", lambda _pcm: "hello")
    agent.register_observer("turn_complete", lambda _event: agent.stop())
    await agent.send_text("Say good morning.")
    async with asyncio.timeout(DEADLINE_S):
        await agent.run()
    assert " ".join(said) == "Good morning."
