"""Our media path beside aiortc's own, in the same run: what people wait for and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from bench.figures import row
from bench.latency import ROUNDS, Latencies, measure_replies
from bench.processes import cpu_s
from bench.speech import talk
from bench.stand import (
    AGENT_UID,
    DEADLINE_S,
    ROOT,
    Server,
    calling,
    first_voice_s,
    running_server,
)
from tests.fakes.openai_realtime import FakeSession, tone
from tests.fakes.relayed_call import SpeechTrack, answering_room, calling_through
from tests.fakes.udp_relay import UdpRelay

COST_S = 8.0


@dataclass(frozen=True)
class Agent:
    """An agent in a room, ours or the stock one: the model's side of it and its process."""

    session: FakeSession
    pid: int


@contextlib.asynccontextmanager
async def our_agent(server: Server, channel_name: str) -> AsyncIterator[Agent]:
    """An agent as users get it."""
    session, _ = await server.start_agent(channel_name)
    pids = {agent["channel_name"]: agent["pid"] for agent in await server.agents()}
    try:
        yield Agent(session, pids[channel_name])
    finally:
        await server.post("/stop_agent", channel_name=channel_name)


@contextlib.asynccontextmanager
async def stock_agent(server: Server, channel_name: str) -> AsyncIterator[Agent]:
    """The same agent with aiortc's media path, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.stock_agent"),
        *(server.url, server.model.uri, channel_name, str(AGENT_UID)),
        cwd=ROOT,
    )
    try:
        yield Agent(await server.model.next_session(), process.pid)
    finally:
        process.terminate()
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()


Start = Callable[[Server, str], contextlib.AbstractAsyncContextManager[Agent]]

AGENTS: dict[str, Start] = {"ours": our_agent, "stock": stock_agent}


async def rows() -> list[str]:
    """The lines of the report."""
    lines: list[str] = []
    async with running_server() as server:
        for name, start in AGENTS.items():
            async with start(server, f"yard-{name}") as agent:
                lines += await _measure(server, f"yard-{name}", name, agent)
    return lines


async def _measure(server: Server, channel_name: str, name: str, agent: Agent) -> list[str]:
    figures = Latencies()
    async with (
        UdpRelay() as relay,
        calling_through(relay, answering_room(server.url, channel_name)) as track,
    ):
        await agent.session.wait_for("input_audio_buffer.append", 50)
        for _ in range(ROUNDS):
            figures.mouth_to_model.append(await _mouth_to_model(agent.session, track))
    async with calling(server, channel_name) as caller:
        await measure_replies(agent.session, caller, figures)
        speech = talk(COST_S + 2)
        caller.channel.push_audio_frame(speech)
        listening = await _cores(agent.pid)
        await asyncio.sleep(3)
        saying = asyncio.get_running_loop().create_task(agent.session.say(speech, "x", pace=0.5))
        speaking = await _cores(agent.pid)
        await asyncio.wait([saying])
    return [
        row(f"{name}: mouth to model", "ms", figures.mouth_to_model, digits=2),
        row(f"{name}: model to ear", "ms", figures.model_to_ear, digits=2),
        row(f"{name}: barge-in", "ms", figures.barge_in, digits=2),
        row(f"{name}: cores, listening", "cores", listening, digits=3),
        row(f"{name}: cores, speaking", "cores", speaking, digits=3),
    ]


async def _mouth_to_model(session: FakeSession, track: SpeechTrack) -> float:
    """A caller who sends all the time says a burst; when does it reach the model's socket?"""
    seen = len(session.received)
    await track.say(tone(20))
    sent_s = asyncio.get_running_loop().time()
    reached_s = await first_voice_s(session, since=seen)
    await asyncio.sleep(0.1)  # the codec's tail must not count for the next round
    return (reached_s - sent_s) * 1000


async def _cores(pid: int) -> list[float]:
    await asyncio.sleep(1)
    found = []
    for _ in range(4):
        began_s, before_s = asyncio.get_running_loop().time(), cpu_s(pid)
        await asyncio.sleep(COST_S / 4)
        took_s = asyncio.get_running_loop().time() - began_s
        found.append((cpu_s(pid) - before_s) / took_s)
    return found if statistics.fmean(found) else []
