"""Calls in the console: a real call that is followed, steered, looked at and deleted."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.accessibility import expect_accessible, expect_accessible_everywhere
from tests.browser.chromium import expect_sound, open_chromium
from tests.browser.console import Console, open_console
from tests.browser.test_conversation import LONG_GREETING, SPOKEN_WAIT_MS, compose
from tests.real_server import RealServer, open_real_server

pytestmark = [pytest.mark.browser, pytest.mark.speech, pytest.mark.timeout(180)]

ADMIN_KEY = "an-admin-key-of-this-test"
APP = '''
from parley import Agent, tool


@tool(needs_approval=True)
def get_weather(city: str) -> str:
    """Weather in a city."""
    return f"Sunny in {city}, 21 degrees"


reception = Agent("reception", tools=[get_weather], toolsets=["everyday"])
'''


def line(page: Page, kind: str) -> Locator:
    """Lines of the transcript on the call's page."""
    return page.locator(f".line.{kind}")


async def make_key(server: RealServer, name: str, scopes: list[str]) -> str:
    """The secret of a new key."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    body = {"name": name, "scopes": scopes}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{server.url}keys", json=body) as response,
    ):
        return str((await response.json())["secret"])


async def use_key(page: Page, key: str) -> None:
    """As if it had been pasted in this tab."""
    await page.evaluate("(key) => sessionStorage.setItem('parley.apiKey', key)", key)


async def begin_call(console: Console) -> None:
    """Start the app's agent with many first words, recorded, and join it."""
    await use_key(console.page, ADMIN_KEY)
    await console.page.reload()
    await expect(console.get("#agent")).to_contain_text("reception")
    await console.get("#agent").select_option("reception")
    await console.page.get_by_text("Agent and call options").click()
    await console.get("#greeting").fill(LONG_GREETING)
    await console.get("#recording").check()
    await console.join("parlour")
    await expect(console.get("#status")).to_have_text("Connected")


async def follow(page: Page, key: str) -> None:
    """Open the live call in a second tab, with a key that is asked for."""
    await page.evaluate("location.hash = '#/calls?live=1'")
    await page.get_by_label("API key", exact=True).fill(key)
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name=re.compile("parlour")).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("parlour")
    await expect(page.locator(".call-badge")).to_contain_text("Live")


async def steer(page: Page, console: Console) -> None:
    """Approve a tool call, have something said, listen in, mute, stop."""
    reply = console.entries("agent").nth(1)
    await expect(reply).to_have_attribute("data-state", "done", timeout=SPOKEN_WAIT_MS)
    await console.get("#message").fill("What is the weather in Tokyo?")
    await console.get("#message").press("Enter")
    await page.get_by_role("button", name="Approve").click(timeout=SPOKEN_WAIT_MS)
    await expect(line(page, "tool").last).to_contain_text("21 degrees")
    await expect(line(page, "agent").last).to_contain_text("21 degrees", timeout=SPOKEN_WAIT_MS)

    listen = page.get_by_role("button", name="Listen in")
    await listen.click()
    await expect(page.get_by_text("The key of this tab does not allow it.")).to_be_visible()
    await use_key(page, ADMIN_KEY)
    await listen.click()
    await expect(listen).to_have_attribute("aria-pressed", "true")
    await expect(console.get('.person[data-role="listener"]')).to_have_count(1)
    await page.get_by_label("Have the agent say").fill("Somebody of our staff listens now.")
    heard = asyncio.get_running_loop().create_task(expect_sound(page, is_of_any=True))
    await page.keyboard.press("Enter")
    await heard
    await expect(line(page, "agent").last).to_contain_text("our staff", timeout=SPOKEN_WAIT_MS)
    await page.get_by_role("button", name="Mute").click()
    await expect(page.get_by_role("button", name="Mute")).to_have_attribute("aria-pressed", "true")
    await expect_accessible(page)
    await page.get_by_role("button", name="Stop the call").click()
    dialog = page.get_by_role("dialog")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await page.get_by_role("button", name="Stop the call").click()
    await dialog.get_by_role("button", name="Stop the call").click()
    await expect(page.locator(".call-head-line .call-badge")).to_have_text("Stopped")
    await expect(page.locator(".steering")).to_be_hidden()


async def look(page: Page) -> None:
    """Play the recording: transcript and timeline are in step, and lead to one another."""
    await expect(line(page, "agent").first.locator(".interrupted-tag")).to_be_visible()
    await expect(page.locator(".marks-legend")).to_contain_text("Interrupted")
    await expect(page.locator(".marks-legend")).to_contain_text("Approval asked")
    await expect(page.locator(".turn-row").first).to_contain_text(
        re.compile(r"Turn 1: .*Endpointing [\d.]+ m?s, Model [\d.]+ m?s, First audio out")
    )
    slider = page.get_by_role("slider", name="Place in the call")
    asked = line(page, "user").first
    await asked.get_by_role("button").click()
    await expect(asked).to_have_attribute("aria-current", "true")
    # On a busy machine the agent's words may still reach into theirs.
    await expect(slider).to_have_attribute("aria-valuetext", re.compile("person speaks|both speak"))
    # It plays: what is heard goes on to the reply by itself.
    await expect(asked).not_to_have_attribute("aria-current", "true", timeout=SPOKEN_WAIT_MS)
    await slider.focus()
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    await page.keyboard.press("Home")
    await expect(slider).to_have_attribute("aria-valuenow", "0")
    for _ in range(2):
        await page.keyboard.press("ArrowRight")
    await expect(slider).to_have_attribute("aria-valuenow", "4")
    await expect(line(page, "agent").first).to_have_attribute("aria-current", "true")
    box = await slider.bounding_box()
    assert box is not None
    await slider.click(position={"x": box["width"] - 2, "y": box["height"] / 2})
    assert int(await slider.get_attribute("aria-valuenow") or 0) > 10


async def export(page: Page) -> None:
    """Save the call as JSON and its recording as WAV."""
    told = json.loads(await download(page, "Export JSON"))
    assert "Tokyo" in json.dumps(told["transcript"])
    assert (await download(page, "Export WAV"))[:4] == b"RIFF"


async def download(page: Page, button: str) -> bytes:
    """What a button saves as a file."""
    async with page.expect_download() as saved:
        await page.get_by_role("button", name=button).click()
    path = await (await saved.value).path()
    return await asyncio.to_thread(path.read_bytes)


async def delete(page: Page) -> None:
    """Delete everything of the thread, after having thought about it once."""
    await page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await expect_accessible(page)
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await page.get_by_role("button", name="Delete…").click()
    await dialog.get_by_label("Everything of the thread").check()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No calls yet")).to_be_visible()


@pytest.mark.asyncio
async def test_a_call_is_followed_steered_looked_at_and_deleted(tmp_path: Path) -> None:
    app = tmp_path / "reception.py"
    app.write_text(APP)
    microphone = compose(tmp_path / "microphone.wav", 6.0, "u01_f", 90.0)
    async with (
        open_real_server(
            APP=str(app), RECORDINGS_DIR=str(tmp_path / "recordings"), API_KEYS=ADMIN_KEY
        ) as server,
        open_chromium(microphone=microphone) as browser,
        open_console(browser, server.url, tolerated=("401",)) as console,
        open_console(browser, server.url, tolerated=("401", "403")) as second,
    ):
        reader = await make_key(server, "reader", ["read_calls", "steer"])
        await begin_call(console)
        page = second.page
        await follow(page, reader)
        await expect(line(page, "user").first).to_contain_text(
            re.compile("what time", re.I), timeout=SPOKEN_WAIT_MS
        )
        greeting = line(page, "agent").first.locator(".line-words")
        await expect(greeting.locator("del")).to_be_visible()
        said = " ".join((await greeting.inner_text()).split())
        assert LONG_GREETING.startswith(said.replace("Not heard: ", ""))
        await steer(page, console)
        await look(page)
        await expect_accessible_everywhere(page)
        await export(page)
        await delete(page)
