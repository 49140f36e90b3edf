"""The terminal's call: when it takes a reply for complete."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from audio import write_wav
from cli.call import SAMPLE_RATE_HZ, Call
from tests.browser.scripted_agent import ScriptedAgent
from tests.browser.site import open_site
from tests.rtc.sound import tone

REPLY = {"response_id": "r1", "item_id": "i1"}
# Well within the quiet that ends a call.
LATER_S = 0.3


@pytest.mark.asyncio
async def test_what_comes_after_a_reply_makes_the_call_wait_for_no_other(tmp_path: Path) -> None:
    question = tmp_path / "question.wav"
    write_wav(question, tone(300, 0.3, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    lines: list[str] = []
    async with open_site() as site:
        agent = ScriptedAgent(site.url, "demo", 1000, site.agent_token("demo", 1000))
        await agent.start()
        call = Call(site.url, channel_name="demo", on_line=lines.append, max_wait_s=10)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(call.run(question, tmp_path / "answer.wav"))
                await agent.hear()
                agent.send("agent_response_created", response_id="r1")
                agent.send("agent_response_audio_transcript_delta", **REPLY, delta="Yes.")
                agent.send("agent_response_audio_transcript_done", **REPLY, transcript="Yes.")
                agent.send("agent_response_done", response_id="r1")
                agent.send("agent_playout_done", **REPLY)
                await asyncio.sleep(LATER_S)
                agent.send("agent_turn_measured", response_id="r1")
        finally:
            await agent.stop()
    assert lines == ["agent: Yes."]
