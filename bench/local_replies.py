"""The local model server over its wire: how long a caller waits for rules and for a language model.

The language model is a scripted chat server that sends its first token after 100 ms and further
ones 20 ms apart, so that the figures are those of everything around a model.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from bench.figures import row
from bench.speech import RATE_HZ, load_speech
from bench.stand import DEADLINE_S, ROOT, START_DEADLINE_S
from tests.fakes.chat_server import Answer, ChatCall, ChatServer, Piece, Sleep, Text, chat_server

QUESTIONS = ("u01_f", "u02_f", "u03_f", "u07_f", "u15_f", "u16_f", "u20_m", "u22_m")
ROUNDS = 2
FIRST_TOKEN_S = 0.1
TOKEN_S = 0.02
DETECTIONS = {
    "server_vad 400 ms": {"type": "server_vad"},
    "semantic_vad": {"type": "semantic_vad"},
}
_PIECE_S = 0.02
_LOUD = 500


@dataclass
class ReplyFigures:
    """Milliseconds from the end of speech to the first audio, by turn detection.

    speculative: counts of the server's health report
    """

    answer: dict[str, list[float]] = field(default_factory=dict)
    speculative: dict[str, int] = field(default_factory=dict)


async def rows() -> list[str]:
    """Every figure of this part."""
    lines: list[str] = []
    for mind, figures in (("rules", await measure_rules()), ("100 ms LLM", await measure_model())):
        for detection, values in figures.answer.items():
            lines.append(row(f"speech to audio, wire, {mind}, {detection}", "ms", values))
        counts = figures.speculative
        lines.append(f"  of {counts['begun']} speculative replies {counts['adopted']} were adopted")
    return lines


async def measure_rules() -> ReplyFigures:
    """No language model is set."""
    async with model_server() as (url, _):
        return await _measure(url)


async def measure_model() -> ReplyFigures:
    """A scripted language model answers."""
    async with scripted_model() as chat, model_server(chat) as (url, _):
        return await _measure(url)


@contextlib.asynccontextmanager
async def scripted_model() -> AsyncIterator[ChatServer]:
    """The scripted language model, each of whose answers is new."""
    numbers = itertools.count(1)

    def answer(_call: ChatCall) -> Answer:
        return Answer(tuple(_pieces(next(numbers))))

    async with chat_server(reply_with=answer) as chat:
        yield chat


def _pieces(number: int) -> Iterator[Piece]:
    text = f"Number {number} is easy to answer, and here is what I know of it. That is all."
    yield Sleep(FIRST_TOKEN_S)
    for word in text.split(" "):
        yield Text(f"{word} ")
        yield Sleep(TOKEN_S)


@contextlib.asynccontextmanager
async def model_server(chat: ChatServer | None = None) -> AsyncIterator[tuple[str, int]]:
    """`main.py model` as a process; gives address and process id once the models are loaded."""
    language_model = (
        {} if chat is None else {"LLM_BASE_URL": chat.base_url, "LLM_MODEL": "scripted"}
    )
    with socket.create_server(("127.0.0.1", 0)) as sock:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "main", "model", "--fd", str(sock.fileno())),
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "PARLEY_ENV_FILE": "",
                "LOG_LEVEL": "ERROR",
                **language_model,
            },
            pass_fds=(sock.fileno(),),
        )
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    try:
        async with aiohttp.ClientSession() as http:
            await _wait_ready(http, url)
        yield url, process.pid
    finally:
        process.terminate()
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()


async def _wait_ready(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(START_DEADLINE_S):
        while True:
            async with http.get(f"{url}/healthz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.1)


async def _measure(url: str) -> ReplyFigures:
    figures = ReplyFigures()
    async with aiohttp.ClientSession() as http:
        for number, (name, detection) in enumerate(DETECTIONS.items()):
            figures.answer[name] = []
            for question in range(ROUNDS):
                # Another speed each time: the voice remembers what it said.
                speed = 1.0 + 0.01 * (question * len(DETECTIONS) + number)
                figures.answer[name] += await _ask_all(http, url, detection, speed)
        async with http.get(f"{url}/healthz") as answer:
            figures.speculative = (await answer.json())["replies"]["speculative"]
    return figures


async def _ask_all(
    http: aiohttp.ClientSession, url: str, detection: dict[str, Any], speed: float
) -> list[float]:
    waits: list[float] = []
    for name in QUESTIONS:
        async with http.ws_connect(f"{url}/v1/realtime?model=parley-local") as ws:
            caller = _Caller(ws)
            await caller.configure(detection, speed)
            waits.append(await caller.ask(np.frombuffer(load_speech(f"{name}.wav"), np.int16)))
    return waits


def cut_after_last_sound(speech: np.ndarray) -> tuple[np.ndarray, int]:
    """Return `speech` up to 20 ms after its last loud sample, and the number of that sample."""
    last = int(np.flatnonzero(np.abs(speech) > _LOUD)[-1])
    return speech[: last + 1 + int(0.02 * RATE_HZ)], last


async def speak(ws: aiohttp.ClientWebSocketResponse, speech: np.ndarray, began_s: float) -> None:
    """Send `speech` at the pace of a microphone, and silence after it, until cancelled."""
    piece = int(_PIECE_S * RATE_HZ)
    for number in itertools.count():
        samples = speech[number * piece : (number + 1) * piece]
        pcm = samples.tobytes().ljust(piece * 2, b"\0")
        await asyncio.sleep(max(0.0, began_s + (number + 1) * _PIECE_S - time.monotonic()))
        audio = base64.b64encode(pcm).decode()
        await ws.send_json({"type": "input_audio_buffer.append", "audio": audio})


class _Caller:
    """Speaks at the pace of a microphone, and goes on sending silence."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws

    async def configure(self, detection: dict[str, Any], speed: float) -> None:
        audio = {"input": {"turn_detection": detection}, "output": {"speed": speed}}
        session = {"type": "realtime", "audio": audio}
        await self._ws.send_json({"type": "session.update", "session": session})
        await self._until("session.updated")

    async def ask(self, speech: np.ndarray) -> float:
        """From the last loud sample spoken to the first loud sample of the answer."""
        speech, last = cut_after_last_sound(speech)
        began_s = time.monotonic()
        ended_s = began_s + last / RATE_HZ
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(speak(self._ws, speech, began_s))
            heard_s = await self._first_audio_s()
            speaking.cancel()
        return (heard_s - ended_s) * 1000

    async def _first_audio_s(self) -> float:
        quiet_s = 0.0
        while True:
            event = await self._until("response.output_audio.delta")
            at_s = time.monotonic()
            pcm = np.frombuffer(base64.b64decode(event["delta"]), np.int16)
            loud = np.flatnonzero(np.abs(pcm) > _LOUD)
            if loud.size:
                return at_s + quiet_s + float(loud[0]) / RATE_HZ
            quiet_s += pcm.size / RATE_HZ

    async def _until(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                event: dict[str, Any] = await self._ws.receive_json()
                if event["type"] == kind:
                    return event
