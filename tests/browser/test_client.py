"""The client for pages, `parley.js`: what goes wrong and how it says so, pictures, reloads, states."""

from __future__ import annotations

import base64
import io
from typing import Any

import av
import numpy as np
import pytest

from tests.browser.chromium import NO_MICROPHONE
from tests.browser.pages import Page, open_page
from tests.browser.scripted_agent import ScriptedAgent
from tests.browser.site import Site, open_site
from tests.browser.waits import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

JOIN = """async (options) => {
  const { join } = await import('/parley.js');
  const { tokens, ...rest } = options;
  if (tokens !== undefined) {
    rest.token = async () => {
      if (tokens.length === 0) throw new Error('the backend is closed');
      return tokens.shift();
    };
  }
  try {
    window.call = await join({ channel: 'desk', microphone: false, ...rest });
    return 'joined';
  } catch ({ code, message, title }) {
    return [code, `${title}: ${message}`];
  }
}"""

STATES = """async () => {
  const { TurnState } = await import('/web/client/turn_state.js');
  const turns = new TurnState();
  const reply = { response_id: 'r', item_id: 'i' };
  const steps = [
    ['agent_response_created', { response_id: 'r' }],
    ['agent_response_tool_use_done', { tool_use: { id: 't' } }],
    ['agent_response_done', { response_id: 'r' }],
    ['agent_response_tool_result', { tool_result: { id: 't' } }],
    ['agent_response_audio_transcript_delta', reply],
    ['agent_response_audio_done', reply],
    ['agent_response_done', { response_id: 'r' }],
    ['agent_playout_done', reply],
    ['agent_response_audio_transcript_delta', { response_id: 's', item_id: 'j' }],
    ['agent_interrupted', { response_id: 's', item_id: 'j' }],
    ['agent_response_audio_transcript_delta', { response_id: 's', item_id: 'j' }],
    ['agent_response_audio_transcript_delta', { response_id: 'written', item_id: 'k' }],
    ['agent_response_done', { response_id: 'written' }],
    ['agent_response_created', { response_id: 'x' }],
    ['agent_ready', {}],
  ];
  return steps.map(([type, fields]) => { turns.apply({ type, ...fields }); return turns.word; });
}"""

PICTURE = """async () => {
  const canvas = document.createElement('canvas');
  canvas.width = 1600; canvas.height = 1200;
  const pen = canvas.getContext('2d');
  const noise = pen.createImageData(1600, 1200);
  for (let start = 0; start < noise.data.length; start += 65536) {
    crypto.getRandomValues(noise.data.subarray(start, start + 65536));
  }
  pen.putImageData(noise, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  const text = await call.sendImage(new Blob(['no picture'])).catch(({ code }) => code);
  return [await call.sendImage(blob), text];
}"""


async def code_of(page: Page, **options: Any) -> str:
    """The code with which a join fails."""
    result = await page.evaluate(JOIN, options)
    assert result != "joined"
    code, text = result
    # For people: a title, and a sentence.
    assert not text.startswith(("undefined", ":"))
    assert len(text) > len(code)
    return str(code)


@pytest.mark.asyncio
async def test_a_join_that_cannot_be_says_why() -> None:
    async with open_site() as site, open_page("chromium", flags=NO_MICROPHONE) as page:
        await page.goto(site.url)
        for options in (
            {"channel": "../etc"},
            {"uid": 0},
            {"name": "x" * 65},
            {"server": "ftp://x"},
            {"transport": "pigeon"},
            {"token": 7},
            {"chanel": "desk"},
        ):
            assert await code_of(page, **options) == "invalid_option", options
        assert await code_of(page, microphone=True) == "no_microphone"
        page.tolerated += ["violates the following Content Security Policy", "Content Security"]
        assert await code_of(page, server="http://127.0.0.1:9/") == "unreachable"
        assert await page.evaluate(STATES) == [
            *("thinking", "thinking", "thinking", "listening"),
            *("speaking", "speaking", "speaking", "listening"),
            *("speaking", "listening", "listening", "speaking", "listening"),
            *("thinking", "listening"),
        ]


@pytest.mark.asyncio
async def test_tokens_are_asked_for_and_those_that_fail_are_named() -> None:
    async with open_site(api_key="a key of the tests") as site, open_page("chromium") as page:
        await page.goto(site.url)
        page.tolerated.append("401")  # the console of that page lists the agents
        mint = site.rooms.tokens.mint
        good = mint(channel="desk", role="user", ttl_s=60)
        old = site.expired_token("desk")
        other = mint(channel="elsewhere", role="user", ttl_s=60)
        assert await code_of(page) == "unauthorized"
        assert await code_of(page, token=old) == "token_expired"
        assert await code_of(page, token="nonsense") == "unauthorized"
        assert await code_of(page, token=other) == "forbidden"
        assert await code_of(page, tokens=[]) == "token_failed"
        assert await code_of(page, tokens=[old, good]) == "token_expired"
        assert await page.evaluate(JOIN, {"token": good}) == "joined"
        uid = await page.evaluate("() => call.uid")
        # After a reload this tab has the place that it had, by a token that names none.
        await page.goto(site.url)
        assert await page.evaluate(JOIN, {"tokens": [good]}) == "joined"
        assert await page.evaluate("() => call.uid") == uid
        # It is not lost with the server's connection, though the token has expired meanwhile.
        await _come_back(site, page)


async def _come_back(site: Site, page: Page) -> None:
    page.tolerated += ["WebSocket connection", "ERR_CONNECTION_REFUSED"]
    await page.evaluate("() => { call.on('regained', () => { window.isBack = true; }); }")
    await site.stop()
    await wait_until(page, "() => call.isLost")
    await site.start()
    await wait_until(page, "() => window.isBack")


async def _receive_picture(agent: ScriptedAgent) -> bytes:
    text, count = "", 1
    while count:
        chunk = await agent.next_client_event()
        assert (chunk["type"], chunk["format"]) == ("client_image_chunk", {"type": "image/jpeg"})
        text += chunk["data"]
        count = chunk["count"] - chunk["index"] - 1
    return base64.b64decode(text)


@pytest.mark.asyncio
async def test_a_picture_is_made_small_enough() -> None:
    async with open_site() as site, open_page("chromium") as page:
        await page.goto(site.url)
        start = (
            "async () => (await import('/parley.js')).startAgent({ channel: 'desk', uid: 1000 })"
        )
        assert (await page.evaluate(start))["state"] == "ready"
        page.tolerated.append("400")
        assert await page.evaluate(start) is None
        assert await page.evaluate(JOIN, {}) == "joined"
        agent = site.agents["desk"]
        await agent.wait_for_user()
        await wait_until(page, "() => call.state === 'listening'")
        assert await page.evaluate(PICTURE) == [True, "invalid_image"]
        with av.open(io.BytesIO(await _receive_picture(agent)), "r") as picture:
            frame = next(picture.decode(video=0))
        assert frame.width / frame.height == pytest.approx(4 / 3, abs=0.01)
        assert np.std(frame.to_ndarray(format="gray")) > 10
        assert (
            await page.evaluate("async () => { await call.leave(); return call.state; }") == "ended"
        )
        assert await page.evaluate("() => call.sendText('too late')") is False
        await agent.wait_until_alone()
