"""The real models, loaded once, behind a fresh server for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from speech.engines.voice import PiperVoice
from speech.settings import SpeechSettings
from speech.workers import Engines, load_engines
from tests.speech.local_model import model_server
from tests.speech.talk import Caller, client_for


@pytest.fixture(scope="session")
def engines() -> Engines:
    """Recogniser, detector, and a voice that says the same thing the same way each time."""
    loaded = load_engines(SpeechSettings())
    voice = PiperVoice(noise_scale=0.0, width_noise=0.0)
    return Engines(loaded.recogniser, voice, loaded.new_detector)


@pytest_asyncio.fixture
async def port(engines: Engines) -> AsyncIterator[int]:
    """Where a fresh model server listens."""
    async with model_server(engines, SpeechSettings(timezone="Europe/Zurich")) as (_, port):
        yield port


@pytest_asyncio.fixture
async def caller(port: int) -> AsyncIterator[Caller]:
    """One open session."""
    async with (
        client_for(port) as client,
        client.realtime.connect(model="parley-local") as connection,
    ):
        talker = Caller(connection)
        await talker.until("session.created")
        yield talker
        await talker.hang_up()
