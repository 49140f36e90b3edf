"""The page on a network that dies: noticed, healed, and the conversation is still there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shlex
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from audio import write_wav
from rtc.room_server.ice_servers import IceServers
from tests.browser.chromium import GRANTED_MICROPHONE, expect_sound, find_chromium, open_chromium
from tests.browser.console import Console, open_console
from tests.browser.scripted_agent import ScriptedAgent
from tests.browser.site import Site, open_site
from tests.deadlines import DEADLINE_S
from tests.fakes.coturn import SECRET, running_coturn
from tests.fakes.media_gate import MediaGate, own_address
from tests.fakes.namespaces import HOME_ADDRESS, Namespaces
from tests.rtc.sound import tone

pytestmark = pytest.mark.browser

PORTS = (29_330, 29_337)
RATE_HZ = 24_000
HEALED_WITHIN_S = 20.0
# 3 s, and what a busy machine takes to show it.
NOTICED_WITHIN_S = 10.0


async def _hide_addresses(page: Page) -> None:
    """Nobody learns where the page is, so that all media takes the gate."""

    def hide(text: str | bytes) -> str | None:
        frame = json.loads(text)
        if frame["type"] == "candidate":
            return None
        if frame["type"] == "description":
            frame["sdp"] = re.sub(r"a=candidate:.*\r\n", "", frame["sdp"])
        return json.dumps(frame)

    def join(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(text: str | bytes) -> None:
            if (hidden := hide(text)) is not None:
                server.send(hidden)

        socket.on_message(pass_on)

    await page.route_web_socket(re.compile("/rooms/"), join)


@asynccontextmanager
async def talking(
    site: Site, tmp_path: Path, *, flags: Sequence[str] = (), program: str | None = None
) -> AsyncIterator[tuple[Console, ScriptedAgent]]:
    """A page and an agent, both talking all the time."""
    microphone = tmp_path / "microphone.wav"
    write_wav(microphone, tone(440, 60, RATE_HZ), RATE_HZ)
    flags = (*GRANTED_MICROPHONE, *flags)
    async with (
        open_chromium(flags, microphone=microphone, program=program) as browser,
        open_console(browser, site.url, tolerated=("WebSocket connection",)) as console,
    ):
        if site.has_gate:
            await _hide_addresses(console.page)
        await console.join("parlour")
        agent = site.agents["parlour"]
        await agent.wait_for_user()
        agent.play_tone(600, 60.0)
        await expect_sound(console.page)
        yield console, agent


async def _both_heard(console: Console, agent: ScriptedAgent) -> None:
    await expect_sound(console.page)
    at_s = time.monotonic()
    async with asyncio.timeout(DEADLINE_S):
        while not any(heard_at_s > at_s for heard_at_s in agent.heard_at_s):
            agent.heard_more.clear()
            await agent.heard_more.wait()


async def _assert_conversation_goes_on(console: Console, agent: ScriptedAgent) -> None:
    """Events go both ways; the agent never left the page."""
    words = {"response_id": "r", "item_id": "i", "delta": "Still here."}
    agent.send("agent_response_audio_transcript_delta", **words)
    await expect(console.entries("agent")).to_contain_text("Still here.")
    await console.get("#message").fill("So am I.")
    await console.page.keyboard.press("Enter")
    assert (await agent.next_client_event())["text"] == "So am I."
    await expect(console.get("#status")).to_have_text("Connected")
    await expect(console.entries("note")).to_have_count(0)


@pytest.mark.asyncio
async def test_the_page_goes_through_turn_only_where_it_is_told_to(tmp_path: Path) -> None:
    async with running_coturn(tmp_path) as coturn:
        turn = IceServers(turn_urls=(coturn.url(),), turn_secret=SECRET, is_relay_only=True)
        async with (
            open_site(ice_servers=turn) as site,
            talking(site, tmp_path) as (console, agent),
        ):
            await _both_heard(console, agent)
            kinds = await console.page.evaluate("window.parleyTest.candidateTypes()")
            assert kinds == {"local": ["relay"], "remote": ["relay"]}
            await coturn.wait_for(":1000>")
            await _assert_conversation_goes_on(console, agent)


def _open_gate() -> MediaGate:
    return MediaGate(own_address(2), own_address(9), PORTS)


@pytest.mark.asyncio
async def test_dead_paths_are_replaced_whichever_direction_died(tmp_path: Path) -> None:
    async with (
        _open_gate() as gate,
        open_site(gate=gate) as site,
        talking(site, tmp_path) as (console, agent),
    ):
        cuts = [(True, True), (True, False), (False, True)]
        for inwards, outwards in cuts:
            count = agent.connections + 1
            cut_at_s = time.monotonic()
            gate.shut(inwards=inwards, outwards=outwards, present_only=True)
            await agent.wait_for_user(count)
            await _both_heard(console, agent)
            healed_s = time.monotonic() - cut_at_s
            print(f"inwards={inwards} outwards={outwards}: healed in {healed_s:.2f} s")
            assert healed_s < HEALED_WITHIN_S
        assert gate.lost > 0
        await _assert_conversation_goes_on(console, agent)


@pytest.mark.asyncio
async def test_the_page_notices_by_itself_that_room_and_agent_are_out_of_reach(
    tmp_path: Path,
) -> None:
    """Chromium in a network of its own; where that is not permitted, behind a gate."""
    try:
        namespaces = Namespaces()
    except PermissionError as error:
        print(f"through a gate, and the address stays: {error}")
        await _check_outage_at_gate(tmp_path)
        return
    with contextlib.closing(namespaces), namespaces.at_home():
        print("in network namespaces")
        await _check_outage_in(namespaces, tmp_path)


async def _check_outage_in(namespaces: Namespaces, tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    command = shlex.join([*namespaces.away_command, find_chromium()])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    async with open_site(host=HOME_ADDRESS) as site:
        flags = (f"--unsafely-treat-insecure-origin-as-secure={site.url.rstrip('/')}",)
        async with talking(site, tmp_path, flags=flags, program=str(program)) as (console, agent):
            await _check_notice_and_return(console, agent, namespaces.cut, namespaces.heal)
            moved_at_s = time.monotonic()
            namespaces.move_away()
            await agent.wait_for_user(agent.connections + 1)
            await _both_heard(console, agent)
            print(f"heard from another address after {time.monotonic() - moved_at_s:.2f} s")
            await _assert_conversation_goes_on(console, agent)


async def _check_outage_at_gate(tmp_path: Path) -> None:
    async with (
        _open_gate() as gate,
        open_site(gate=gate) as site,
        talking(site, tmp_path) as (console, agent),
    ):
        await _check_notice_and_return(console, agent, gate.shut, gate.open)
        await _assert_conversation_goes_on(console, agent)


async def _check_notice_and_return(
    console: Console, agent: ScriptedAgent, cut: Callable[[], None], heal: Callable[[], None]
) -> None:
    """What the page shows tells when it noticed."""
    cut_at_s = time.monotonic()
    cut()
    await expect(console.get("#status")).not_to_have_text("Connected")
    noticed_s = time.monotonic() - cut_at_s
    heal()
    await expect(console.get("#status")).to_have_text("Connected")
    await _both_heard(console, agent)
    print(f"noticed after {noticed_s:.2f} s")
    assert noticed_s < NOTICED_WITHIN_S
