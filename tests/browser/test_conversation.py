"""The whole product as its user meets it: the real server, the local model, a spoken microphone."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import expect

from audio import Resampler, write_wav
from speech.engines.whisper import WhisperRecogniser
from tests.browser.chromium import (
    HEARD_RATE_HZ,
    Heard,
    expect_sound,
    open_chromium,
    read_events,
    read_heard,
)
from tests.browser.console import Console, open_console
from tests.real_server import open_real_server, poll, wait_until_gone
from tests.wav_files import read_wav

pytestmark = [pytest.mark.browser, pytest.mark.speech, pytest.mark.timeout(180)]

UTTERANCES = Path(__file__).resolve().parents[1] / "data" / "speech"
RATE_HZ = 16_000
LONG_GREETING = (
    "Welcome to this little test of patience. I am going to talk for quite a while now, because "
    "somebody will interrupt me in the middle of it. Until then I can tell you that the sun is "
    "shining, that the coffee is warm, that the train is late, and that the cat sleeps on the sofa."
)
WEATHER_TOOL = {
    "name": "get_weather",
    "description": "Weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
SILENCED_WITHIN_MS = 1_000
SPOKEN_WAIT_MS = 30_000


def compose(path: Path, *parts: float | str) -> Path:
    """A microphone: seconds of silence and names of utterances, one after the other."""
    pcm = bytearray()
    for part in parts:
        if isinstance(part, str):
            words, rate_hz = read_wav(UTTERANCES / f"{part}.wav")
            assert rate_hz == RATE_HZ
            pcm += words
        else:
            pcm += bytes(int(part * RATE_HZ) * 2)
    write_wav(path, bytes(pcm), RATE_HZ)
    return path


def first(events: list[dict[str, Any]], event_type: str, **fields: Any) -> dict[str, Any]:
    """The first event of this type and these fields."""
    wanted = {"type": event_type, **fields}
    return next(event for event in events if wanted.items() <= event.items())


def recognise(heard: Heard) -> str:
    """The words in what was heard."""
    pcm = (np.clip(heard.samples, -1, 1) * 32767).astype("<i2").tobytes()
    resampler = Resampler(HEARD_RATE_HZ, RATE_HZ)
    return WhisperRecogniser().transcribe(resampler.push(pcm) + resampler.flush()).text


def likeness(one: str, other: str) -> float:
    """How alike two texts are, 0 to 1, letters and digits only."""
    left, right = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (one, other))
    return difflib.SequenceMatcher(None, left, right).ratio()


async def start_talking(console: Console) -> None:
    """Start an agent with many first words, and join it."""
    await console.page.get_by_text("Agent and call options").click()
    await console.get("#greeting").fill(LONG_GREETING)
    await console.join("parlour")
    await expect(console.get("#status")).to_have_text("Connected")


def check_interruption(heard: Heard, events: list[dict[str, Any]], reply_at_ms: float) -> None:
    """The agent spoke, the user spoke over it, and there was silence until the reply."""
    started_ms = first(events, "agent_input_started")["at_ms"]
    assert heard.between(started_ms - 1500, started_ms).loud_at_ms(), "it was not speaking before"
    after = heard.between(started_ms + SILENCED_WITHIN_MS, reply_at_ms)
    assert after.loud_at_ms() == [], "it went on speaking over the user"


@pytest.mark.asyncio
async def test_a_spoken_conversation_from_start_to_stop(tmp_path: Path) -> None:
    microphone = compose(tmp_path / "microphone.wav", 10.0, "u01_f", 60.0)
    async with (
        open_real_server() as server,
        open_chromium(microphone=microphone) as browser,
        open_console(browser, server.url) as console,
    ):
        await start_talking(console)
        await expect(console.entries("user").first).to_contain_text(
            re.compile("what time is it", re.IGNORECASE), timeout=SPOKEN_WAIT_MS
        )
        greeting = console.entries("agent").first
        await expect(greeting).to_have_attribute("data-state", "interrupted")
        shown = await greeting.locator(".words span").first.inner_text()
        assert LONG_GREETING.startswith(shown.rstrip(". "))
        assert shown != LONG_GREETING

        tool = console.entries("tool")
        await expect(tool).to_have_attribute("data-state", "done", timeout=SPOKEN_WAIT_MS)
        await expect(tool.locator(".tool-name")).to_have_text("get_current_time")
        reply = console.entries("agent").last
        await expect(reply).to_have_attribute("data-state", "done", timeout=SPOKEN_WAIT_MS)
        # The local model sees nothing.
        await expect(console.get("#share-controls")).to_be_hidden()

        events, heard = await read_events(console.page), await read_heard(console.page)
        played = first(events, "agent_playout_done")
        item = {"item_id": played["item_id"]}
        said = first(events, "agent_response_audio_transcript_done", **item)
        words = first(events, "agent_response_audio_transcript_delta", **item)
        check_interruption(heard, events, words["at_ms"])
        spoken = recognise(heard.between(words["at_ms"], played["at_ms"] + 500))
        assert likeness(spoken, said["transcript"]) > 0.6, (spoken, said["transcript"])
        await expect(console.get("#latency")).to_have_text(re.compile(r"^\d+ ms$"))

        pid = await server.agent_pid("parlour")
        await console.get("#stop-agent").click()
        await expect(console.notice("The agent has left")).to_be_visible()
        await wait_until_gone(pid)


@pytest.mark.asyncio
async def test_a_written_conversation_with_a_tool_of_the_page_until_the_server_dies(
    tmp_path: Path,
) -> None:
    microphone = compose(tmp_path / "silence.wav", 60.0)
    tolerated = ("ERR_CONNECTION_REFUSED", "WebSocket connection to")
    async with (
        open_real_server() as server,
        open_chromium(microphone=microphone) as browser,
        open_console(browser, server.url, tolerated=tolerated) as console,
    ):
        await console.page.get_by_text("Agent and call options").click()
        await console.get("#greeting").fill("")
        await console.get("#tools").fill(json.dumps([WEATHER_TOOL]))
        await console.join("parlour")
        await expect(console.get("#status")).to_have_text("Connected")
        await console.get("#message").fill("What is the weather in Tokyo?")
        await console.get("#message").press("Enter")
        await expect(console.entries("user")).to_contain_text("What is the weather in Tokyo?")
        await expect(console.entries("tool").locator(".tool-input")).to_contain_text("Tokyo")
        await console.get(".tool-answer").fill("Sunny, 21 degrees")
        await console.get(".tool-answer").press("Enter")
        await expect(console.entries("tool")).to_have_attribute("data-state", "done")
        reply = console.entries("agent").last
        await expect(reply).to_contain_text("21 degrees")
        await expect(reply).to_have_attribute("data-state", "done", timeout=SPOKEN_WAIT_MS)
        pid = await server.agent_pid("parlour")
        server.process.kill()
        await expect(console.notice("Connection to the server lost")).to_be_visible()
        await wait_until_gone(pid)
        await expect(console.notice("Server and agent are lost")).to_be_visible(
            timeout=SPOKEN_WAIT_MS
        )


@pytest.mark.asyncio
async def test_the_call_goes_on_by_itself_when_the_agents_process_is_killed(
    tmp_path: Path,
) -> None:
    microphone = compose(tmp_path / "silence.wav", 60.0)
    async with (
        open_real_server() as server,
        open_chromium(microphone=microphone) as browser,
        open_console(browser, server.url) as console,
    ):
        await console.page.get_by_text("Agent and call options").click()
        await console.get("#greeting").fill("")
        await console.join("parlour")
        await expect(console.get("#status")).to_have_text("Connected")
        await ask(console, "My name is Margaret.")
        pid = await server.agent_pid("parlour")
        os.kill(pid, signal.SIGKILL)
        await wait_until_gone(pid)

        async def is_ready_again() -> bool:
            events = await read_events(console.page)
            return [event["type"] for event in events].count("agent_ready") > 1

        await poll(is_ready_again, SPOKEN_WAIT_MS / 1000)
        await expect(console.get("#status")).to_have_text("Connected")
        assert await server.agent_pid("parlour") != pid
        heard = asyncio.get_running_loop().create_task(expect_sound(console.page))
        await ask(console, "What is my name?")
        await heard
        reply = console.entries("agent").last
        await expect(reply).to_contain_text("Margaret")
        assert await console.entries("user").count() == 2, "what was said before is still shown"
        await expect(console.entries("note")).to_have_text(
            ["The agent was lost, and is back with the conversation."]
        )
        await expect(console.get(".notice")).to_have_count(0)
        await expect(console.get(".person")).to_have_count(2)


async def ask(console: Console, words: str) -> None:
    """Write to the agent; returns when its answer was heard to the end."""
    count = await console.entries("agent").count()
    await console.get("#message").fill(words)
    await console.get("#message").press("Enter")
    await expect(console.entries("agent")).to_have_count(count + 1, timeout=SPOKEN_WAIT_MS)
    await expect(console.entries("agent").last).to_have_attribute(
        "data-state", "done", timeout=SPOKEN_WAIT_MS
    )
