"""The same with the real local model: it hears real voices, and a "uh-huh" is no "stop"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from config import ProviderConfig
from speech.engines.voice import PiperVoice
from speech.resampling import Resampler
from speech.server import ModelServer
from speech.settings import SpeechSettings
from speech.workers import load_engines
from tests.loopback.stage import Person, Stage, soon
from tests.speech.talk import utterance


@asynccontextmanager
async def local_model() -> AsyncIterator[ProviderConfig]:
    """The local model's server, with its engines loaded."""
    server = ModelServer(SpeechSettings())
    server.use(await asyncio.to_thread(load_engines, SpeechSettings()))
    runner = web.AppRunner(server.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        yield ProviderConfig(name="local", model="local", base_uri=f"ws://127.0.0.1:{port}")
    finally:
        await server.close()
        await runner.cleanup()


def spoken(text: str) -> bytes:
    """`text` in the local voice, the same each time, at 24 kHz."""
    voice = PiperVoice(noise_scale=0.0, width_noise=0.0)
    resampler = Resampler(voice.sample_rate_hz, 24_000)
    return resampler.push(voice.synthesise(text)) + resampler.flush()


def say(person: Person, pcm: bytes) -> None:
    person.channel.push_audio_frame(pcm, key=object())


@pytest.mark.speech
@pytest.mark.asyncio
async def test_uh_huh_lets_the_story_go_on_and_stop_stops_it() -> None:
    async with local_model() as provider, Stage() as stage:
        stage._ready = asyncio.Event()
        stage.run(provider=provider)
        await soon(stage._ready.wait())
        person = await stage.join()
        say(person, utterance("u18_f"))
        await person.wait_event("agent_input_transcription_done")
        await person.wait_loud(1500)
        say(person, spoken("Uh huh."))
        await person.wait_event("agent_paused")
        resumed = await person.wait_event("agent_resumed")
        assert resumed["cause"] == "backchannel"
        heard_ms = person.loud_ms
        await person.wait_loud(heard_ms + 1500)
        assert not [e for e in person.events if e["type"] == "agent_interrupted"]
        say(person, utterance("u10_f"))
        interrupted = await person.wait_event("agent_interrupted")
        assert len(interrupted["heard"].split()) > 5
        order = await person.wait_event("agent_input_transcription_done", 3)
        assert (order["transcript"].lower().strip(" ."), order["uid"]) == ("stop", 7)
        # The order is answered, the "uh-huh" was not.
        await person.wait_event("agent_response_created", 2)
        assert len([e for e in person.events if e["type"] == "agent_response_created"]) == 2
