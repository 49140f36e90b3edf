"""The camera and the screen, shown to an agent that sees: from a real browser to the model."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from playwright.async_api import expect

from conversation.image_assembly import ImageAssembly
from tests.browser.chromium import open_chromium
from tests.browser.console import Console, open_console
from tests.browser.scripted_agent import ScriptedAgent
from tests.browser.site import open_site
from tests.browser.test_agent import open_call
from tests.browser.test_playout import reaching
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.images import shown
from tests.real_server import open_real_server
from untrusted.images import require_image

pytestmark = pytest.mark.browser

NOISE = """async () => {
  const { imageEvents } = await import('/web/client/images.js');
  const canvas = Object.assign(document.createElement('canvas'), { width: 1600, height: 1200 });
  const context = canvas.getContext('2d');
  const picture = context.createImageData(1600, 1200);
  let seed = 7;
  for (let at = 0; at < picture.data.length; at += 1) {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    picture.data[at] = at % 4 === 3 ? 255 : seed >> 16;
  }
  context.putImageData(picture, 0, 0);
  return imageEvents(await new Promise((resolve) => canvas.toBlob(resolve)));
}"""
UNREADABLE = """async () => {
  const { imageEvents } = await import('/web/client/images.js');
  return imageEvents(new Blob(['no picture'])).then(() => 'read', ({ code }) => code);
}"""


def see(agent: ScriptedAgent, *, has_image_input: bool = True) -> None:
    """The agent says whether its model sees."""
    agent.send("agent_ready", has_image_input=has_image_input)


async def next_picture(agent: ScriptedAgent) -> bytes:
    event = await agent.next_client_event()
    assert event["type"] == "client_image_append"
    assert event["format"] == {"type": "image/jpeg"}
    return base64.b64decode(event["image"], validate=True)


async def expect_nothing_more(console: Console, agent: ScriptedAgent) -> None:
    """What comes next is what is written now, after pictures that were on their way already."""
    await console.get("#message").fill("that was all")
    await console.get("#message").press("Enter")
    event: dict[str, Any] = {"type": "client_image_append"}
    while event["type"] == "client_image_append":
        event = await agent.next_client_event()
    assert event == {"type": "client_text_append", "text": "that was all"}


@pytest.mark.asyncio
async def test_the_camera_is_shown_once_a_second_until_the_button_is_pressed_again() -> None:
    async with open_call() as (_site, console, agent):
        camera, preview = console.get("#share-camera"), console.get("#share-preview")
        await expect(camera).to_be_hidden()
        see(agent)
        await camera.click()
        await expect(camera).to_have_attribute("aria-pressed", "true")
        await expect(preview).to_be_visible()
        first, at_s = await next_picture(agent), time.monotonic()
        second = await next_picture(agent)
        third = await next_picture(agent)
        assert time.monotonic() - at_s > 1.5, "one a second"
        for picture in (first, second, third):
            assert require_image(picture, None) == "image/jpeg"
        assert first != second != third
        await camera.click()
        await expect(camera).to_have_attribute("aria-pressed", "false")
        await expect(preview).to_be_hidden()
        await expect_nothing_more(console, agent)


@pytest.mark.asyncio
async def test_the_screen_takes_the_cameras_place_and_an_agent_that_is_blind_ends_it() -> None:
    async with open_call() as (_site, console, agent):
        see(agent)
        camera, screen = console.get("#share-camera"), console.get("#share-screen")
        await camera.click()
        await next_picture(agent)
        await screen.click()
        await expect(screen).to_have_attribute("aria-pressed", "true")
        await expect(camera).to_have_attribute("aria-pressed", "false")
        await next_picture(agent)
        see(agent, has_image_input=False)
        await expect(console.get("#share-controls")).to_be_hidden()
        await expect(console.get("#share-preview")).to_be_hidden()
        await expect_nothing_more(console, agent)


@pytest.mark.asyncio
async def test_a_large_picture_is_cut_into_chunks_that_become_it_again() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url) as console,
    ):
        events: list[dict[str, Any]] = await console.page.evaluate(NOISE)
        assert await console.page.evaluate(UNREADABLE) == "invalid_image"
    assert len(events) > 1
    assert {event["type"] for event in events} == {"client_image_chunk"}
    assembly = ImageAssembly()
    wholes = [
        assembly.add(
            7,
            event["id"],
            index=event["index"],
            count=event["count"],
            piece=event["data"],
            now_s=0,
        )
        for event in events
    ]
    assert wholes[-1] is not None
    picture = base64.b64decode(wholes[-1], validate=True)
    assert require_image(picture, events[0]["format"]["type"]) == "image/jpeg"
    assert 44 * 1024 < len(picture) <= 192 * 1024


@pytest.mark.asyncio
async def test_the_model_of_a_real_agent_sees_the_camera() -> None:
    async with (
        FakeRealtimeServer() as model,
        open_real_server(**reaching(model)) as server,
        open_chromium() as browser,
        open_console(browser, server.url) as console,
    ):
        await console.join("parlour")
        session = await model.next_session()
        await console.get("#share-camera").click()
        items = "conversation.item.create"
        count = 2
        while len(pictures := shown(session.all_of(items))) < 2:
            await session.wait_for(items, count)
            count += 1
        assert [require_image(each, None) for each in pictures] == ["image/jpeg"] * 2
