"""Screens of the page and the addresses that name them, also while a call goes on."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.chromium import open_chromium
from tests.browser.console import open_console
from tests.browser.site import open_site

pytestmark = pytest.mark.browser

# The site has no such parts of the API: their screens say so.
NO_FIGURES = ("404",)

PLACES = """async () => {
  const { parseHash, formatHash } = await import('/web/console/router.js');
  const read = (hash) => {
    const { screen, path, query } = parseHash(hash);
    return [screen, path, Object.fromEntries(query)];
  };
  return {
    read: ['', '#/', '#channel=a%20b', '#/now', '#/calls/17?agent=a%26b&text=', '#/calls/%E0%A4%A',
      '#/other/1', '#/constructor'].map(read),
    written: [formatHash('talk'), formatHash('now'), formatHash('calls', ['a/b']),
      formatHash('calls', [], { agent: 'a&b', text: '', since: 5 })],
  };
}"""


@pytest.mark.asyncio
async def test_screens_and_their_addresses() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, f"{site.url}#/now", tolerated=NO_FIGURES) as console,
    ):
        places = await console.page.evaluate(PLACES)
        assert places["read"] == [
            ["talk", [], {}],
            ["talk", [], {}],
            ["talk", [], {"channel": "a b"}],
            ["now", [], {}],
            ["calls", ["17"], {"agent": "a&b", "text": ""}],
            ["calls", ["%E0%A4%A"], {}],
            ["talk", [], {}],
            ["talk", [], {}],
        ]
        assert places["written"] == ["#/", "#/now", "#/calls/a%2Fb", "#/calls?agent=a%26b&since=5"]

        links = console.page.get_by_role("navigation", name="Screens")
        await expect(console.page.get_by_role("heading", name="Now", exact=True)).to_be_visible()
        await expect(console.get("#join-form")).to_be_hidden()
        for name in ("Calls", "Setup", "Now"):
            await links.get_by_role("link", name=name).press("Enter")
            await expect(console.page.get_by_role("heading", level=1)).to_have_text(name)
            await expect(links.locator("[aria-current]")).to_have_text(name)
            await expect(console.page).to_have_title(f"{name} · Parley")
            await expect(console.get("#main")).to_be_focused()
        await console.page.evaluate("location.hash = '#channel=linked'")
        await expect(console.page.get_by_label("Channel", exact=True)).to_have_value("linked")
        await console.page.go_back()
        await expect(console.page.get_by_role("heading", level=1)).to_have_text("Now")


@pytest.mark.asyncio
async def test_a_call_goes_on_beside_other_screens() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, f"{site.url}#channel=beside", tolerated=NO_FIGURES) as console,
    ):
        back = console.page.get_by_role("link", name="Back to the call")
        await console.join("beside")
        await expect(back).to_be_hidden()
        for leave in ("Now", "Calls"):
            await console.page.get_by_role("link", name=leave, exact=True).click()
            await expect(console.get("#call")).to_be_hidden()
            await console.page.keyboard.press("m")  # mutes in the call's own screen only
            await back.click()
            await expect(console.get("#call")).to_be_visible()
            await expect(console.page).to_have_url(re.compile("#channel=beside$"))
        await expect(console.get("#mute")).to_have_attribute("aria-pressed", "false")
        await console.get(".brand").click()  # not a new page
        agent = site.agents["beside"]
        said = {"response_id": "r", "item_id": "i", "transcript": "Still here"}
        agent.send("agent_response_audio_transcript_done", **said)
        await expect(console.entries("agent")).to_contain_text("Still here")
        await console.page.get_by_role("link", name="Setup", exact=True).click()
        await agent.stop()
        await console.page.get_by_role("link", name="Talk", exact=True).click()
        await console.get("#leave").click()
        await expect(console.get("#lobby")).to_be_visible()
        await console.page.get_by_role("link", name="Now", exact=True).click()
        await expect(back).to_be_hidden()
