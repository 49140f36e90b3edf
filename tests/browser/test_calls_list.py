"""The list of calls in the console: ten thousand stored calls, found, paged and opened."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Locator, Page, expect

from control.store.database import database_url
from tests.browser.accessibility import expect_accessible, expect_accessible_everywhere
from tests.browser.chromium import open_chromium
from tests.browser.console import open_console
from tests.control.api.test_calls import served
from tests.control.store.many_calls import store_many_calls

pytestmark = pytest.mark.browser

MAX_ROWS: Final = 80


async def rows_of(page: Page) -> int:
    """How many rows are in the page."""
    return await page.locator(".call-row").count()


@pytest.mark.asyncio
async def test_ten_thousand_calls_are_found_paged_and_opened(tmp_path: Path) -> None:
    calls = await store_many_calls(database_url(tmp_path, None))
    async with (
        served(tmp_path) as (api, _),
        open_chromium() as browser,
        # Those that are live are so in another server, which has their events.
        open_console(browser, str(api.make_url("/#/calls")), tolerated=("404",)) as console,
    ):
        page = console.page
        count = page.locator("#calls-count")
        await expect(count).to_have_text("The latest 100 calls")
        await page.get_by_text("More filters").click()
        await expect_accessible_everywhere(page)
        await page.get_by_text("More filters").click()
        await check_filters(page, count)
        await check_pages(page, count)
        await check_keys(page, calls[0].channel_name)


async def check_filters(page: Page, count: Locator) -> None:
    """Filters are in the address, as chips, and in what is shown."""
    await page.get_by_label("Show").select_option("1")
    await expect(count).to_have_text("5 calls")
    await expect(page.locator(".call-row .call-badge")).to_have_text(["Live"] * 5)
    await expect(page).to_have_url(re.compile(r"#/calls\?live=1$"))
    await page.get_by_role("button", name="Remove filter: Only live").click()
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("PERSON-77")
    await page.get_by_label("Ended").select_option("crashed")
    await expect(page.locator(".cell-who").first).to_contain_text("person-77")
    await expect(page.locator(".call-row .call-badge").first).to_have_text("Crashed")
    # A link to what is found finds the same.
    found = await count.inner_text()
    await page.reload()
    await expect(count).to_have_text(found)
    await expect(page.get_by_role("searchbox")).to_have_value("PERSON-77")
    await page.get_by_role("searchbox").fill("no such person")
    await expect(page.get_by_text("No call fits these filters")).to_be_visible()
    await expect_accessible(page)
    await page.get_by_role("button", name="Clear all").click()
    await expect(count).to_have_text("The latest 100 calls")


async def check_pages(page: Page, count: Locator) -> None:
    """Page after page comes as one scrolls; the page holds the rows near the window alone."""
    for loaded in range(2, 12):
        await page.evaluate("scrollTo(0, document.body.scrollHeight)")
        await expect(count).not_to_have_text(f"The latest {loaded * 100 - 100:,} calls")
    assert await rows_of(page) < MAX_ROWS
    last = page.locator(".call-row").last
    assert int(await last.get_attribute("aria-rowindex") or 0) > 1000
    # The way back leads to the row that one came from.
    address = await last.get_by_role("link").get_attribute("href")
    await last.get_by_role("link").click()
    await expect(page.get_by_role("heading", name="Transcript")).to_be_visible()
    await page.go_back()
    await expect(page.locator(f'a[href="{address}"]')).to_be_in_viewport()
    assert await rows_of(page) < MAX_ROWS


async def check_keys(page: Page, newest: str) -> None:
    """From row to row with the keyboard, and into a call."""
    await page.evaluate("scrollTo(0, 0)")
    links = page.get_by_role("link", name=re.compile("Call in"))
    await links.first.focus()
    await page.keyboard.press("Tab")
    await expect(links.nth(1)).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text(newest)
    await expect(page.locator("del")).to_have_count(0)
    await expect(page.locator(".line.tool")).to_contain_text("find_order")
