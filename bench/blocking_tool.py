"""The audio path of a call while an owner's tool blocks its thread, sleeping or computing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import row
from bench.latency import model_to_ear, mouth_to_model
from bench.stand import Caller, calling, running_server
from load.lateness import Lateness
from tests.fakes.openai_realtime import FakeSession, tone

CYCLES = 4
TOOL_S = 7.0
"""Longer than one cycle takes: its figures are of a tool that runs all the time."""

_MOUTH_ROUNDS = 6
_EAR_ROUNDS = 2
_REPLY_MS = 1_000

_APP = """
import time

from parley import Agent, tool


@tool(timeout_s=30)
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@tool(timeout_s=30)
def compute(seconds: float) -> str:
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(10_000):
            number += 1
    return "computed"


blocker = Agent("blocker", tools=[sleep, compute])
"""

_KINDS = {
    None: "undisturbed",
    "sleep": "a tool sleeps",
    "compute": "a tool computes in Python",
}


@dataclass
class Figures:
    """Of one kind of disturbance."""

    mouth_to_model_ms: list[float] = field(default_factory=list)
    model_to_ear_ms: list[float] = field(default_factory=list)
    frames: Lateness = field(default_factory=Lateness)


async def rows() -> list[str]:
    """Every figure of this part. The kinds take turns, so that the machine is the same for each."""
    figures = {tool: Figures() for tool in _KINDS}
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        app = Path(folder) / "blocking.py"
        app.write_text(_APP)
        async with running_server(APP=str(app)) as server:
            await server.post("/start_agent", channel_name="blocking", agent="blocker")
            session = await server.model.next_session()
            async with calling(server, "blocking") as caller:
                await session.wait_for("input_audio_buffer.append", 10)
                for _ in range(CYCLES):
                    for tool, of_kind in figures.items():
                        await _measure_with(tool, session, caller, of_kind)
            await server.post("/stop_agent", channel_name="blocking")
    return [line for tool, kind in _KINDS.items() for line in _lines(kind, figures[tool])]


def _lines(kind: str, figures: Figures) -> list[str]:
    late = figures.frames.late_percent
    return [
        row(f"mouth to model, {kind}", "ms", figures.mouth_to_model_ms, digits=2),
        row(f"model to ear, {kind}", "ms", figures.model_to_ear_ms, digits=2),
        row(f"frames over 20 ms late, {kind}", "%", [] if late is None else [late], digits=2),
    ]


async def _measure_with(
    tool: str | None, session: FakeSession, caller: Caller, figures: Figures
) -> None:
    """Take the figures while this tool runs.

    Raises:
        RuntimeError: it ended before the figures were taken.
    """
    if tool is None:
        await _measure(session, caller, figures)
        return
    before = len(session.all_of("conversation.item.create"))
    await session.call_tool(tool, {"seconds": TOOL_S})
    await _measure(session, caller, figures)
    if len(session.all_of("conversation.item.create")) > before:
        raise RuntimeError(f"the tool ended within {TOOL_S:g} s: the machine is too slow for this")
    await session.wait_for("conversation.item.create", before + 1)


async def _measure(session: FakeSession, caller: Caller, figures: Figures) -> None:
    for _ in range(_MOUTH_ROUNDS):
        figures.mouth_to_model_ms.append(await mouth_to_model(session, caller))
    for _ in range(_EAR_ROUNDS):
        figures.model_to_ear_ms.append(await model_to_ear(session, caller))
    await caller.wait_quiet()
    before = len(caller.loud_at_s)
    await session.say(tone(_REPLY_MS), "a longer reply")
    await caller.wait_loud(before + 1)
    await caller.wait_quiet()
    # Each reply has a beginning of its own, so each is compared with its own quickest frame.
    lateness = Lateness()
    for index, at_s in enumerate(caller.loud_at_s[before:]):
        lateness.add(index * 0.020, at_s)
    figures.frames.frames += lateness.frames
    figures.frames.late += lateness.late
    figures.frames.worst_s = max(figures.frames.worst_s, lateness.worst_s)
