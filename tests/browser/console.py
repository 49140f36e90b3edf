"""The console page as its user sees it, and a watch on what the browser complains about."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, expect

from tests.browser.chromium import INSTRUMENTS, WAIT_MS

A_VOICE = re.compile(r"^([3-9]\d|100)$")

expect.set_options(timeout=WAIT_MS)


class Console:
    """One open console page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._handle_message)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))

    def _handle_message(self, message: ConsoleMessage) -> None:
        # Content security violations are console errors too.
        if message.type == "error":
            self.complaints.append(message.text)

    def get(self, selector: str) -> Locator:
        """The element behind a CSS selector."""
        return self.page.locator(selector)

    def notice(self, title: str) -> Locator:
        """The notice with this title."""
        return self.page.locator(".notice", has_text=title)

    def entries(self, kind: str) -> Locator:
        """Entries of the transcript: user, agent, tool, chat or note."""
        return self.page.locator(f".entry.{kind}")

    async def join(self, channel: str) -> None:
        """What a user does: name a channel, press the button, be in the call."""
        await self.page.get_by_label("Channel", exact=True).fill(channel)
        await self.page.locator("#join").click()
        await expect(self.page.locator("#call")).to_be_visible()

    async def expect_level(self, side: str) -> None:
        """The level meter of `user` or `agent` shows a voice."""
        await expect(self.get(f"#meter-{side}")).to_have_attribute("aria-valuenow", A_VOICE)


@asynccontextmanager
async def open_console(
    browser: Browser, url: str, *, tolerated: tuple[str, ...] = (), **context_options: Any
) -> AsyncIterator[Console]:
    """Open the page. At the end the browser may have complained about `tolerated` only."""
    context = await browser.new_context(**context_options)
    context.set_default_timeout(WAIT_MS)
    page = await context.new_page()
    await page.add_init_script(INSTRUMENTS)
    console = Console(page)
    await page.goto(url)
    yield console
    await context.close()
    rest = [text for text in console.complaints if not any(word in text for word in tolerated)]
    assert not rest, rest
