"""The screen "Setup" against a real server: real sessions, a real voice, a real microphone of the browser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.accessibility import expect_accessible_everywhere
from tests.browser.chromium import open_chromium
from tests.browser.console import open_console
from tests.real_server import open_real_server

pytestmark = pytest.mark.browser

WORDS = f"{sys.executable} {Path(__file__).parents[1] / 'fakes' / 'mcp_server.py'} /dev/null"
KEY = "sk-that-no-page-sees"

ECHO = """async () => {
  const { judgeEcho } = await import('/web/console/screens/setup/echo.js');
  const { judgeCandidates } = await import('/web/console/screens/setup/network_check.js');
  const samples = (played, heard) => Array.from({ length: 20 }, () => ({ played, heard }));
  const found = (kinds, servers, problems = []) => judgeCandidates({ kinds: new Set(kinds), problems }, servers)[0];
  return {
    echo: [
      judgeEcho({ room: [0.1, 0.1], samples: samples(0.1, 0.1) }),
      judgeEcho({ room: [0.1, 0.1], samples: samples(0.8, 0.15) }),
      judgeEcho({ room: [0.1, 0.1], samples: samples(0.8, 0.6) }),
      judgeEcho({ room: [0.7, 0.7], samples: samples(0.8, 0.7) }),
    ],
    candidates: [
      found(['host'], {}),
      found([], {}),
      found(['host'], { hasStun: true }, ['stun:x: timed out']),
      found(['host', 'srflx'], { hasStun: true, hasTurn: true }),
      found(['host', 'srflx', 'relay'], { hasStun: true, hasTurn: true }),
    ],
  };
}"""

BROKEN_APP = {
    "app": "agents.py",
    "agents": [],
    "problems": [{"text": "name 'agnet' is not defined", "file": "agents.py", "line": 12}],
    "is_watched": True,
    "loads": 0,
    "loaded_at_ms": None,
}


def row(page: Page, panel: str, name: str) -> Locator:
    return page.get_by_role("region", name=panel).locator(".row").filter(has_text=name)


async def check_pure_parts(page: Page) -> None:
    found = await page.evaluate(ECHO)
    assert found["echo"] == ["quiet", "clear", "echo", "clear"]
    alone, none, no_stun, no_turn, whole = found["candidates"]
    assert alone == "Addresses found: this machine's own."
    assert "no address at all" in none
    assert "The STUN server gives no address (stun:x: timed out)" in no_stun
    assert "The TURN server gives no address" in no_turn
    assert "relayed (TURN)" in whole


async def check_sound(page: Page) -> None:
    sound = page.get_by_role("region", name="Microphone and speaker")
    await sound.get_by_role("button", name="Test the microphone").press("Enter")
    await expect(sound.get_by_role("status")).to_contain_text("the bars follow your voice")
    choice = sound.get_by_label("Microphone", exact=True)
    await expect(choice.locator("option").nth(1)).to_be_attached()
    await choice.select_option(index=1)
    await expect(sound.get_by_role("button", name="Test the microphone")).to_have_text("Stop")
    await sound.get_by_role("button", name="Record 3 seconds and play them back").click()
    # The browser's own test device beeps all the time.
    await expect(sound.get_by_role("status")).to_contain_text("speaker")
    kept = await page.evaluate("({ ...sessionStorage, ...localStorage })")
    assert "deviceId" not in str(kept)
    await sound.get_by_role("button", name="Test the microphone").click()


async def check_network(page: Page) -> None:
    network = page.get_by_role("region", name="Network")
    await network.get_by_role("button", name="Check the network").click()
    await expect(row(page, "Network", "Room")).to_contain_text("Joined after")
    await expect(row(page, "Network", "Addresses")).to_contain_text("Addresses found")
    await expect(row(page, "Network", "Media")).to_contain_text("It came back after")


@pytest.mark.asyncio
async def test_what_is_configured_is_shown_and_tested() -> None:
    async with (
        open_real_server(
            OPENAI_API_KEY=KEY,
            REALTIME_API_BASE_URI="ws://127.0.0.1:9",
            MCP_SERVERS=f"shelf=no-such-program --token hidden;words={WORDS}",
        ) as server,
        open_chromium() as browser,
        # A voice that is not there is answered as an error.
        open_console(browser, f"{server.url}#/setup", tolerated=("502",)) as console,
    ):
        page = console.page
        await check_pure_parts(page)
        local, hosted = row(page, "Providers", "local"), row(page, "Providers", "openai").first
        await local.get_by_role("button", name="Test local").press("Enter")
        await expect(local.get_by_role("status")).to_contain_text("a session was open after")
        await hosted.get_by_role("button", name="Test openai").click()
        await expect(hosted.get_by_role("status")).to_contain_text("nothing listens there")
        await page.get_by_text("Not configured").click()
        await expect(row(page, "Providers", "xai")).to_contain_text("Set XAI_API_KEY")

        voice = row(page, "Voices", "Piper")
        await voice.get_by_role("button", name="Play a voice of Piper").click()
        await expect(voice.get_by_role("status")).to_contain_text("Playing")
        await voice.get_by_role("textbox", name="Voice of Piper").fill("nobody")
        await voice.get_by_role("button", name="Play a voice of Piper").click()
        await expect(voice.get_by_role("status")).to_contain_text("no voice")

        await expect(row(page, "Tools", "everyday")).to_contain_text("get_current_time")
        await expect(row(page, "Tools", "mcp:shelf")).to_contain_text("not on this machine")
        words = row(page, "Tools", "mcp:words")
        await words.get_by_role("button", name="Test mcp:words").click()
        await expect(words.get_by_role("status")).to_contain_text("count_words")
        await check_network(page)
        await check_sound(page)
        shown = await page.content()
        assert KEY not in shown
        assert "hidden --" not in shown
        assert "--token" not in shown

        await page.route("**/agents/definitions", lambda route: route.fulfill(json=BROKEN_APP))
        await page.get_by_role("button", name="Read again").click()
        app = page.get_by_role("region", name="Agents of your app")
        await expect(app).to_contain_text("agents.py:12")
        await expect(app).to_contain_text("name 'agnet' is not defined")
        await expect(app).to_contain_text("Mend the file and save it.")
        await expect_accessible_everywhere(page)
