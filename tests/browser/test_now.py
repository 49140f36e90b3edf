"""The screen "Now" against a real server: figures of real agents, a provider that fails, stop and drain."""

from __future__ import annotations

import re

import aiohttp
import pytest
from playwright.async_api import Page, expect

from tests.browser.accessibility import expect_accessible, expect_accessible_everywhere
from tests.browser.chromium import open_chromium
from tests.browser.console import open_console
from tests.browser.site import open_site
from tests.deadlines import DEADLINE_S
from tests.real_server import RealServer, open_real_server, poll

pytestmark = pytest.mark.browser

NONE = "\N{EN DASH}"

FIGURES = """async () => {
  const { latency, duration, memory, percent, count, ProcessorUse } = await import('/web/console/screens/figures.js');
  const { roomOf, poolOf } = await import('/web/console/screens/now_tiles.js');
  const use = new ProcessorUse();
  const agent = (pid, cpu_s, uptime_s) => [{ agent_id: 'a', pid, cpu_s, uptime_s }];
  return {
    words: [latency(null), latency(480.4), latency(1234), duration(8.9), duration(185), duration(7810), duration(360000),
      memory(14_200_000), memory(2.5e9), percent(0), percent(3.456), percent(42.4), count(1, 'agent'), count(2, 'agent')],
    use: [use.update(agent(1, 2, 10), 0), use.update(agent(1, 3, 12), 2000), use.update(agent(1, 3, 14), 4000),
      use.update(agent(2, 0.5, 1), 6000), use.update(agent(2, null, 3), 8000)].map((shares) => shares.get('a') ?? null),
    room: [roomOf({ has_room: false, text: 'full' }, { problems: [] }), roomOf({ has_room: true, agents: 2, max_agents: 5 }, { problems: [] }),
      roomOf({ has_room: true }, { is_draining: true, problems: ['draining'] })].map(({ value, note }) => [value, note]),
    pool: poolOf({ idle: 1, size: 2, taken: 3, missed: 1, died: 2 }),
  };
}"""

FORBIDDEN = {"error": "this key is of a team", "code": "forbidden"}

HIDE = """(isHidden) => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => isHidden });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


async def drain(page: Page, server: RealServer) -> None:
    """Draining is asked for, may be called off, and ends the calls."""
    button = page.get_by_role("button", name="Drain", exact=True)
    await button.click()
    dialog = page.get_by_role("dialog", name="Drain this server?")
    await expect_accessible(page)
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_have_count(0)
    _, readiness = await server.get("readyz")
    assert not readiness["is_draining"]
    await button.click()
    await dialog.get_by_label("Deadline in seconds").fill("0")
    await dialog.get_by_role("button", name="Drain").click()
    await expect(page.get_by_text("Draining: no new agents are started")).to_be_visible()
    await expect(page.get_by_text("No agent runs.")).to_be_visible()
    next_start = page.get_by_role("region", name="Next start")
    await expect(next_start).to_contain_text("the server is draining")
    await expect(page.get_by_role("button", name="Draining")).to_be_disabled()


@pytest.mark.asyncio
async def test_figures_in_words() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url) as console,
    ):
        figures = await console.page.evaluate(FIGURES)
        assert figures["words"] == [
            *(NONE, "480 ms", "1.2 s", "8 s", "3 min 05 s", "2 h 10 min", "4 d 4 h"),
            *("14.2 MB", "2.5 GB", "0 %", "3.5 %", "42 %", "1 agent", "2 agents"),
        ]
        assert figures["use"] == [20, 50, 50, 50, None]
        assert figures["room"] == [
            ["Refused", "full"],
            ["Accepted", "2 of 5 agents run"],
            ["Refused", "the server is draining"],
        ]
        assert figures["pool"]["note"] == "3 of 4 starts found one; 2 died idle"


@pytest.mark.asyncio
async def test_what_the_server_does_is_shown_and_kept_up_to_date() -> None:
    async with (
        # Nothing listens at the second provider's address.
        open_real_server(
            OPENAI_API_KEY="sk-of-nobody",
            REALTIME_API_BASE_URI="ws://127.0.0.1:9",
            MCP_SERVERS="shelf=no-such-program",
        ) as server,
        open_chromium() as browser,
        open_console(browser, f"{server.url}#/now", tolerated=("403",)) as console,
        aiohttp.ClientSession() as http,
    ):
        page = console.page

        async def start(channel: str, **more: object) -> int:
            body = {"channel_name": channel, "uid": 1000, "user_wait_s": 600, **more}
            async with http.post(f"{server.url}start_agent", json=body) as response:
                return response.status

        await expect(page.get_by_text("No agent runs.")).to_be_visible()
        await expect(page.get_by_role("region", name="Next start")).to_contain_text("Accepted")
        await expect(page.get_by_role("region", name="Store")).to_contain_text("ready")
        await expect(console.get(".message")).to_contain_text("the program of shelf is not found")

        assert await start("first") == 200
        assert await start("second") == 200
        assert await start("third", provider="openai") == 502
        row = console.get(".agent-row").filter(has_text="first")
        await expect(row).to_contain_text("Ready")
        await expect(row.locator("dl")).to_contain_text("MB")
        broken = console.get(".row").filter(has_text="openai")
        await expect(broken).to_contain_text("Failing")
        await expect(broken).to_contain_text("nothing listens there")
        await expect(console.get(".row").filter(has_text="local")).to_contain_text("2 sessions")
        await expect_accessible_everywhere(page)

        # What is shown stays the same element, with its focus, while its figures change.
        stop = page.get_by_role("button", name="Stop the agent of first")
        await stop.focus()
        up = row.locator("dl > div", has_text="Up").locator("dd")
        before = await up.inner_text()
        await expect(up).not_to_have_text(before)
        await expect(stop).to_be_focused()

        # A page that nobody sees asks for nothing.
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.evaluate(HIDE, True)
        count = len(asked)
        await page.wait_for_timeout(2500)
        assert len(asked) <= count + 1  # one may have been under way
        await page.evaluate(HIDE, False)

        async def is_asked_again() -> bool:
            return len(asked) > count + 1

        await poll(is_asked_again, DEADLINE_S)

        link = row.get_by_role("link", name="first")
        await expect(link).to_have_attribute("href", re.compile("^#/calls/agent-"))
        await stop.press("Enter")
        await expect(row).to_have_count(0)
        await expect(page.get_by_role("heading", name="1 agent")).to_be_visible()

        # A key of a team sees its own agents, without the server's figures.
        await page.route("**/status", lambda route: route.fulfill(status=403, json=FORBIDDEN))
        await expect(page.get_by_text("This API key shows its own agents only.")).to_be_visible()
        await expect(page.get_by_role("region", name="Next start")).to_be_hidden()
        await expect(page.get_by_role("link", name="second")).to_be_visible()
        await page.unroute("**/status")
        await drain(page, server)
