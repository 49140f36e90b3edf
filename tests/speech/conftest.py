"""The real models, loaded once, behind a fresh server for each test."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from speech.engine_pool import Engines
from speech.engines.create import ENGLISH, TINY
from speech.engines.piper import PiperVoice
from speech.engines.protocols import RecogniserEngine, VoiceEngine
from speech.engines.vad import SileroDetector
from speech.engines.whisper import WhisperRecogniser
from speech.settings import SpeechSettings
from speech.turns.end_of_turn import load_end_of_turn_model
from tests.speech.local_model import model_server
from tests.speech.talk import Caller, client_for

# Once for all tests: other folders have these fixtures too.
_load_recogniser = functools.cache(WhisperRecogniser)
_load_voice = functools.cache(PiperVoice)


@pytest.fixture(scope="session")
def recogniser() -> WhisperRecogniser:
    """The packaged recogniser."""
    return _load_recogniser()


@pytest.fixture(scope="session")
def voice() -> PiperVoice:
    """The packaged voice, which says the same thing the same way each time."""
    return _load_voice(noise_scale=0.0, width_noise=0.0)


@pytest.fixture(scope="session")
def engines(recogniser: WhisperRecogniser, voice: PiperVoice) -> Engines:
    """What the server has by default."""
    model = load_end_of_turn_model()
    assert model is not None, "run `make setup`"
    return Engines(
        RecogniserEngine(recogniser, TINY, ENGLISH),
        VoiceEngine.of(voice, voice.name, languages=ENGLISH),
        SileroDetector,
        model,
    )


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
