"""The OpenAI Agents SDK talks to the local model: strict validation of all that it says."""

from __future__ import annotations

import pytest

from tests.fakes.agents_sdk import agents_talk
from tests.speech.talk import utterance

pytestmark = pytest.mark.speech


@pytest.mark.asyncio
async def test_the_agents_sdk_talks_to_the_local_model(port: int) -> None:
    async with agents_talk(f"ws://127.0.0.1:{port}/v1/realtime?model=parley-local") as talk:
        await talk.session.send_message("Hello, my name is Anna.")
        await talk.until_reply()
        assert len(talk.audio) > 24_000

        await talk.session.send_message("What is the weather in Berlin?")
        done = await talk.until_type("tool_end")
        assert done.output == "It is sunny in Berlin."
        await talk.until_reply()

        heard = len(talk.audio)
        await talk.session.send_audio(utterance("u01_f") + bytes(48 * 5000))
        await talk.until_reply()
        assert len(talk.audio) > heard
