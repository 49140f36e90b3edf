"""Voices of simulated people, and what is recognised of agents, in several languages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from scenarios.engines import Engines
from scenarios.format import ScenarioError, Voice
from scenarios.sound import length_s
from scenarios.words import error_share

SPANISH = Path(__file__).parents[1] / "data" / "speech_es.wav"


@pytest_asyncio.fixture
async def engines() -> AsyncIterator[Engines]:
    made = Engines()
    yield made
    await made.close()


@pytest.mark.speech
@pytest.mark.asyncio
async def test_what_is_spoken_is_recognised_and_said_but_once(engines: Engines) -> None:
    text = "Please book a table for four people on Friday."
    pcm = await engines.speak(text, Voice(), "en")
    assert 1.0 < length_s(pcm) < 6.0
    assert await engines.speak(text, Voice(), "en") is pcm
    heard = await engines.recognise(pcm, "en")
    assert error_share(text, heard, is_whole=True) < 0.25
    assert await engines.recognise(b"", "en") == ""


@pytest.mark.speech
@pytest.mark.asyncio
async def test_other_languages_are_heard_and_their_recordings_said(engines: Engines) -> None:
    heard = await engines.recognise(await engines.read(SPANISH), "es")
    assert len(heard.split()) > 3


@pytest.mark.speech
@pytest.mark.asyncio
async def test_what_there_is_not_is_named(engines: Engines, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="piper speaks en, not de"):
        await engines.speak("Guten Tag", Voice(), "de")
    with pytest.raises(ScenarioError, match="no voice 'anna': there is joe"):
        await engines.speak("Hello", Voice(name="anna"), "en")
    with pytest.raises(ScenarioError, match="no voice engine is called 'parrot'"):
        await engines.speak("Hello", Voice(engine="parrot"), "en")
    with pytest.raises(ScenarioError, match="nothing to pronounce"):
        await engines.speak("...", Voice(), "en")
    (tmp_path / "no.wav").write_text("no sound")
    with pytest.raises(ScenarioError, match=r"no\.wav"):
        await engines.read(tmp_path / "no.wav")
