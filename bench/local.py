"""The local model end to end: how long a caller waits for an answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np

from bench import local_load, local_replies
from bench.figures import row
from bench.speech import RATE_HZ, load_speech
from bench.stand import AGENT_UID, DEADLINE_S, Caller, Server, calling, running_server
from load.sounds import LOUD

QUESTIONS = ("u01_f.wav", "u07_f.wav", "u22_f.wav")
ROUNDS = 4
STARTS = 20


@dataclass
class LocalFigures:
    """Milliseconds. answer: by rules; model_answer: by the scripted language model."""

    start: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)
    model_answer: list[float] = field(default_factory=list)


async def rows() -> list[str]:
    """Every figure of this part."""
    figures = await measure_local()
    return [
        row("start to ready, local model", "ms", figures.start),
        row("end of speech to first agent audio, local model", "ms", figures.answer),
        row("the same with a language model of 100 ms", "ms", figures.model_answer),
        *await local_replies.rows(),
        *await local_load.rows(),
    ]


async def measure_local() -> LocalFigures:
    """Starts with the model warm, then questions from recorded speech."""
    figures = LocalFigures()
    async with running_server(is_local=True) as server:
        for number in range(STARTS):
            began_s = time.monotonic()
            await server.post("/start_agent", channel_name=f"s{number}", uid=AGENT_UID)
            figures.start.append((time.monotonic() - began_s) * 1000)
            await server.post("/stop_agent", channel_name=f"s{number}")
        await _ask(server, figures.answer)
    async with (
        local_replies.scripted_model() as chat,
        running_server(is_local=True, LLM_BASE_URL=chat.base_url, LLM_MODEL=chat.model) as server,
    ):
        await _ask(server, figures.model_answer)
    return figures


async def _ask(server: Server, answers: list[float]) -> None:
    await server.post("/start_agent", channel_name="local", uid=AGENT_UID, toolset="everyday")
    async with calling(server, "local") as caller:
        for question in QUESTIONS * ROUNDS:
            speech = np.frombuffer(load_speech(question), np.int16)
            answers.append(await _ask_once(caller, speech))
    await server.post("/stop_agent", channel_name="local")


async def _ask_once(caller: Caller, speech: np.ndarray) -> float:
    """From the last loud sample spoken to the first loud frame heard."""
    await caller.wait_quiet(1.0)
    heard = len(caller.loud_at_s)
    end_s = float(np.flatnonzero(np.abs(speech) > LOUD / 2)[-1]) / RATE_HZ
    started: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    caller.channel.once("playout_started", lambda _key: started.set_result(time.monotonic()))
    caller.channel.push_audio_frame(speech.tobytes(), key=object())
    async with asyncio.timeout(DEADLINE_S):
        spoken_s = await started + end_s
    await caller.wait_loud(heard + 1)
    return (caller.loud_at_s[heard] - spoken_s) * 1000
