"""A caller talks on while the provider is dropped: real WebRTC, the same agent, nothing lost."""

from __future__ import annotations

import asyncio

import pytest

from config.providers import ProviderConfig
from conversation.lifecycle import AgentState
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.loopback.stage import Stage
from tests.realtime.resilience.stage import told


async def say_to(session: FakeSession, words: str) -> None:
    """The model hears the user say something."""
    item_id = await session.speech_started()
    await session.speech_stopped(item_id, words)


@pytest.mark.asyncio
async def test_a_drop_in_the_middle_of_a_reply_is_a_short_pause() -> None:
    async with Stage() as stage:
        first = await stage.start()
        person = await stage.join()
        await say_to(first, "tell me about the sea")
        await first.wait_for("response.create")
        saying = asyncio.get_running_loop().create_task(
            first.say(tone(3000), "the sea is wide and deep and blue and salty", pace=1.0)
        )
        await person.wait_loud(400)
        await first.drop()
        await asyncio.wait([saying])
        second = await stage.provider.next_session()
        await second.wait_for("response.create")
        lines = told(second)
        assert lines[0] == "user: tell me about the sea"
        # Rounded down to whole words of the audio that came.
        assert lines[1].startswith("assistant: the sea")
        before_ms = person.loud_ms
        await second.say(tone(300), "and full of fish")
        await person.wait_loud(before_ms + 290)
        statuses = [e["status"] for e in person.events if e["type"] == "agent_connection_changed"]
        assert statuses == ["reconnecting", "open"]
        done = await person.wait_event("agent_response_done")
        assert done["status"] == "failed"
        assert stage.states[-1] is AgentState.RUNNING, "the same agent, in the same call"


@pytest.mark.asyncio
async def test_a_drop_in_the_middle_of_the_users_words_loses_none_of_them() -> None:
    async with Stage() as stage:
        first = await stage.start()
        person = await stage.join()
        await say_to(first, "my name is Ada")
        await first.say(tone(100), "hello Ada")
        await person.wait_event("agent_playout_done")
        person.channel.push_audio_frame(tone(1200), key="question")
        await first.wait_loud(300)
        await first.speech_started(audio_start_ms=max(0, len(first.audio) // 48 - 600))
        await person.wait_event("agent_input_started", 2)
        await first.drop()
        second = await stage.provider.next_session()
        assert stage.agent is not None
        heard = stage.channel._audio[7].statistics
        # What the agent left out to catch up, if this process was held up, was not lost by a drop.
        while second.loud_ms + heard.trimmed_ms < 1100:
            appends = len(second.all_of("input_audio_buffer.append"))
            await second.wait_for("input_audio_buffer.append", appends + 1)
        assert told(second) == ["user: my name is Ada", "assistant: hello Ada"]
        item_id = await second.speech_started()
        await second.speech_stopped(item_id, "what is my name")
        await second.wait_for("response.create")
        await second.say(tone(200), "Ada")
        await person.wait_event("agent_playout_done", 2)
        assert stage.states[-1] is AgentState.RUNNING


@pytest.mark.asyncio
async def test_a_tool_that_answers_after_the_drop_answers_the_next_session() -> None:
    declaration = {
        "type": "function",
        "name": "open_door",
        "description": "Open a door.",
        "parameters": {"type": "object", "properties": {"door": {"type": "string"}}},
    }
    async with Stage() as stage:
        first = await stage.start(tools=(declaration,))
        person = await stage.join()
        await say_to(first, "open the door")
        await first.wait_for("response.create")
        call_id = await first.call_tool("open_door", {"door": "front"})
        await person.wait_event("agent_response_tool_use_done")
        await first.drop()
        second = await stage.provider.next_session()
        await person.wait_event("agent_connection_changed", 2)
        person.send(type="client_tool_result", id=call_id, name="open_door", output="it is open")
        await second.wait_for("response.create")
        assert told(second) == [
            "user: open the door",
            'call open_door({"door": "front"})',
            "output it is open",
        ]


@pytest.mark.asyncio
async def test_another_provider_takes_the_call_over_when_the_first_refuses() -> None:
    async with FakeRealtimeServer() as other, Stage() as stage:
        fallback = ProviderConfig(name="openai", model="other", base_uri=other.uri)
        first = await stage.start(fallback=fallback, system_message="Be kind.")
        person = await stage.join()
        await say_to(first, "my name is Ada")
        await first.say(tone(100), "hello Ada")
        await person.wait_event("agent_playout_done")
        stage.provider.faults.api_key = "withdrawn"
        await first.drop()
        second = await other.next_session()
        await person.wait_event("agent_connection_changed", 2)
        assert told(second) == ["user: my name is Ada", "assistant: hello Ada"]
        assert second.settings["instructions"] == "Be kind."
        before_ms = person.loud_ms
        await second.say(tone(200), "still here")
        await person.wait_loud(before_ms + 190)
