"""Start, mouth to model, model to ear, barge-in: what people wait for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from bench.figures import row
from bench.stand import Caller, LoudFrames, Server, calling, first_voice_s, running_server
from tests.fakes.openai_frames import BYTES_PER_MS
from tests.fakes.openai_realtime import FakeSession, tone

ROUNDS = 25
STARTS = 20


@dataclass
class Latencies:
    """Milliseconds, one list a figure."""

    start: list[float] = field(default_factory=list)
    mouth_to_model: list[float] = field(default_factory=list)
    model_to_ear: list[float] = field(default_factory=list)
    barge_in: list[float] = field(default_factory=list)
    truncate_error: list[float] = field(default_factory=list)


async def rows() -> list[str]:
    """Every figure of this part."""
    figures = Latencies()
    async with running_server() as server:
        await measure_starts(server, figures)
        await measure_call(server, figures)
    return [
        row("start to ready (room and model session)", "ms", figures.start),
        row("mouth to model", "ms", figures.mouth_to_model, digits=2),
        row("model to ear, agent silent before", "ms", figures.model_to_ear, digits=2),
        row("barge-in: speech_started to last loud packet", "ms", figures.barge_in, digits=2),
        row("truncate minus heard", "ms", figures.truncate_error),
    ]


async def measure_starts(server: Server, figures: Latencies) -> None:
    """From the request to the answer that the agent is in the room with its model session open."""
    for number in range(STARTS):
        began_s = time.monotonic()
        await server.start_agent(f"start-{number}")
        figures.start.append((time.monotonic() - began_s) * 1000)
        await server.post("/stop_agent", channel_name=f"start-{number}")


async def measure_call(server: Server, figures: Latencies) -> None:
    """One call with many turns."""
    session, _ = await server.start_agent("latency")
    async with calling(server, "latency") as caller:
        await session.wait_for("input_audio_buffer.append", 10)
        for _ in range(ROUNDS):
            figures.mouth_to_model.append(await mouth_to_model(session, caller))
        await measure_replies(session, caller, figures)
    await server.post("/stop_agent", channel_name="latency")


async def measure_replies(session: FakeSession, caller: Caller, figures: Latencies) -> None:
    """Measure replies: time until they are heard, and until they stop when interrupted."""
    for _ in range(ROUNDS):
        figures.model_to_ear.append(await model_to_ear(session, caller))
    for _ in range(ROUNDS):
        latency_ms, error_ms = await _barge_in(session, caller)
        figures.barge_in.append(latency_ms)
        figures.truncate_error.append(error_ms)


async def mouth_to_model(session: FakeSession, caller: Caller) -> float:
    """A 20 ms burst leaves the caller; when has an append with it reached the model's socket?"""
    seen = len(session.received)
    sent_s = time.monotonic()
    caller.channel.push_audio_frame(tone(20))
    reached_s = await first_voice_s(session, since=seen)
    await asyncio.sleep(0.1)  # the codec's tail must not count for the next round
    return (reached_s - sent_s) * 1000


def _first_delta_s(session: FakeSession, since: int) -> float:
    deltas = [e for e in session.sent[since:] if e.type == "response.output_audio.delta"]
    return deltas[0].at_s


async def model_to_ear(session: FakeSession, caller: LoudFrames) -> float:
    """Milliseconds from the first delta of a reply, sent while the agent is silent, to its arrival."""
    await caller.wait_quiet()
    heard, sent = len(caller.loud_at_s), len(session.sent)
    # Ends in silence: a rest that a stage on the way keeps would be taken for the next reply's start.
    await session.say(tone(200) + bytes(100 * BYTES_PER_MS), "a short reply")
    await caller.wait_loud(heard + 1)
    # What is measured next must not share the processors with the rest of this reply.
    await caller.wait_quiet()
    return (caller.loud_at_s[heard] - _first_delta_s(session, sent)) * 1000


async def _barge_in(session: FakeSession, caller: Caller) -> tuple[float, float]:
    """(ms from speech_started to the last loud packet, ms truncated minus ms heard)."""
    await caller.wait_quiet()
    heard = len(caller.loud_at_s)
    truncates = len(session.all_of("conversation.item.truncate"))
    saying = asyncio.get_running_loop().create_task(session.say(tone(20_000), "long", pace=0.2))
    await caller.wait_loud(heard + 25)
    began_s = time.monotonic()
    item_id = await session.speech_started()
    truncate = await session.wait_for("conversation.item.truncate", truncates + 1)
    await saying
    await session.speech_stopped(item_id, "stop")
    await caller.wait_quiet()
    heard_ms = (len(caller.loud_at_s) - heard) * 20
    return (caller.loud_at_s[-1] - began_s) * 1000, truncate["audio_end_ms"] - heard_ms
