"""The page with an agent whose lines are written here: what is shown, heard, sent and cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from playwright.async_api import expect

from tests.browser.chromium import dominant_hz, expect_sound, open_chromium, read_heard
from tests.browser.console import Console, open_console
from tests.browser.scripted_agent import SAMPLE_RATE_HZ, ScriptedAgent
from tests.browser.site import Site, open_site
from tests.deadlines import DEADLINE_S

pytestmark = pytest.mark.browser

API_KEY = "the-one-key-of-this-test"
EVIL = "<img src=x onerror=alert(1)>"
# Sound may be there long before words can be sent: they need a handshake of their own.
WITHOUT_EVENTS = """
const channels = new Set();
const { get } = Object.getOwnPropertyDescriptor(RTCDataChannel.prototype, 'readyState');
let isHeldBack = true;
Object.defineProperty(RTCDataChannel.prototype, 'readyState', {
  get() {
    channels.add(this);
    return isHeldBack ? 'connecting' : get.call(this);
  },
});
window.openEvents = () => {
  isHeldBack = false;
  for (const channel of channels) channel.dispatchEvent(new Event('open'));
};
"""


@asynccontextmanager
async def open_call() -> AsyncIterator[tuple[Site, Console, ScriptedAgent]]:
    """A page in a call with a scripted agent."""
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url) as console,
    ):
        await console.join("parlour")
        agent = site.agents["parlour"]
        await agent.wait_for_user()
        await expect(console.get("#status")).to_have_text("Connected")
        yield site, console, agent


@pytest.mark.asyncio
async def test_start_sends_what_the_form_says() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url) as console,
    ):
        await console.page.get_by_text("Agent and call options").click()
        await console.get("#agent-uid").fill("77")
        await console.get("#greeting").fill("Good morning.")
        await console.get("#voice").fill("amy")
        await console.get("#model").fill("qwen3:4b")
        await console.get("#recogniser").select_option("whisper-base")
        await console.get("#voice-engine").select_option("kokoro")
        await console.get("#noise-suppression").check()
        await console.get("#turns").select_option("Push to talk")
        await console.get("#recording").check()
        await console.get("#tools").fill('[{"name": "ask_desk", "parameters": {}}]')
        await console.join("parlour")
        assert site.requests[0] == (
            "/start_agent",
            {
                "channel_name": "parlour",
                "uid": 77,
                "language": "en",
                "greeting": "Good morning.",
                "voice": "amy",
                "model": "qwen3:4b",
                "cascade": {
                    "recogniser": {"engine": "whisper-base"},
                    "voice": {"engine": "kokoro"},
                    "noise_suppression": True,
                },
                "toolset": "everyday",
                "turn_detection": {"type": "none"},
                "recording": True,
                "show_tools": "full",
                "tools": [{"name": "ask_desk", "parameters": {}}],
                "tool_results_from": "anyone",
            },
        )
        await expect(console.get("#start-time")).to_have_text("42 ms")


@pytest.mark.asyncio
async def test_both_sides_are_heard_and_metered() -> None:
    async with open_call() as (_site, console, agent):
        agent.play_tone(440, 3.0)
        await expect_sound(console.page)
        await console.expect_level("agent")
        await console.expect_level("user")
        heard = (await read_heard(console.page)).samples
        assert abs(dominant_hz(heard) - 440) < 10
        async with asyncio.timeout(DEADLINE_S):
            while not _is_loud(agent.heard):
                await agent.heard_more.wait()
                agent.heard_more.clear()


def _is_loud(pcm: bytes | bytearray) -> bool:
    samples = np.frombuffer(bytes(pcm), "<i2")
    return samples.size > SAMPLE_RATE_HZ and int(np.abs(samples).max()) > 2000


@pytest.mark.asyncio
async def test_an_interrupted_reply_is_cut_at_what_was_heard() -> None:
    async with open_call() as (_site, console, agent):
        reply = {"response_id": "r1", "item_id": "i1"}
        for delta in ("It is ten past four ", "in the afternoon"):
            agent.send("agent_response_audio_transcript_delta", **reply, delta=delta)
        entry = console.entries("agent")
        await expect(entry).to_contain_text("It is ten past four in the afternoon")
        await expect(entry).to_have_attribute("data-state", "speaking")
        agent.send("agent_interrupted", **reply, audio_end_ms=1200, heard="It is ten past")
        agent.send("agent_input_started", item_id="u1", audio_start_ms=10)
        agent.send("agent_response_audio_transcript_delta", **reply, delta=" and too late")
        agent.send("agent_response_audio_transcript_done", **reply, transcript="all of it")
        await expect(entry).to_have_attribute("data-state", "interrupted")
        await expect(console.entries("user")).to_have_attribute("data-state", "hearing")
        await expect(entry.locator(".words span").first).to_have_text("It is ten past")
        await expect(entry.locator(".cut")).to_have_text("Interrupted")
        # A cough: speech was heard but no words were in it.
        agent.send("agent_input_transcription_done", item_id="u1", transcript=" ")
        await expect(console.entries("user")).to_have_count(0)


@pytest.mark.asyncio
async def test_words_light_up_as_they_are_heard() -> None:
    async with open_call() as (_site, console, agent):
        report = await agent.next_playout_report()
        assert 0 < report["playout_delay_ms"] < 1000
        for item_id, text in (("i1", "Hello there, \N{GRINNING FACE} you!"), ("i2", "今天 sunny")):
            reply = {"response_id": "r1", "item_id": item_id}
            agent.send("agent_response_audio_transcript_delta", **reply, delta=text)
            ahead = console.entries("agent").last.locator(".word.ahead")
            agent.send("agent_playout_progress", **reply, heard_ms=300, heard_characters=2)
            await expect(ahead.last).to_be_visible()
        signs = console.entries("agent").last
        await expect(signs.locator(".word")).to_have_text(["今", "天", " sunny"])
        await expect(signs.locator(".word.ahead")).to_have_text([" sunny"])
        first = console.entries("agent").first
        await expect(first.locator(".word.ahead")).to_have_count(4)
        reply = {"response_id": "r1", "item_id": "i1"}
        agent.send("agent_playout_progress", **reply, heard_ms=900, heard_characters=14)
        await expect(first.locator(".word.ahead")).to_have_text([" you!"])
        agent.send("agent_playout_done", **reply)
        await expect(first).to_have_attribute("data-state", "done")
        agent.send("agent_playout_progress", **reply, heard_ms=1200, heard_characters=19)
        await expect(first.locator(".word.ahead")).to_have_count(0)
        await expect(first.locator(".words")).to_have_text("Hello there, \N{GRINNING FACE} you!")


@pytest.mark.asyncio
async def test_words_and_tool_calls_are_text_and_nothing_else() -> None:
    async with open_call() as (_site, console, agent):
        agent.send("agent_input_started", item_id="u1", audio_start_ms=10)
        agent.send("agent_input_transcription_delta", item_id="u1", delta="what ti")
        agent.send("agent_input_transcription_done", item_id="u1", transcript=EVIL)
        await expect(console.entries("user").locator(".words")).to_have_text(EVIL)
        use = {"id": "c1", "name": "get_current_time", "input": {"zone": EVIL}}
        ids = {"response_id": "r1", "item_id": "i1"}
        agent.send("agent_response_tool_use_done", **ids, tool_use=use)
        tool = console.entries("tool")
        await expect(tool).to_have_attribute("data-state", "calling")
        result = {"id": "c1", "name": "get_current_time", "output": '{"time": "16:10"}'}
        agent.send("agent_response_tool_result", tool_result=result)
        await expect(tool).to_have_attribute("data-state", "done")
        await expect(tool.locator(".tool-input dd")).to_have_text(EVIL)
        await expect(tool.locator(".tool-output")).to_have_text("time: 16:10")
        agent.send("agent_error", error_type="provider", code="x", message="too busy")
        await expect(console.entries("note")).to_contain_text("too busy")


@pytest.mark.asyncio
async def test_a_call_that_waits_for_the_page_is_answered_there() -> None:
    async with open_call() as (_site, console, agent):
        use = {"id": "c7", "name": "ask_desk", "input": {"question": "Is it free?"}}
        ids = {"response_id": "r1", "item_id": "i1"}
        agent.send("agent_response_tool_use_done", **ids, tool_use=use, is_client_tool=True)
        await console.get(".tool-answer").fill("Yes, from six.")
        await console.get(".tool-answer").press("Enter")
        assert await agent.next_client_event() == {
            "type": "client_tool_result",
            "id": "c7",
            "name": "ask_desk",
            "output": "Yes, from six.",
        }
        await expect(console.get(".tool-form")).to_have_count(0)


@pytest.mark.asyncio
async def test_the_keyboard_alone_is_enough() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url, reduced_motion="reduce") as console,
    ):
        keyboard = console.page.keyboard
        await console.get("#channel").focus()
        await keyboard.press("Control+A")
        await keyboard.type("parlour")
        await keyboard.press("Enter")
        await expect(console.get("#call")).to_be_visible()
        agent = site.agents["parlour"]
        await agent.wait_for_user()
        await expect(console.get("#status")).to_have_text("Connected")

        await keyboard.press("m")
        await expect(console.get("#mute")).to_have_attribute("aria-pressed", "true")
        await keyboard.press("Tab")
        await expect(console.get("#transcript")).to_be_focused()
        await keyboard.press("Tab")
        await expect(console.get("#message")).to_be_focused()
        await keyboard.type("am I heard?")
        await keyboard.press("Enter")
        event = await agent.next_client_event()
        assert (event["type"], event["text"]) == ("client_text_append", "am I heard?")
        await expect(console.get("#mute")).to_have_attribute("aria-pressed", "true")

        await console.get("#leave").focus()
        await keyboard.press("Enter")
        await expect(console.get("#lobby")).to_be_visible()
        await expect(console.get("#join")).to_be_focused()
        await expect(console.get("#join-label")).to_have_text("Join the call")


@pytest.mark.asyncio
async def test_connected_is_said_when_words_can_be_sent() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url) as console,
    ):
        await console.page.add_init_script(WITHOUT_EVENTS)
        await console.page.reload()
        await console.join("parlour")
        agent = site.agents["parlour"]
        await agent.wait_for_user()
        await console.page.wait_for_function("parleyTest.isConnected()")
        await expect(console.get("#status")).to_have_text("Connecting audio")
        await console.page.evaluate("openEvents()")
        await expect(console.get("#status")).to_have_text("Connected")
        await console.get("#message").fill("Are you there?")
        await console.get("#message").press("Enter")
        assert (await agent.next_client_event())["text"] == "Are you there?"


@pytest.mark.asyncio
async def test_stop_ends_the_agent_and_another_can_be_started() -> None:
    async with open_call() as (site, console, agent):
        agent.send("agent_ended", reason="stopped")
        await console.get("#stop-agent").click()
        await expect(console.notice("The agent has left")).to_contain_text("It was stopped.")
        await expect(console.get("#status")).to_have_text("No agent here")
        assert site.agents == {}
        await console.page.get_by_role("button", name="Start an agent").click()
        await expect(console.get("#status")).to_have_text("Connected")
        await expect(console.get(".notice")).to_have_count(0)


@pytest.mark.asyncio
async def test_a_reload_comes_back_to_the_same_call_as_the_same_person() -> None:
    async with open_call() as (site, console, _agent):
        before = {member.uid for member in site.rooms.rooms()["parlour"]}
        await console.page.reload()
        await expect(console.get("#channel")).to_have_value("parlour")
        await expect(console.get("#join-label")).to_have_text("Join the call")
        await console.get("#join").click()
        await expect(console.get("#status")).to_have_text("Connected")
        assert {member.uid for member in site.rooms.rooms()["parlour"]} == before
        assert [path for path, _ in site.requests] == ["/start_agent"]


@pytest.mark.asyncio
async def test_an_agent_that_comes_back_as_a_new_process_is_heard_again() -> None:
    async with open_call() as (site, console, _agent):
        successor = ScriptedAgent(site.url, "parlour", 1000, site.agent_token("parlour", 1000))
        await successor.start()
        try:
            await successor.wait_for_user()
            await expect(console.get(".person")).to_have_count(2)
            await expect(console.get("#status")).to_have_text("Connected")
            successor.play_tone(440, 3.0)
            await expect_sound(console.page)
        finally:
            await successor.stop()


@pytest.mark.asyncio
async def test_an_api_key_is_asked_for_until_it_is_right() -> None:
    async with (
        open_site(api_key=API_KEY) as site,
        open_chromium() as browser,
        open_console(browser, site.url, tolerated=("401",)) as console,
    ):
        await console.get("#channel").fill("parlour")
        await console.get("#join").click()
        await expect(console.get("#key-dialog")).to_be_visible()
        await console.get("#key").fill("wrong")
        await console.get("#key").press("Enter")
        await expect(console.get("#key-text")).to_contain_text("refused")
        await console.get("#key").fill(API_KEY)
        await console.get("#key").press("Enter")
        await expect(console.get("#status")).to_have_text("Connected")
        assert ("/token", "user") in [(path, body.get("role")) for path, body in site.requests]
        assert await console.page.evaluate("localStorage.length") == 0


@pytest.mark.asyncio
async def test_without_a_key_one_stays_outside_and_is_told_why() -> None:
    async with (
        open_site(api_key=API_KEY) as site,
        open_chromium() as browser,
        open_console(browser, site.url, tolerated=("401",)) as console,
    ):
        await console.get("#join").click()
        await expect(console.get("#key-dialog")).to_be_visible()
        await console.page.keyboard.press("Escape")
        await expect(console.notice("An API key is needed")).to_be_visible()
        await expect(console.get("#join")).to_be_enabled()


@pytest.mark.asyncio
async def test_the_start_page_says_what_answers_and_how_to_get_a_better_one() -> None:
    async with open_site() as site, open_chromium() as browser:
        async with open_console(browser, site.url) as console:
            await expect(console.get("#mind-text")).to_contain_text("Built-in rules answer")
            await expect(console.get("#mind-better")).to_contain_text("LLM_BASE_URL=")
            await console.get("#local-settings summary").click()
            shown = console.get("#settings-list")
            await expect(shown).to_have_text("LLM_MODELnot setTTS_ENGINEpiper")
        site.local_model["language_model"] = {
            "kind": "server",
            "model": EVIL,
            "host": "127.0.0.1:11434",
        }
        async with open_console(browser, site.url) as console:
            text = f"{EVIL} at 127.0.0.1:11434 answers."
            await expect(console.get("#mind-text")).to_have_text(text)
            await expect(console.get("#mind-better")).to_be_hidden()
        site.local_model["is_default"] = False
        async with open_console(browser, site.url) as console:
            # Twice: the page has shown the first answer when it asks again.
            for _ in range(2):
                async with console.page.expect_response("**/local_model"):
                    pass
            await expect(console.get("#mind")).to_be_hidden()
