"""A provider that goes away: how soon people are heard again, what is lost, what they notice."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass, field, replace

import numpy as np

from bench.figures import row
from bench.stand import Caller, Server, calling, running_server
from load.sounds import LOUD
from realtime.events import AppendAudio
from realtime.model import RealtimeModelConfig
from realtime.openai.model import OpenAIRealtimeModel
from realtime.resilience.model import ResilientModel
from realtime.resilience.outage import STABLE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone

DROPS = 12
SPOKEN_MS = 800
ROTATIONS = 4
SESSION_S = 2.0
REPLY_SESSION_S = 6.0
REPLY_MS = 7_000
FRAME_SAMPLES = 480


@dataclass
class LossFigures:
    """Milliseconds and samples, one list a figure."""

    delivered: list[float] = field(default_factory=list)
    beyond_handshake: list[float] = field(default_factory=list)
    missing: list[float] = field(default_factory=list)
    rotation_lost: list[float] = field(default_factory=list)
    rotation_repeated: list[float] = field(default_factory=list)
    rotation_gap: list[float] = field(default_factory=list)


async def rows() -> list[str]:
    """Every figure of this part."""
    figures = LossFigures()
    async with running_server() as server:
        await _measure_drops(server, figures)
    async with running_server() as server:
        await _measure_gap(server, figures)
    await _measure_rotations(figures)
    return [
        row("provider dropped: to next user audio at the model", "ms", figures.delivered),
        row("the same beyond the provider's handshake", "ms", figures.beyond_handshake),
        row("user audio missing after the drop", "ms", figures.missing),
        row("planned rotation: user audio lost", "samples", figures.rotation_lost),
        row("planned rotation: user audio sent twice", "samples", figures.rotation_repeated),
        row("planned rotation: longest gap in a playing reply", "ms", figures.rotation_gap),
    ]


# -- drops, with the real agent and a caller who speaks ------------------------------------------


async def _measure_drops(server: Server, figures: LossFigures) -> None:
    session, _ = await server.start_agent("drops")
    async with calling(server, "drops") as caller:
        for _ in range(DROPS):
            session = await _drop(server, session, caller, figures)
    await server.post("/stop_agent", channel_name="drops")


async def _drop(
    server: Server, session: FakeSession, caller: Caller, figures: LossFigures
) -> FakeSession:
    """The provider vanishes while the caller speaks."""
    caller.channel.push_audio_frame(tone(SPOKEN_MS))
    await _wait_loud(session, 100)
    dropped_s = time.monotonic()
    await session.drop()
    fresh = await server.model.next_session()
    await fresh.wait_for("input_audio_buffer.append")
    first = next(each for each in fresh.received if each.type == "input_audio_buffer.append")
    updated = next(each for each in fresh.sent if each.type == "session.updated")
    handshake_s = updated.at_s - fresh.sent[0].at_s
    figures.delivered.append((first.at_s - dropped_s) * 1000)
    figures.beyond_handshake.append((first.at_s - dropped_s - handshake_s) * 1000)
    await asyncio.sleep(SPOKEN_MS / 1000 + 0.3)
    figures.missing.append(max(0.0, SPOKEN_MS - _loud_ms(fresh)))
    # Nothing of this round may be replayed in the next, nor a drop count as part of the last.
    await asyncio.sleep(STABLE_S)
    return fresh


def _loud_ms(session: FakeSession) -> float:
    """Return the loud part of a session's audio, in 5 ms steps."""
    pcm = b"".join(
        base64.b64decode(event["audio"]) for event in session.all_of("input_audio_buffer.append")
    )
    steps = np.frombuffer(pcm[: len(pcm) // 240 * 240], np.int16).reshape(-1, 120)
    return 5.0 * int((np.abs(steps.astype(np.int32)).max(axis=1, initial=0) > LOUD).sum())


async def _wait_loud(session: FakeSession, duration_ms: float) -> None:
    before_ms = _loud_ms(session)
    while _loud_ms(session) - before_ms < duration_ms:
        count = len(session.all_of("input_audio_buffer.append"))
        await session.wait_for("input_audio_buffer.append", count + 1)


# -- rotation ------------------------------------------------------------------------------------


async def _measure_gap(server: Server, figures: LossFigures) -> None:
    """A long reply plays while its session is replaced."""
    server.model.faults.session_s = REPLY_SESSION_S
    session, _ = await server.start_agent("rotation")
    server.model.faults.session_s = None
    async with calling(server, "rotation") as caller:
        await session.say(tone(REPLY_MS), "a long reply")
        await server.model.next_session()
        await caller.wait_loud(REPLY_MS // 20 - 10)
        await caller.wait_quiet()
    gaps_s = np.diff(np.array(caller.loud_at_s))
    figures.rotation_gap.append(float(gaps_s.max()) * 1000)
    await server.post("/stop_agent", channel_name="rotation")


async def _measure_rotations(figures: LossFigures) -> None:
    """Every frame is numbered, at the pace of speech, through several sessions in a row."""
    capabilities = replace(OpenAIRealtimeModel().capabilities, session_cap_s=SESSION_S)
    async with FakeRealtimeServer() as server:
        model = ResilientModel(lambda: OpenAIRealtimeModel(capabilities))
        await model.connect(RealtimeModelConfig("bench", server.uri, api_key="k"))
        sent = 0
        while model.statistics.rotations < ROTATIONS:
            await model.send(AppendAudio((sent % 500).to_bytes(2, "little") * FRAME_SAMPLES))
            sent += 1
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        got = sum(len(session.audio) for session in server.sessions) // (2 * FRAME_SAMPLES)
        figures.rotation_lost.append(float(max(0, sent - got) * FRAME_SAMPLES))
        figures.rotation_repeated.append(float(max(0, got - sent) * FRAME_SAMPLES))
        await model.close()
