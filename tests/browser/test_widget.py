"""The widget in a page of another site: one tag, a strict policy, a backend with the key."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.browser.chromium import DENIED_MICROPHONE
from tests.browser.pages import BrowserName, Page, hear, open_page, write
from tests.browser.site import Site, open_site
from tests.browser.waits import wait_for_text, wait_until, wait_until_seen
from tests.fakes.http_server import HttpServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

API_KEY = "a key that only the owner's backend has"
HEAD = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>A shop</title>'
IDS = {"response_id": "r1", "item_id": "i1"}


class Shop:
    """An owner's site: a page, and a backend that starts agents and mints tokens."""

    def __init__(self) -> None:
        self._server = HttpServer()
        self.origin = f"http://127.0.0.1:{self._server.port}"
        self.asked: list[dict[str, str]] = []
        self.refusal: web.Response | None = None
        self._site: Site | None = None
        self._tag = ""

    async def start(self, site: Site, tag: str) -> None:
        """Serve a page with this tag, beside `site`."""
        self._site = site
        self._tag = tag
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_post("/session", self._session)
        await self._server.start(app)

    async def stop(self) -> None:
        """Stop serving."""
        await self._server.stop()

    async def _page(self, _request: web.Request) -> web.Response:
        assert self._site is not None
        server = self._site.url.rstrip("/")
        policy = (
            f"default-src 'none'; script-src {server}; img-src data:; require-trusted-types-for 'script'; "
            f"connect-src 'self' {server} {server.replace('http', 'ws', 1)}"
        )
        headers = {"Content-Security-Policy": policy}
        text = f"{HEAD}<h1>A shop</h1>{self._tag}"
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _session(self, request: web.Request) -> web.Response:
        assert self._site is not None
        if self.refusal is not None:
            return self.refusal
        wanted = await request.json()
        self.asked.append(wanted)
        channel = wanted.get("channel") or f"visit-{secrets.token_hex(6)}"
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with aiohttp.ClientSession(self._site.url, headers=headers) as parley:
            await parley.post("start_agent", json={"channel_name": channel, "uid": 1000})
            claims = {"channel_name": channel, "uid": 0, "role": "user"}
            async with parley.post("token", json=claims) as answer:
                token = (await answer.json())["token"]
        return web.json_response({"server": self._site.url, "channel": channel, "token": token})


@asynccontextmanager
async def open_shop(
    browser: BrowserName, tag: str, *, flags: tuple[str, ...] = (), **options: str
) -> AsyncIterator[tuple[Site, Shop, Page]]:
    """Its page, with SERVER in the tag replaced; options: of the server of agents."""
    shop = Shop()
    async with open_site(allowed_origins=[shop.origin], **options) as site:
        await shop.start(site, tag.replace("SERVER", site.url.rstrip("/")))
        try:
            async with open_page(browser, flags=flags) as page:
                await page.goto(shop.origin)
                yield site, shop, page
        finally:
            await shop.stop()


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
@pytest.mark.asyncio
async def test_one_tag_brings_a_voice_to_a_strict_page(browser: BrowserName) -> None:
    tag = '<script type="module" src="SERVER/widget.js" data-agent="orders" data-token-url="/session"></script>'
    async with open_shop(browser, tag, api_key=API_KEY) as (site, shop, page):
        await wait_for_text(page, "parley-call >> .start", "Talk to us")
        await page.press("Tab", "Enter")
        await wait_for_text(page, "parley-call >> .state", "Listening")
        assert shop.asked == [{"agent": "orders"}]
        (agent,) = site.agents.values()
        await agent.wait_for_user()
        agent.send("agent_response_audio_transcript_delta", **IDS, delta="<b>Good</b> day.")
        agent.play_tone(600, 3.0)
        await hear(page)
        await agent.hear()
        await wait_for_text(page, "parley-call >> .captions", "<b>Good</b> day.")
        await wait_for_text(page, "parley-call >> .state", "Speaking")
        agent.send("agent_playout_done", **IDS)
        await wait_for_text(page, "parley-call >> .state", "Listening")
        await page.click("parley-call >> .mute")
        await wait_for_text(page, "parley-call >> .state", "You are muted")
        await page.press("Tab", "Enter")
        await wait_until_seen(page, "parley-call >> .start")
        # A person who uses the keyboard is where they were.
        script = "(find) => find('parley-call').shadowRoot.activeElement === find('parley-call >> .start')"
        await wait_until(page, script)
        assert await page.evaluate("() => window.parleyTest.violations") == []
        shop.refusal = web.json_response({"error": "We are closed."}, status=503)
        page.tolerated.append("503")
        await page.click("parley-call >> .start")
        await wait_for_text(page, "parley-call >> .problem", "We are closed.")


@pytest.mark.asyncio
async def test_without_microphone_and_backend_a_visitor_types() -> None:
    tag = (
        '<script type="module" src="SERVER/widget.js"></script>'
        '<parley-call channel="desk" name="Ada" label="Ask the desk"></parley-call>'
    )
    async with open_shop("chromium", tag, flags=DENIED_MICROPHONE) as (site, _shop, page):
        await page.click("parley-call >> .start")
        await wait_for_text(page, "parley-call >> .problem", "The microphone is blocked")
        assert site.requests == []
        await page.click("parley-call >> .without")
        await wait_for_text(page, "parley-call >> .state", "Listening")
        assert site.requests == [("/start_agent", {"channel_name": "desk"})]
        await write(page, "parley-call >> input", "Are you open?")
        assert (await site.agents["desk"].next_client_event())["text"] == "Are you open?"
        # It goes with its element, and so does the visitor.
        await page.evaluate("() => document.querySelector('parley-call').remove()")
        await site.agents["desk"].wait_until_alone()
