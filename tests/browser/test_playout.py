"""The agent's voice as a real Chromium plays it: talk-spurts without clicks, little delay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.async_api import expect

from tests.browser.chromium import (
    HEARD_RATE_HZ,
    Heard,
    Samples,
    open_chromium,
    read_events,
    read_heard,
    read_voice,
)
from tests.browser.console import Console, open_console
from tests.browser.scripted_agent import ScriptedAgent
from tests.browser.test_agent import open_call
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.loopback.loop_watch import watching_loop
from tests.real_server import open_real_server

pytestmark = pytest.mark.browser

Act = Callable[[ScriptedAgent, str], Awaitable[None]]

ROUNDS = 5
TAKES = 3
STEP = HEARD_RATE_HZ // 200  # 5 ms
STEP_S = 0.005
ABOVE_HZ = 3000
# A 440 Hz tone that begins and ends softly has nothing there; one cut off hard reaches -25 dB.
CLICK_DB = -40.0
SPURT_S, SILENCE_S = 0.3, 0.35
LONG = tone(20_000)
WORDS = " ".join(f"word{number}" for number in range(40))


# Usually 50 ms: this ear takes pieces of 21 ms, before the loudspeaker's own delay, which counts too.
HEARD_WITHIN_MS = 150


def played_ms(heard: Heard, until_ms: float) -> float:
    """How much sound came out of the browser until this time of the page."""
    loud = levels(heard.between(0, until_ms).samples) > 0.02
    return float(loud.sum()) * STEP_S * 1000


def made_up_ms(voice: dict[str, Any]) -> float:
    """How much sound a browser that is held up by others invented or left out."""
    invented = voice["concealedSamples"] - voice["silentConcealedSamples"]
    stretched = voice["insertedSamplesForDeceleration"] + voice["removedSamplesForAcceleration"]
    return float(invented + stretched) / 48


def reaching(model: FakeRealtimeServer) -> dict[str, str]:
    """Settings of a server whose agents talk to `model`."""
    return {
        "MODEL_PROVIDER": "openai",
        "OPENAI_API_KEY": "sk-test",
        "REALTIME_API_BASE_URI": model.uri,
        "LOCAL_MODEL_URI": model.uri,
    }


def soft_tone(duration_s: float) -> bytes:
    """440 Hz that rises and falls within 20 ms, so that what clicks is the transport."""
    samples = int(HEARD_RATE_HZ * duration_s)
    index = np.arange(samples)
    rise = np.minimum(1.0, np.minimum(index, index[::-1]) / (0.02 * HEARD_RATE_HZ))
    wave = np.sin(2 * np.pi * 440 * index / HEARD_RATE_HZ) * np.sin(rise * np.pi / 2) ** 2
    pcm: bytes = (wave * 12_000).astype("<i2").tobytes()
    return pcm


def levels(samples: Samples) -> NDArray[np.float64]:
    """Root mean squares of steps of 5 ms."""
    steps = samples[: len(samples) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
    loudness: NDArray[np.float64] = np.sqrt((steps**2).mean(axis=1))
    return loudness


class Sound:
    """What was played, and how much of it a voice does not have."""

    def __init__(self, samples: Samples) -> None:
        self.level = levels(samples)
        spectrum = np.fft.rfft(samples)
        spectrum[np.fft.rfftfreq(len(samples), 1 / HEARD_RATE_HZ) < ABOVE_HZ] = 0
        sharp = levels(np.fft.irfft(spectrum, len(samples)).astype(np.float32))
        self.sharp_db = 20 * np.log10((sharp + 1e-9) / self.level.max())

    def edges(self, direction: int) -> list[int]:
        """Steps at which sound begins (1) or ends (-1)."""
        is_loud = (self.level > 0.02).astype(int)
        return [int(step) + 1 for step in np.flatnonzero(np.diff(is_loud) == direction)]

    def click_db(self, direction: int) -> float:
        """The sharpest moment of a typical beginning (1) or end (-1)."""
        found = self.edges(direction)
        assert len(found) >= ROUNDS, "not every talk-spurt was heard"
        return float(np.median([self.sharp_db[at - 1 : at + 5].max() for at in found]))


async def speak(agent: ScriptedAgent, name: str) -> None:
    """A talk-spurt that ends by itself."""
    agent.play(soft_tone(SPURT_S), name)
    await asyncio.sleep(SPURT_S + SILENCE_S)


async def be_cut(agent: ScriptedAgent, name: str) -> None:
    """A talk-spurt that is cut at a loud moment."""
    agent.play(soft_tone(3.0), name)
    await asyncio.sleep(SPURT_S)
    agent.fall_silent()
    await asyncio.sleep(SILENCE_S)


async def run_dry(agent: ScriptedAgent, name: str) -> None:
    """A talk-spurt whose second half comes too late, both halves ending nowhere near a frame."""
    pcm = soft_tone(2 * SPURT_S)
    middle = int(HEARD_RATE_HZ * (SPURT_S + 0.0131)) * 2
    agent.play(pcm[:middle], name, is_finished=False)
    await asyncio.sleep(SPURT_S + SILENCE_S)
    agent.play(pcm[middle:], name)
    await asyncio.sleep(SPURT_S + SILENCE_S)


async def listen(console: Console, agent: ScriptedAgent, act: Act, take: int) -> Sound:
    """What the page plays of several of these."""
    begin_ms = await console.page.evaluate("performance.now()")
    for number in range(ROUNDS):
        await act(agent, f"{act.__name__} {take}.{number}")
    heard = await read_heard(console.page)
    return Sound(heard.between(begin_ms, float("inf")).samples)


async def quietest_clicks(console: Console, agent: ScriptedAgent, act: Act) -> tuple[float, float]:
    """Of the beginning and of the end. A click of ours is in every take; one of a browser that was
    held up by others is in some.
    """
    takes: list[tuple[float, float]] = []
    while len(takes) < TAKES and not any(max(take) < CLICK_DB for take in takes):
        sound = await listen(console, agent, act, len(takes))
        takes.append((sound.click_db(1), sound.click_db(-1)))
    return min(takes, key=max)


@pytest.mark.asyncio
async def test_spurts_silences_cuts_and_gaps_are_played_without_clicks() -> None:
    async with open_call() as (_site, console, agent), watching_loop() as watch:
        agent.play(soft_tone(SPURT_S), "the first")
        await asyncio.sleep(SPURT_S + SILENCE_S)
        before = await read_voice(console.page)
        await asyncio.sleep(0.5)
        silent = await read_voice(console.page)
        assert silent["packetsReceived"] == before["packetsReceived"], "silence was sent"
        for act in (speak, be_cut, run_dry):
            begins_db, ends_db = await quietest_clicks(console, agent, act)
            assert begins_db < CLICK_DB, f"{act.__name__}: clicks where it begins"
            assert ends_db < CLICK_DB, f"{act.__name__}: clicks where it ends"
        after = await read_voice(console.page)
        assert after["packetsLost"] == 0
        emitted = after["jitterBufferEmittedCount"] - before["jitterBufferEmittedCount"]
        delay_s = (after["jitterBufferDelay"] - before["jitterBufferDelay"]) / emitted
        # 30 to 40 ms where the browser is not held up by others.
        assert delay_s < 0.2 + watch.held_up_s


@pytest.mark.asyncio
async def test_what_counts_as_heard_is_what_this_browser_has_played() -> None:
    async with (
        FakeRealtimeServer() as model,
        open_real_server(**reaching(model)) as server,
        open_chromium() as browser,
        open_console(browser, server.url) as console,
    ):
        await console.join("parlour")
        await expect(console.get("#status")).to_have_text("Connected")
        session = await model.next_session()
        saying = asyncio.get_running_loop().create_task(session.say(LONG, WORDS, pace=0.5))
        entry = console.entries("agent").last
        await expect(entry.locator(".word:not(.ahead)").nth(9)).to_be_attached()
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{server.url}agents/parlour/interrupt", json={}) as answer,
        ):
            assert answer.status == 200, await answer.text()
        await expect(entry).to_have_attribute("data-state", "interrupted")
        truncate = await session.wait_for("conversation.item.truncate")
        await saying
        events = await read_events(console.page)
        cut = next(event for event in events if event["type"] == "agent_interrupted")
        assert cut["audio_end_ms"] == truncate["audio_end_ms"]
        assert cut["heard"].split() == WORDS.split()[: len(cut["heard"].split())]
        assert len(cut["heard"].split()) >= 10
        heard = await read_heard(console.page)
        told = [event for event in events if event["type"] == "agent_playout_progress"]
        assert len(told) >= 10
        within_ms = HEARD_WITHIN_MS + made_up_ms(await read_voice(console.page))
        assert abs(cut["audio_end_ms"] - played_ms(heard, cut["at_ms"])) < within_ms
        errors_ms = [abs(one["heard_ms"] - played_ms(heard, one["at_ms"])) for one in told]
        assert np.median(errors_ms) < within_ms
