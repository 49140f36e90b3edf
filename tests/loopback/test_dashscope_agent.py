"""A real agent in a real call with a provider that hears at 16 kHz and forgets to end replies."""

from __future__ import annotations

import asyncio
import base64
import statistics

import pytest
from pydantic import SecretStr

from config.providers import ProviderConfig
from conversation.lifecycle import ExitReason
from tests.fakes.dashscope_realtime import FakeDashScopeServer, FakeQwenSession, QwenFaults
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Stage

MODEL = "qwen3.5-omni-flash-realtime"


@pytest.mark.asyncio
async def test_a_call_at_sixteen_kilohertz() -> None:
    stage = Stage()
    stage.provider = FakeDashScopeServer(faults=QwenFaults(forgets_done="response"))
    async with stage:
        provider = ProviderConfig(
            name="dashscope", model=MODEL, base_uri=stage.provider.uri, api_key=SecretStr("k")
        )
        session = await stage.start(provider=provider, model_settings={"temperature": 0.3})
        assert isinstance(session, FakeQwenSession)
        assert session.settings["temperature"] == 0.3
        person = await stage.join()
        await session.wait_for("input_audio_buffer.append", 40)
        # 20 ms pieces, or a few of them, at the model's rate and not at the room's.
        pieces = [event["audio"] for event in session.all_of("input_audio_buffer.append")]
        sizes = [len(base64.b64decode(piece)) for piece in pieces]
        assert abs(statistics.median(sizes[:40]) - 640) < 8

        async with asyncio.TaskGroup() as group:
            group.create_task(_say(session))
            await person.wait_loud(200)
            await session.speech_started()
            await person.wait_event("agent_interrupted")
        await person.wait_event("agent_response_done")
        # The next reply comes although the cut one was never ended by the provider.
        await session.say(tone(300), "Next.")
        await person.wait_event("agent_playout_done")
        assert not session.all_of("conversation.item.truncate")
        assert stage.agent is not None
        stage.agent.stop()
        assert await stage.ended() is ExitReason.STOPPED
        assert len(session.all_of("session.finish")) == 1


async def _say(session: FakeQwenSession) -> None:
    await session.say(tone(3000), "a long story of nothing", pace=0.8)
