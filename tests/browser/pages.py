"""A page in Chromium or in Firefox: the same steps for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol

from playwright.async_api import ConsoleMessage
from playwright.async_api import Page as PlaywrightPage

from tests.browser.chromium import GRANTED_MICROPHONE, INSTRUMENTS, WAIT_MS, open_chromium
from tests.browser.firefox import open_firefox, open_firefox_page
from tests.browser.waits import Scripted, wait_until_seen

BrowserName = Literal["chromium", "firefox"]


class Page(Scripted, Protocol):
    """One tab, and what the browser complained about in it."""

    complaints: list[str]
    tolerated: list[str]

    async def goto(self, url: str) -> None:
        """Open a page; returns when it is loaded."""
        ...

    async def click(self, selector: str) -> None:
        """Click on an element that can be seen, as a person does."""
        ...

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        ...

    async def screenshot(self) -> bytes:
        """A picture of it, as PNG."""
        ...


class ChromiumPage:
    """One tab of Chromium."""

    def __init__(self, page: PlaywrightPage) -> None:
        self._page = page
        self.complaints: list[str] = []
        self.tolerated: list[str] = []
        page.on("console", self._handle_message)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def goto(self, url: str) -> None:
        """Open a page; returns when it is loaded."""
        await self._page.goto(url)

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """What a function, or an expression, gives in the page."""
        return await self._page.evaluate(script, argument)

    async def click(self, selector: str) -> None:
        """Click on an element that can be seen, as a person does."""
        await wait_until_seen(self, selector)
        await self._page.locator(selector).click()

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other; a text is typed."""
        for key in keys:
            if len(key) > 1 and key in {"Enter", "Tab", "Escape"}:
                await self._page.keyboard.press(key)
            else:
                await self._page.keyboard.type(key)

    async def screenshot(self) -> bytes:
        """A picture of it, as PNG."""
        return await self._page.screenshot()

    def _handle_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


@asynccontextmanager
async def open_page(browser: BrowserName, *, flags: Sequence[str] = ()) -> AsyncIterator[Page]:
    """A page with a microphone that sounds; flags: of Chromium, in place of those for that.

    In the end the browser may have complained about `tolerated` only.
    """
    page: Page
    if browser == "firefox":
        async with open_firefox() as bidi:
            page = await open_firefox_page(bidi)
            yield page
    else:
        async with open_chromium(flags or GRANTED_MICROPHONE) as chromium:
            context = await chromium.new_context()
            context.set_default_timeout(WAIT_MS)
            opened = await context.new_page()
            await opened.add_init_script(INSTRUMENTS)
            page = ChromiumPage(opened)
            yield page
    rest = [one for one in page.complaints if not any(word in one for word in page.tolerated)]
    assert not rest, rest


async def hear(page: Page) -> None:
    """From now on, something is heard from the newest remote track before the deadline."""
    await page.evaluate("(deadline) => window.parleyTest.waitUntilLoud(deadline)", WAIT_MS)


async def write(page: Page, selector: str, text: str) -> None:
    """Write a text into a field and send it off."""
    await page.click(selector)
    await page.press(text, "Enter")
