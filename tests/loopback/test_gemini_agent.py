"""A real agent in a real call with Gemini: greeting, speech, a tool, an interruption, a goodbye."""

from __future__ import annotations

import asyncio
import base64
import time

import pytest

from conversation.lifecycle import ExitReason
from tests.fakes.gemini_live import GeminiSession
from tests.fakes.openai_realtime import tone
from tests.loopback.gemini_stage import GeminiStage

TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "Looks a word up.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
}


@pytest.mark.asyncio
async def test_a_call_with_gemini() -> None:
    async with GeminiStage(reply_with=lambda session: session.say(tone(300), "Hello.")) as stage:
        session = await stage.start_gemini(tools=[TOOL], greeting="Hello.", voice="Kore")
        joined_at_s = time.monotonic()
        person = await stage.join()
        await person.wait_event("agent_playout_done")
        assert session.history[0] == ("user", "Say exactly: Hello.")
        await session.wait_for("realtimeInput", "audio", 40)
        # Pieces of 20 ms, or of a few times that, at the model's rate: at the room's there would be
        # three times as much audio as time.
        pieces = [audio["data"] for audio in session.all_of("realtimeInput", "audio")]
        # The first one lacks what the resampler holds back.
        sizes = [len(base64.b64decode(piece)) for piece in pieces[1:]]
        assert all(abs(size - 640 * round(size / 640)) < 8 * (size / 640) for size in sizes)
        assert sum(sizes) / 32_000 < time.monotonic() - joined_at_s + 0.5

        await session.hear("what is a parley")
        await session.call_tools(("c1", "look_up", {"word": "parley"}))
        use = await person.wait_event("agent_response_tool_use_done")
        assert use["tool_use"]["input"] == {"word": "parley"}
        person.send(type="client_tool_result", id="c1", name="look_up", output='{"is": "a talk"}')
        await person.wait_event("agent_playout_done", 2)
        assert session.answers["c1"]["response"] == {"is": "a talk"}
        assert len(session.all_of("clientContent")) == 1, "it goes on by itself after a tool"

        async with asyncio.TaskGroup() as group:
            group.create_task(_tell(session))
            await person.wait_loud(800)
            await session.hear("wait")
            await person.wait_event("agent_interrupted")
        person.send(type="client_text_append", text="good bye")
        await person.wait_event("agent_playout_done", 3)
        assert session.history[-2:] == [("user", "good bye"), ("model", "Hello.")]
        assert stage.agent is not None
        stage.agent.stop()
        assert await stage.ended() is ExitReason.STOPPED


async def _tell(session: GeminiSession) -> None:
    await session.say(tone(3000), "a long story of nothing", pace=0.8)
