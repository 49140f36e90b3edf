"""FastRTC and Pipecat beside Parley: one caller, one model, one run.

Latencies with one call; then processor time and memory of the whole process tree with `CALLS` calls:
the callers send silence as packets, as browsers do, and the agents are first silent, then speak.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from bench.figures import row
from bench.latency import ROUNDS, model_to_ear
from bench.peers.calls import CallerProcess, caller_process
from bench.peers.interpreter import installed_versions, missing_message, peers_python
from bench.peers.servers import Peer, fastrtc, parley, pipecat
from bench.processes import TreeCpu, tree_memory_mb
from bench.speech import talk
from bench.stand import LoudFrames, first_voice_s
from tests.fakes.openai_frames import BYTES_PER_MS
from tests.fakes.openai_realtime import FakeSession, tone

CALLS: Final = 6
WINDOWS: Final = 3
WINDOW_S: Final = 10.0
SETTLE_S: Final = 3.0
# A peer's jitter buffer holds sound back for up to 100 ms, and the codec has a tail.
_BETWEEN_BURSTS_S: Final = 0.25

Start = Callable[[], contextlib.AbstractAsyncContextManager[Peer]]


@dataclass
class PeerFigures:
    """Figures of one peer: milliseconds, cores per call, MB of proportional memory."""

    mouth_to_model_ms: list[float] = field(default_factory=list)
    model_to_ear_ms: list[float] = field(default_factory=list)
    barge_in_ms: list[float] = field(default_factory=list)
    silent_cores: list[float] = field(default_factory=list)
    # Of the callers' audio during these windows, one value per call and window. Below 100 % the peer
    # got too little processor time or lost a call, and its cores say nothing.
    at_model_percent: list[float] = field(default_factory=list)
    speaking_cores: list[float] = field(default_factory=list)
    memory_alone_mb: list[float] = field(default_factory=list)
    memory_per_call_mb: list[float] = field(default_factory=list)


async def rows() -> list[str]:
    """One line per figure and peer; the missing peers in a line of their own."""
    python = peers_python()
    versions = await installed_versions(python)
    lines = [f"load of the machine before: {os.getloadavg()[0]:.2f}"]
    if (message := missing_message(versions, python)) is not None:
        lines.append(message)
    figures = {name: await _measure(start) for name, start in _starts(versions, python).items()}
    return lines + table(figures)


def _starts(versions: dict[str, str], python: Path) -> dict[str, Start]:
    starts: dict[str, Start] = {"Parley": parley}
    for name, start in (("FastRTC", fastrtc), ("Pipecat", pipecat)):
        if name in versions:
            starts[f"{name} {versions[name]}"] = partial(start, python)
    return starts


def table(figures: dict[str, PeerFigures]) -> list[str]:
    """The report: figure by figure, the peers below one another."""
    kinds: Sequence[tuple[str, str, int, Callable[[PeerFigures], list[float]]]] = (
        ("mouth to model", "ms", 2, lambda each: each.mouth_to_model_ms),
        ("model to ear", "ms", 2, lambda each: each.model_to_ear_ms),
        ("barge-in", "ms", 2, lambda each: each.barge_in_ms),
        (f"cores per call, {CALLS} silent", "cores", 4, lambda each: each.silent_cores),
        ("audio at the model meanwhile", "%", 1, lambda each: each.at_model_percent),
        (f"cores per call, {CALLS} speaking", "cores", 4, lambda each: each.speaking_cores),
        ("memory alone", "MB", 1, lambda each: each.memory_alone_mb),
        (f"memory per call, {CALLS}", "MB", 1, lambda each: each.memory_per_call_mb),
    )
    return [
        row(f"{kind}: {name}", unit, values(peer), digits=digits)
        for kind, unit, digits, values in kinds
        for name, peer in figures.items()
    ]


async def _measure(start: Start) -> PeerFigures:
    figures = PeerFigures()
    async with caller_process() as caller, start() as peer:
        await asyncio.sleep(SETTLE_S)
        alone_mb = tree_memory_mb(peer.pid)
        figures.memory_alone_mb.append(alone_mb)
        await _measure_latencies(peer, caller, figures)
        await caller.hang_up()
        await peer.end_calls()
        sessions = [(await _call(peer, caller))[1] for _ in range(CALLS)]
        await asyncio.sleep(SETTLE_S)
        for _ in range(WINDOWS):
            began_s, before = time.monotonic(), [len(session.audio) for session in sessions]
            figures.silent_cores.append(await _cores(peer.pid) / CALLS)
            due_bytes = (time.monotonic() - began_s) * 1000 * BYTES_PER_MS
            figures.at_model_percent += [
                100 * (len(session.audio) - seen) / due_bytes
                for session, seen in zip(sessions, before, strict=True)
            ]
        figures.speaking_cores.append(await _speaking_cores(peer.pid, sessions) / CALLS)
        figures.memory_per_call_mb.append((tree_memory_mb(peer.pid) - alone_mb) / CALLS)
        await caller.hang_up()
        await peer.end_calls()
    return figures


async def _call(peer: Peer, caller: CallerProcess) -> tuple[int, FakeSession]:
    """Call until the caller's packets reach the model."""
    number, session = await peer.call(caller)
    await session.wait_for("input_audio_buffer.append", 10)
    return number, session


async def _measure_latencies(peer: Peer, caller: CallerProcess, figures: PeerFigures) -> None:
    number, session = await _call(peer, caller)
    for _ in range(ROUNDS):
        await asyncio.sleep(_BETWEEN_BURSTS_S)
        seen = len(session.received)
        captured_s = await caller.burst(number)
        reached_s = await first_voice_s(session, since=seen)
        figures.mouth_to_model_ms.append((reached_s - captured_s) * 1000)
    heard = caller.calls[number]
    for _ in range(ROUNDS):
        figures.model_to_ear_ms.append(await model_to_ear(session, heard))
    for _ in range(ROUNDS):
        figures.barge_in_ms.append(await _barge_in(session, heard))


async def _barge_in(session: FakeSession, heard: LoudFrames) -> float:
    """Milliseconds from `speech_started` to the last loud packet at the caller."""
    await heard.wait_quiet()
    count = len(heard.loud_at_s)
    saying = asyncio.get_running_loop().create_task(session.say(tone(20_000), "long", pace=0.2))
    await heard.wait_loud(count + 25)
    began_s = time.monotonic()
    item_id = await session.speech_started()
    await saying
    await heard.wait_quiet()
    last_s = heard.loud_at_s[-1]
    await session.speech_stopped(item_id, "stop")
    return (last_s - began_s) * 1000


async def _speaking_cores(pid: int, sessions: Sequence[FakeSession]) -> float:
    """Cores that a process tree takes while all its agents speak."""
    speech = talk(WINDOW_S + 2)
    loop = asyncio.get_running_loop()
    saying = [loop.create_task(session.say(speech, "talk", pace=1.0)) for session in sessions]
    await asyncio.sleep(1)
    cores = await _cores(pid)
    await asyncio.gather(*saying)
    return cores


async def _cores(pid: int) -> float:
    """Cores that a process tree takes, over `WINDOW_S`."""
    tree, began_s = TreeCpu(pid), time.monotonic()
    await asyncio.sleep(WINDOW_S)
    return tree.spent_s() / (time.monotonic() - began_s)
