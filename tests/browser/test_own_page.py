"""The console, and a page of one's own with the client, in both browsers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.browser.pages import BrowserName, Page, hear, open_page, write
from tests.browser.scripted_agent import ScriptedAgent
from tests.browser.site import Site, open_site
from tests.browser.waits import wait_for_text, wait_until
from tests.fakes.http_server import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "web"
both_browsers = pytest.mark.parametrize("browser", ["chromium", "firefox"])


@asynccontextmanager
async def open_own_page(browser: BrowserName) -> AsyncIterator[tuple[Site, Page, str]]:
    """The page of `examples/web/`, at an origin of its own, beside a server that knows it."""
    app = web.Application()
    app.router.add_static("/", EXAMPLE)
    async with serving(app) as port:
        origin = f"http://127.0.0.1:{port}"
        async with open_site(allowed_origins=[origin]) as site, open_page(browser) as page:
            await page.goto(f"{origin}/index.html?server={site.url}&channel=own")
            yield site, page, origin


async def converse(page: Page, agent: ScriptedAgent, words: str) -> None:
    """Both hear each other, and the agent's words are shown."""
    await agent.wait_for_user()
    ids = {"response_id": "r1", "item_id": "i1"}
    agent.send("agent_ready", has_manual_turns=False, is_recorded=False)
    agent.send("agent_response_created", response_id="r1")
    agent.send("agent_response_audio_transcript_delta", **ids, delta="Good ")
    agent.send("agent_response_audio_transcript_delta", **ids, delta="day.")
    agent.play_tone(600, 3.0)
    await hear(page)
    await agent.hear()
    await wait_for_text(page, words, "Good day.")


@both_browsers
@pytest.mark.asyncio
async def test_the_console_talks(browser: BrowserName) -> None:
    async with open_site() as site, open_page(browser) as page:
        await page.goto(site.url)
        await page.click("#channel")
        await page.evaluate("() => { document.getElementById('channel').value = 'parlour'; }")
        await page.click("#join")
        await wait_for_text(page, "#status", "Connected")
        agent = site.agents["parlour"]
        await converse(page, agent, "#entries")
        await write(page, "#message", "Hello from me")
        assert (await agent.next_client_event())["text"] == "Hello from me"
        await page.click("#leave")
        await wait_for_text(page, "#status", "Not in a call")


@both_browsers
@pytest.mark.asyncio
async def test_a_page_of_ones_own_talks(browser: BrowserName) -> None:
    async with open_own_page(browser) as (site, page, _origin):
        await page.click("#talk")
        await wait_for_text(page, "#state", "listening")
        agent = site.agents["own"]
        await converse(page, agent, "#words")
        await wait_for_text(page, "#state", "speaking")
        await wait_until(page, "(find) => find('#level').value > 0.3")
        agent.send(
            "agent_interrupted", response_id="r1", item_id="i1", audio_end_ms=90, heard="Good"
        )
        await wait_for_text(page, "#state", "listening")
        await wait_until(page, "(find) => find('#words').textContent === 'Good'")
        await write(page, "#text", "Hello from me")
        assert (await agent.next_client_event())["text"] == "Hello from me"
        await page.click("#mute")
        await wait_until(page, "(find) => find('#mute').getAttribute('aria-pressed') === 'true'")
        # What the page does when the agent's process is another one, and when it is over.
        await agent.stop()
        await wait_for_text(page, "#state", "reconnecting")
        await wait_for_text(page, "#state", "waiting")
        await page.click("#leave")
        await wait_for_text(page, "#state", "ended")
