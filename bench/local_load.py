"""The local model with 1, 2, 4 and 8 conversations at once, over its wire and in a process of its own.

Every caller asks the recorded questions at the pace of a microphone and listens to each answer to its
end. Word errors are those of the transcripts; a gap is audio that comes later than it is to be played.
At last callers come one by one until the server refuses: those it took must not stutter.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from bench.figures import row
from bench.local_replies import cut_after_last_sound, model_server, speak
from bench.speech import RATE_HZ, load_speech, plain_words, sentences_by_file, wrong_words
from bench.stand import DEADLINE_S

SESSIONS: Final = (1, 2, 4, 8)
QUESTIONS: Final = ("u01_f", "u03_f", "u07_f", "u12_f_pink10", "u18_f", "u20_m")
RAMP_LIMIT: Final = 12
RAMP_STEP_S: Final = 4.0
RAMP_ROUNDS: Final = 2
ANSWER_WITHIN_S: Final = 90.0
"""To its end: a story is spoken at the pace of its playback."""

_LOUD: Final = 500
_PLAYOUT_DELAY_S: Final = 0.06
"""Any client holds back as much against jitter; later audio is a gap."""


@dataclass
class LoadFigures:
    """Of all turns with so many sessions.

    answer: milliseconds from the end of speech to the first loud audio
    unanswered: turns without an answer within `ANSWER_WITHIN_S`
    gaps: milliseconds of silence inside an answer, one for each
    """

    answer: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    words: int = 0
    wrong: int = 0
    cores: float = 0.0
    unanswered: int = 0
    refused: int = 0
    reason: str = ""


async def rows() -> list[str]:
    """Every figure of this part."""
    lines: list[str] = []
    async with model_server() as (url, pid):
        for number in SESSIONS:
            figures = await measure(url, pid, number)
            lines += _lines(f"{number} sessions", figures)
        ramp = await measure_ramp(url, pid)
    lines += _lines(f"{RAMP_LIMIT} callers, {ramp.refused} refused", ramp)
    return [*lines, f"  refusal: {ramp.reason or 'none'}"]


def _lines(name: str, figures: LoadFigures) -> list[str]:
    gaps = f"{len(figures.gaps)} gaps ({sum(figures.gaps):.0f} ms)"
    gaps += f", {figures.unanswered} unanswered" if figures.unanswered else ""
    errors = 100 * figures.wrong / max(1, figures.words)
    return [
        row(f"speech to audio, local, {name}", "ms", figures.answer),
        f"  word errors {errors:.1f} %, {gaps}, {figures.cores:.2f} cores",
    ]


async def measure(url: str, pid: int, sessions: int) -> LoadFigures:
    """So many callers at once."""
    figures = LoadFigures()
    began_s, cpu_s = time.monotonic(), _cpu_s(pid)
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(_converse(http, url, number, sessions, figures))
    figures.cores = (_cpu_s(pid) - cpu_s) / (time.monotonic() - began_s)
    return figures


async def measure_ramp(url: str, pid: int) -> LoadFigures:
    """One caller more every `RAMP_STEP_S`, each of whom asks everything twice."""
    figures = LoadFigures()
    began_s, cpu_s = time.monotonic(), _cpu_s(pid)
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        for number in range(RAMP_LIMIT):
            work = _converse(http, url, number, RAMP_LIMIT, figures, rounds=RAMP_ROUNDS)
            group.create_task(work)
            await asyncio.sleep(RAMP_STEP_S)
    figures.cores = (_cpu_s(pid) - cpu_s) / (time.monotonic() - began_s)
    return figures


def _cpu_s(pid: int) -> float:
    """Seconds of processor time that the process took, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _converse(
    http: aiohttp.ClientSession,
    url: str,
    number: int,
    sessions: int,
    figures: LoadFigures,
    rounds: int = 1,
) -> None:
    try:
        ws = await http.ws_connect(f"{url}/v1/realtime?model=parley-local")
    except aiohttp.WSServerHandshakeError as error:
        if error.status != 503:
            raise
        figures.refused += 1
        async with http.get(
            f"{url}/v1/realtime?model=m", headers={"Upgrade": "websocket"}
        ) as answer:
            if answer.status == 503:
                figures.reason = (await answer.json())["error"]["message"]
        return
    async with ws:
        caller = _Caller(ws, figures)
        said = sentences_by_file()
        # Not all at once, as people are not.
        await asyncio.sleep(number * 3.0 / sessions)
        for index in range(len(QUESTIONS) * rounds):
            # Another speed each time: the voice remembers what it said.
            speed = 0.9 + 0.3 * ((number * 31 + index * 7) % 100) / 100
            await caller.configure(speed)
            question = QUESTIONS[(index + number) % len(QUESTIONS)]
            await caller.ask(question, said[f"{question}.wav"])


class _Caller:
    def __init__(self, ws: aiohttp.ClientWebSocketResponse, figures: LoadFigures) -> None:
        self._ws = ws
        self._figures = figures

    async def configure(self, speed: float) -> None:
        audio = {"output": {"speed": round(speed, 3)}}
        await self._send(type="session.update", session={"type": "realtime", "audio": audio})
        await self._until("session.updated")

    async def ask(self, name: str, words: list[str]) -> None:
        """Ask, and listen to the end of what is answered."""
        speech = np.frombuffer(load_speech(f"{name}.wav"), np.int16)
        speech, last = cut_after_last_sound(speech)
        began_s = time.monotonic()
        ended_s = began_s + last / RATE_HZ
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(speak(self._ws, speech, began_s))
            try:
                async with asyncio.timeout(ended_s - began_s + ANSWER_WITHIN_S):
                    left_s = await self._listen(ended_s, words)
            except TimeoutError:
                self._figures.unanswered += 1
                left_s = 0.0
            await asyncio.sleep(max(0.0, left_s))
            speaking.cancel()

    async def _listen(self, ended_s: float, words: list[str]) -> float:
        """Return the seconds of the answer that are still to be played."""
        playback: _Playback | None = None
        while True:
            event = await self._next()
            match event["type"]:
                case "conversation.item.input_audio_transcription.completed":
                    self._figures.words += len(words)
                    heard = plain_words(event["transcript"])
                    self._figures.wrong += wrong_words(words, heard)
                case "response.output_audio.delta":
                    playback = playback or _Playback(ended_s, self._figures)
                    playback.push(np.frombuffer(base64.b64decode(event["delta"]), np.int16))
                case "response.done":
                    return 0.0 if playback is None else playback.left_s()

    async def _send(self, **event: Any) -> None:
        await self._ws.send_json(event)

    async def _until(self, kind: str) -> None:
        while (await self._next())["type"] != kind:
            pass

    async def _next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            event: dict[str, Any] = await self._ws.receive_json()
        return event


class _Playback:
    """A client that plays what arrives, as soon as it may."""

    def __init__(self, ended_s: float, figures: LoadFigures) -> None:
        self._ended_s = ended_s
        self._figures = figures
        self._dry_s: float | None = None
        self._is_loud = False

    def push(self, pcm: np.ndarray) -> None:
        now_s = time.monotonic()
        if self._dry_s is None:
            self._dry_s = now_s + _PLAYOUT_DELAY_S
        elif now_s > self._dry_s:
            self._figures.gaps.append((now_s - self._dry_s) * 1000)
            self._dry_s = now_s
        loud = np.flatnonzero(np.abs(pcm) > _LOUD)
        if loud.size and not self._is_loud:
            self._is_loud = True
            heard_s = self._dry_s - _PLAYOUT_DELAY_S + float(loud[0]) / RATE_HZ
            self._figures.answer.append((heard_s - self._ended_s) * 1000)
        self._dry_s += pcm.size / RATE_HZ

    def left_s(self) -> float:
        return 0.0 if self._dry_s is None else self._dry_s - time.monotonic()
