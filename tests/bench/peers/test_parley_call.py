from __future__ import annotations

import pytest

from bench.peers.calls import caller_process
from bench.peers.servers import parley
from bench.processes import TreeCpu, tree_memory_mb
from bench.stand import first_voice_s
from tests.fakes.openai_realtime import tone


@pytest.mark.asyncio
async def test_sound_of_the_caller_reaches_the_model_and_the_reply_the_caller() -> None:
    async with caller_process() as caller, parley() as peer:
        alone_mb, spent = tree_memory_mb(peer.pid), TreeCpu(peer.pid)
        number, session = await peer.call(caller)
        await session.wait_for("input_audio_buffer.append", 5)
        seen = len(session.received)
        captured_s = await caller.burst(number)
        assert await first_voice_s(session, since=seen) > captured_s
        await session.say(tone(200), "a reply")
        await caller.calls[number].wait_loud(5)
        assert caller.calls[number].loud_at_s[0] > captured_s
        assert spent.spent_s() > 0
        assert tree_memory_mb(peer.pid) > alone_mb
        await caller.hang_up()
        await peer.end_calls()
