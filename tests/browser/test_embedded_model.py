"""A spoken conversation with the packaged language model, in a browser and through WebRTC."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.chromium import open_chromium
from tests.browser.console import open_console
from tests.browser.test_conversation import SPOKEN_WAIT_MS, WEATHER_TOOL, ask, compose
from tests.real_server import open_real_server

pytestmark = [pytest.mark.browser, pytest.mark.speech, pytest.mark.timeout(300)]

PAUSE_S = 20.0
"""After what is said, until it is answered to the end, on a busy machine too."""

INTERRUPTED_AFTER_S = 6.0
"""The story is being told by then, and is longer than that."""


@pytest.mark.asyncio
async def test_a_free_question_a_story_cut_short_a_tool_and_what_was_said_before(
    tmp_path: Path,
) -> None:
    asked = ("u15_f", PAUSE_S, "u18_f", INTERRUPTED_AFTER_S, "u02_f", 120.0)
    microphone = compose(tmp_path / "microphone.wav", 6.0, *asked)
    async with (
        open_real_server(LLM_MODEL="embedded", LLM_TEMPERATURE="0") as server,
        open_chromium(microphone=microphone) as browser,
        open_console(browser, server.url) as console,
    ):
        await expect(console.get("#mind-text")).to_contain_text("packaged language model")
        await console.page.get_by_text("Agent and call options").click()
        await console.get("#greeting").fill("")
        await console.get("#tools").fill(json.dumps([WEATHER_TOOL]))
        await console.join("parlour")
        await expect(console.get("#status")).to_have_text("Connected")

        said, replies = console.entries("user"), console.entries("agent")
        await expect(said.nth(0)).to_contain_text("capital of Australia", timeout=SPOKEN_WAIT_MS)
        # Of the rules none knows it.
        await expect(replies.nth(0)).to_contain_text("Canberra", timeout=SPOKEN_WAIT_MS)
        await expect(replies.nth(0)).to_have_attribute("data-state", "done", timeout=SPOKEN_WAIT_MS)

        await expect(said.nth(1)).to_contain_text("lonely robot", timeout=SPOKEN_WAIT_MS)
        await expect(replies.nth(1)).to_have_attribute(
            "data-state", "interrupted", timeout=SPOKEN_WAIT_MS
        )

        tool = console.entries("tool")
        await expect(tool.locator(".tool-input")).to_contain_text("Tokyo", timeout=SPOKEN_WAIT_MS)
        await console.get(".tool-answer").fill("Sunny, 21 degrees")
        await console.get(".tool-answer").press("Enter")
        await expect(replies.nth(2)).to_contain_text("21 degrees", timeout=SPOKEN_WAIT_MS)
        await expect(replies.nth(2)).to_have_attribute("data-state", "done", timeout=SPOKEN_WAIT_MS)

        await ask(console, "My name is Margaret.")
        await ask(console, "What is my name?")
        await expect(replies.last).to_contain_text(re.compile("Margaret"))
