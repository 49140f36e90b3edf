"""The fake is faithful: the OpenAI Agents SDK, which validates strictly, works with it."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.agents_sdk import agents_talk
from tests.fakes.openai_realtime import FakeRealtimeServer, tone


@pytest.mark.asyncio
async def test_a_conversation_with_a_tool_and_an_interruption() -> None:
    async with (
        FakeRealtimeServer() as server,
        agents_talk(f"{server.uri}/v1/realtime?model=gpt-realtime-2.1") as talk,
    ):
        session = await server.next_session()
        pcm = tone(200)
        session.reply_with = lambda each: each.say(pcm, "Hello there.")
        await talk.session.send_message("hello")
        await talk.until_reply()
        assert talk.audio == pcm

        session.reply_with = lambda each: each.say(tone(40), "Sunny.")
        call_id = await session.call_tool("get_weather", {"city": "Bern"})
        done = await talk.until_type("tool_end")
        assert done.output == "It is sunny in Bern."
        await session.wait_for("conversation.item.create", 2)
        output = session.all_of("conversation.item.create")[1]["item"]
        assert (output["type"], output["call_id"]) == ("function_call_output", call_id)
        await session.wait_for("response.create", 2)
        await talk.until_reply()

        async with asyncio.TaskGroup() as group:
            group.create_task(_tell(session))
            await talk.until_type("audio")
            await session.speech_started()
            await talk.until_type("audio_interrupted")
        truncate = await session.wait_for("conversation.item.truncate")
        assert truncate["audio_end_ms"] <= 3000


async def _tell(session: object) -> None:
    await session.say(tone(3000), "a long story", pace=0.5)  # type: ignore[attr-defined]
