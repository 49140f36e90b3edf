"""kill -9 in the middle of a call: how long until the model hears the caller again, knowing all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import dataclass, field

from bench.figures import row
from bench.stand import DEADLINE_S, Caller, Server, calling, first_voice_s, running_server
from tests.fakes.openai_realtime import FakeSession, tone

ROUNDS = 10
QUESTION, ANSWER = "when does it open", "it opens at noon"


@dataclass
class Figures:
    """Milliseconds since the kill: a new model session, after its replay; the caller's voice in it."""

    session: list[float] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)


async def rows() -> list[str]:
    """Every figure of this part."""
    figures = Figures()
    async with running_server() as server:
        for number in range(ROUNDS):
            await _measure(server, f"restart-{number}", figures)
    return [
        row("kill -9 to a model session that knows all", "ms", figures.session),
        row("kill -9 to being heard by the model again", "ms", figures.heard),
    ]


async def _measure(server: Server, channel_name: str, figures: Figures) -> None:
    session, _ = await server.start_agent(channel_name)
    async with calling(server, channel_name) as caller:
        await _converse(session, caller)
        pid = next(a["pid"] for a in await server.agents() if a["channel_name"] == channel_name)
        caller.channel.push_audio_frame(tone(int(DEADLINE_S * 1000), hz=300))
        await session.wait_for("input_audio_buffer.append", 20)
        killed_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        revived = await server.model.next_session()
        async with asyncio.timeout(DEADLINE_S):
            heard_s = await first_voice_s(revived)
        told = revived.all_of("conversation.item.create")
        if not all(words in json.dumps(told) for words in (QUESTION, ANSWER)):
            raise RuntimeError("the conversation was lost")
        told_s = max(
            each.at_s for each in revived.received if each.type == "conversation.item.create"
        )
        figures.session.append((told_s - killed_s) * 1000)
        figures.heard.append((heard_s - killed_s) * 1000)
    await server.post("/stop_agent", channel_name=channel_name)


async def _converse(session: FakeSession, caller: Caller) -> None:
    """A question and its answer, heard to the end."""
    item_id = await session.speech_started()
    await session.speech_stopped(item_id, QUESTION)
    await session.say(tone(300), ANSWER)
    await caller.wait_loud(10)
    await caller.wait_quiet()
