"""Chromium as a client of its own: offers of many forms, answered in a form that it takes."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import aiohttp
import pytest
from playwright.async_api import expect

from tests.browser.chromium import open_chromium
from tests.browser.console import open_console
from tests.browser.scripted_agent import ScriptedAgent
from tests.browser.site import open_site
from tests.deadlines import DEADLINE_S

pytestmark = pytest.mark.browser

HELLO: Final = json.dumps({"type": "client_text_append", "text": "hello"})
CALL: Final = """async ({ kinds, labels, policy, channelFirst, hello }) => {
  const pc = new RTCPeerConnection({ bundlePolicy: policy });
  const channels = [];
  const open = () => labels.forEach((label) => channels.push(pc.createDataChannel(label)));
  if (channelFirst) {
    open();
    await pc.setLocalDescription();   // the section of the data channel comes first
  }
  for (const kind of kinds) pc.addTransceiver(kind, { direction: kind === 'video' ? 'recvonly' : 'sendrecv' });
  if (!channelFirst) open();
  await pc.setLocalDescription();
  if (pc.iceGatheringState !== 'complete') {
    await new Promise((done) => pc.addEventListener('icegatheringstatechange',
      () => { if (pc.iceGatheringState === 'complete') done(); }));
  }
  const sdp = pc.localDescription.sdp;
  const response = await fetch('/rooms/plain/call',
    { method: 'POST', body: JSON.stringify({ type: 'offer', sdp }) });
  const answer = await response.json();
  if (!response.ok) return { status: response.status, answer, sdp };
  await pc.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
  const told = channels.map((channel) => new Promise((done) => {
    channel.addEventListener('message', ({ data }) => done(data));
    const speak = () => channel.send(hello);
    if (channel.readyState === 'open') speak(); else channel.addEventListener('open', speak);
  }));
  await new Promise((done, fail) => {
    const look = () => {
      if (pc.connectionState === 'connected') done();
      if (pc.connectionState === 'failed') fail(new Error('failed'));
    };
    pc.addEventListener('connectionstatechange', look);
    look();
  });
  const directions = pc.getTransceivers().map(({ currentDirection }) => currentDirection);
  const result = { status: response.status, told: await Promise.all(told), directions };
  pc.close();
  return result;
}"""


async def _call(browser: Any, url: str, **arguments: Any) -> dict[str, Any]:
    page = await browser.new_page()
    await page.goto(url)
    given = {"kinds": ["audio"], "labels": ["events"], "policy": "balanced", "channelFirst": False}
    result: dict[str, Any] = await page.evaluate(CALL, {**given, "hello": HELLO, **arguments})
    await page.close()
    return result


async def _answer_each(agent: ScriptedAgent, count: int) -> None:
    for _ in range(count):
        assert (await agent.next_client_event())["text"] == "hello"
    agent.send("agent_text")


@pytest.mark.asyncio
async def test_offers_of_many_forms_connect_and_events_go_over_any_channel() -> None:
    # What was rejected is no transceiver any more.
    forms: tuple[tuple[dict[str, Any], list[str]], ...] = (
        ({"labels": ["oai-events"]}, ["sendrecv"]),
        ({"labels": ["chat", "data"]}, ["sendrecv"]),
        ({"channelFirst": True}, ["sendrecv"]),
        ({"kinds": ["video", "audio"]}, ["sendrecv"]),
        ({"kinds": ["audio", "video", "audio"]}, ["sendrecv"]),
        ({"kinds": ["video", "audio"], "policy": "max-bundle"}, ["inactive", "sendrecv"]),
        ({"policy": "max-bundle"}, ["sendrecv"]),
        ({"policy": "max-compat", "kinds": ["audio", "video"]}, ["sendrecv"]),
    )
    async with open_site() as site, open_chromium() as browser:
        agent = ScriptedAgent(site.url, "plain", 1000, site.agent_token("plain", 1000))
        await agent.start()
        try:
            for form, directions in forms:
                labels = form.get("labels", ["events"])
                async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
                    group.create_task(_answer_each(agent, len(labels)))
                    call = group.create_task(_call(browser, site.url, **form))
                result = call.result()
                assert (result["status"], form) == (200, form), result
                told = [json.loads(text)["type"] for text in result["told"]]
                assert (told, form) == (["agent_text"] * len(labels), form)
                assert (result["directions"], form) == (directions, form)
        finally:
            await agent.stop()


@pytest.mark.asyncio
async def test_the_page_says_why_an_agent_makes_no_connection_with_it() -> None:
    async with open_site() as site, open_chromium() as browser, aiohttp.ClientSession() as http:
        site.start_failure = {"error": "not here", "code": "start_failed"}
        socket = await http.ws_connect(f"{site.url}rooms/plain/ws")
        join = {"type": "join", "role": "agent", "uid": 1000, "name": "Stub"}
        await socket.send_json({**join, "token": site.agent_token("plain", 1000)})
        async with open_console(browser, site.url, tolerated=("502",)) as console:
            await console.get("#channel").fill("plain")
            await console.get("#join").click()
            await console.page.get_by_role("button", name="Join without agent").click()
            while (frame := await socket.receive_json(timeout=DEADLINE_S))["type"] != "description":
                pass
            refusal = {"to": frame["from"], "connection_id": frame["connection_id"]}
            await socket.send_json(
                {"type": "refuse", "code": "invalid", "message": "need Opus", **refusal}
            )
            notice = console.page.locator('[data-topic="peer"]')
            await expect(notice).to_contain_text("Stub makes no connection with this page")
            await expect(notice).to_contain_text("need Opus")
            # And offers again.
            while (frame := await socket.receive_json(timeout=DEADLINE_S))["type"] != "description":
                pass
            assert frame["connection_id"] != refusal["connection_id"]
        await socket.close()
