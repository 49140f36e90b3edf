"""A test caller: the official `openai` client, a microphone that speaks WAV files, and an ear."""

from __future__ import annotations

import asyncio
import base64
import csv
import functools
import time
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed

from audio import Resampler
from speech.engines.piper import PiperVoice
from tests.deadlines import DEADLINE_S
from tests.wav_files import read_wav

DATA = Path(__file__).parent.parent / "data" / "speech"
PIECE_BYTES = 40 * 48
VALIDATOR: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)

Event = dict[str, Any]

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def transcripts() -> dict[str, str]:
    """File name without ending -> what is said in it."""
    with (DATA / "manifest.tsv").open(encoding="utf-8") as manifest:
        rows = csv.DictReader(manifest, delimiter="\t")
        return {Path(row["file"]).stem: row["transcript"] for row in rows}


@functools.cache
def _voice() -> PiperVoice:
    return PiperVoice(noise_scale=0.0, width_noise=0.0)


def spoken(words: str) -> bytes:
    """`words` in the local voice, the same each time, as PCM16 at 24 kHz."""
    resampler = Resampler(_voice().sample_rate_hz, 24_000)
    return resampler.push(_voice().synthesise(words)) + resampler.flush()


def utterance(name: str) -> bytes:
    """A recorded sentence as PCM16 at 24 kHz."""
    pcm, rate_hz = read_wav(DATA / f"{name}.wav")
    resampler = Resampler(rate_hz, 24_000)
    return resampler.push(pcm) + resampler.flush()


def client_for(port: int) -> AsyncOpenAI:
    """The unmodified official client, pointed at the server under test."""
    return AsyncOpenAI(api_key="unused", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)


class Caller:
    """One conversation. Everything received is validated strictly and kept in order."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.events: list[Event] = []
        self.arrived_s: list[float] = []
        self._read = 0

    async def send(self, **event: Any) -> None:
        """One raw client event."""
        await self.connection.send(event)  # type: ignore[arg-type]

    async def speak(self, name: str, *, is_realtime: bool = False, silence_ms: int = 700) -> float:
        """Say a recorded sentence, then be silent; returns when (monotonic) the voice ended."""
        return await self.play(utterance(name), is_realtime=is_realtime, silence_ms=silence_ms)

    async def play(self, pcm: bytes, *, is_realtime: bool = False, silence_ms: int = 700) -> float:
        """As `speak`, with any 24 kHz audio."""
        ended_s = due_s = time.monotonic()
        quiet = pcm + bytes(silence_ms * 48)
        for start in range(0, len(quiet), PIECE_BYTES):
            piece = quiet[start : start + PIECE_BYTES]
            if is_realtime:
                due_s += len(piece) / 48_000
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            if start < len(pcm):
                ended_s = time.monotonic()
            audio = base64.b64encode(piece).decode()
            await self.send(type="input_audio_buffer.append", audio=audio)
        return ended_s

    async def next(self) -> Event:
        """The next event."""
        if self._read == len(self.events):
            async with asyncio.timeout(DEADLINE_S):
                raw = await self.connection.recv_bytes()
            event = VALIDATOR.validate_json(raw).model_dump(exclude_unset=True)
            self.events.append(event)
            self.arrived_s.append(time.monotonic())
        self._read += 1
        return self.events[self._read - 1]

    async def until(self, kind: str, **fields: Any) -> Event:
        """Read on up to an event of this type (and with these fields)."""
        while True:
            event = await self.next()
            if event["type"] == kind and all(event.get(k) == v for k, v in fields.items()):
                return event

    async def reply(self) -> str:
        """The words of the next complete reply."""
        done = await self.until("response.done")
        assert done["response"]["status"] == "completed", done["response"]
        return words_of(done)

    async def say_text(self, text: str) -> None:
        """A written user message."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self.send(type="conversation.item.create", item=item)

    async def ask(self, text: str) -> str:
        """Write, ask for a reply, and return its words."""
        await self.say_text(text)
        await self.send(type="response.create")
        return await self.reply()

    async def update(self, **session: Any) -> Event:
        """Change the session and wait until that is done."""
        await self.send(type="session.update", session={"type": "realtime", **session})
        return await self.until("session.updated")

    async def hang_up(self) -> None:
        """Close, reading on meanwhile: a client that stops reading never sees the goodbye."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._drain())
            await self.connection.close()

    async def _drain(self) -> None:
        try:
            while True:
                await self.connection.recv_bytes()
        except ConnectionClosed:
            return

    def types(self, start: int = 0) -> list[str]:
        """The kinds of events received, repeated deltas once."""
        kinds: list[str] = []
        for event in self.events[start:]:
            if not (event["type"].endswith("delta") and event["type"] in kinds[-2:]):
                kinds.append(event["type"])
        return kinds

    def audio(self) -> bytes:
        """All voice received."""
        deltas = [e["delta"] for e in self.events if e["type"] == "response.output_audio.delta"]
        return b"".join(base64.b64decode(delta) for delta in deltas)


def words_of(done: Event) -> str:
    """What a `response.done` says or writes."""
    parts = [part for item in done["response"]["output"] for part in item.get("content") or []]
    return " ".join(part.get("transcript") or part.get("text") or "" for part in parts)


def calls_of(done: Event) -> list[Event]:
    """The function calls in a `response.done`."""
    return [item for item in done["response"]["output"] if item["type"] == "function_call"]
