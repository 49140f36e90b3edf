"""Push to talk, pauses, approvals and the recording sign: what the page does with what agents say."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from playwright.async_api import expect

from tests.browser.console import Console
from tests.browser.scripted_agent import SAMPLE_RATE_HZ, ScriptedAgent
from tests.browser.test_agent import open_call
from tests.deadlines import DEADLINE_S

pytestmark = pytest.mark.browser

LOUD = 1_000
# The microphone of the tests beeps once a second.
MORE_THAN_A_BEEP_S = 2.2
BRIEF_RELEASE = """() => {
  const say = (type) => document.getElementById('talk').dispatchEvent(
    new KeyboardEvent(type, { key: ' ', bubbles: true, cancelable: true }));
  say('keydown'); say('keyup'); say('keydown');
}"""


async def hear(agent: ScriptedAgent, duration_s: float) -> int:
    """The peak of what the agent hears from now on."""
    begin = len(agent.heard)
    async with asyncio.timeout(DEADLINE_S):
        while len(agent.heard) - begin < duration_s * SAMPLE_RATE_HZ * 2:
            agent.heard_more.clear()
            await agent.heard_more.wait()
    return int(np.abs(np.frombuffer(bytes(agent.heard[begin:]), np.int16).astype(int)).max())


async def expect_event(agent: ScriptedAgent, event_type: str) -> None:
    assert (await agent.next_client_event())["type"] == event_type


async def push_to_talk(console: Console, agent: ScriptedAgent) -> None:
    """The agent says that turns are taken by hand here."""
    agent.send("agent_ready", has_manual_turns=True, is_recorded=False)
    await expect(console.get("#talk")).to_be_visible()


@pytest.mark.asyncio
async def test_only_what_is_said_while_the_button_is_held_leaves_the_page() -> None:
    async with open_call() as (_site, console, agent):
        assert await hear(agent, MORE_THAN_A_BEEP_S) > LOUD
        await expect(console.get("#talk")).to_be_hidden()
        await push_to_talk(console, agent)
        await expect(console.get("#mute")).to_be_hidden()
        await expect(console.get("#user-note")).to_have_text("push to talk")
        await expect(console.get("#empty-title")).to_have_text("Hold the button and speak")
        # What was on its way when the microphone went off has arrived after this.
        await hear(agent, 1.0)
        assert await hear(agent, MORE_THAN_A_BEEP_S) < LOUD

        await console.get("#talk").hover()
        await console.page.mouse.down()
        await expect_event(agent, "client_activity_start")
        await expect(console.get("#talk")).to_have_attribute("aria-pressed", "true")
        await expect(console.get("#user-note")).to_have_text("talking")
        assert await hear(agent, MORE_THAN_A_BEEP_S) > LOUD
        await console.page.mouse.up()
        await expect_event(agent, "client_activity_end")
        await expect(console.get("#talk")).to_have_attribute("aria-pressed", "false")
        await expect(console.get("#talk-label")).to_have_text("Hold to talk")
        await hear(agent, 1.0)
        assert await hear(agent, MORE_THAN_A_BEEP_S) < LOUD


@pytest.mark.asyncio
async def test_the_keyboard_talks_and_every_end_is_noticed() -> None:
    async with open_call() as (_site, console, agent):
        await push_to_talk(console, agent)
        keyboard, talk = console.page.keyboard, console.get("#talk")
        # The space bar, wherever it has no other use.
        for focused in ("#main", "#transcript", "#talk"):
            await console.get(focused).focus()
            await keyboard.down(" ")
            await expect_event(agent, "client_activity_start")
            # Held down, the key repeats.
            await keyboard.down(" ")
            await keyboard.up(" ")
            await expect_event(agent, "client_activity_end")
        await console.get("#message").focus()
        await keyboard.type("a b")
        await expect(console.get("#message")).to_have_value("a b")
        assert agent.client_events.empty()
        # Who cannot hold switches with Enter.
        await talk.focus()
        await keyboard.press("Enter")
        await expect_event(agent, "client_activity_start")
        await expect(talk).to_have_attribute("aria-pressed", "true")
        await keyboard.press("Enter")
        await expect_event(agent, "client_activity_end")
        # Letting go for a moment ends nothing; leaving the window does.
        await console.page.evaluate(BRIEF_RELEASE)
        await expect_event(agent, "client_activity_start")
        await expect(talk).to_have_attribute("aria-pressed", "true")
        # Another process of the agent learns who is talking.
        agent.send("agent_ready", has_manual_turns=True, is_recorded=False)
        await expect_event(agent, "client_activity_start")
        await console.page.evaluate("dispatchEvent(new Event('blur'))")
        await expect_event(agent, "client_activity_end")
        assert agent.client_events.empty()
        # Nobody talks to nobody.
        await agent.stop()
        await expect(console.get("#status")).to_have_text("No agent here")
        await console.get("#main").focus()
        await keyboard.press(" ")
        await expect(console.notice("Not sent")).to_be_visible()
        await expect(talk).to_have_attribute("aria-pressed", "false")


@pytest.mark.asyncio
async def test_pauses_and_recordings_are_seen() -> None:
    async with open_call() as (_site, console, agent):
        note, item = console.get("#agent-note"), {"response_id": "r1", "item_id": "i1"}
        agent.send("agent_response_audio_transcript_delta", **item, delta="As I was saying")
        agent.send("agent_paused")
        await expect(note).to_have_text("pauses")
        agent.send("agent_resumed", cause="short")
        await expect(note).to_have_text("")
        agent.send("agent_paused")
        await expect(note).to_have_text("pauses")
        agent.send("agent_interrupted", **item, audio_end_ms=300, heard="As I")
        await expect(note).to_have_text("")
        await expect(console.get("#recorded")).to_be_hidden()
        agent.send("agent_ready", has_manual_turns=False, is_recorded=True)
        await expect(console.get("#recorded")).to_have_text("Recorded")


@pytest.mark.asyncio
async def test_a_tool_that_asks_is_decided_about() -> None:
    async with open_call() as (_site, console, agent):
        for number, (button, approve, always) in enumerate(
            (("Allow", True, False), ("Always allow", True, True), ("Refuse", False, False))
        ):
            call_id, name = f"c{number}", f"open_door_{number}"
            use = {"id": call_id, "name": name, "input": {"door": "front"}}
            ids = {"response_id": "r1", "item_id": "i1"}
            agent.send("agent_response_tool_use_done", **ids, tool_use=use, is_client_tool=False)
            approval = {"tool_use": use, "server_label": "", "timeout_ms": 30_000}
            agent.send("agent_tool_approval_required", **approval)
            tool = console.entries("tool").nth(number)
            await expect(tool).to_have_attribute("data-state", "asking")
            await expect(tool.locator(".tool-input dd")).to_have_text("front")
            await expect(console.get("#alerts")).to_contain_text(f"whether it may use {name}")
            question = console.page.get_by_role("group", name=f"May the agent use {name}?")
            await question.get_by_role("button", name=button, exact=True).press("Enter")
            verdict = {"id": call_id, "approve": approve, "always": always}
            assert await agent.next_client_event() == {
                "type": "client_tool_approval",
                **verdict,
            }
            await expect(question).to_have_count(0)
            await expect(tool).to_have_attribute("data-state", "calling" if approve else "refused")
            result = {"id": call_id, "name": name, "output": "x", "is_error": not approve}
            agent.send("agent_response_tool_result", tool_result=result)
            agent.send("agent_error", error_type="agent", code="x", message="all is told")
            await expect(console.entries("note")).to_have_count(number + 1)
            await expect(tool).to_have_attribute("data-state", "done" if approve else "refused")
        # The agent takes silence for a no.
        use = {"id": "c9", "name": "look_up", "input": {}}
        agent.send(
            "agent_tool_approval_required", tool_use=use, server_label="library", timeout_ms=300
        )
        await expect(console.entries("tool").last).to_have_attribute("data-state", "refused")
        await expect(console.get(".tool-verdicts")).to_have_count(0)
