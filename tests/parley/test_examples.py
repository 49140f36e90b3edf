"""The examples of agents in-process, run as they are, against a fake of a provider."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import types
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parley import LiveInputQueue
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import tone
from tests.parley.in_process.calls import settings_of
from utils import cancel_and_wait

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.asyncio


async def test_a_wav_file_is_answered_by_one(tmp_path: Path) -> None:
    question, answer = tmp_path / "in.wav", tmp_path / "out.wav"
    with wave.open(str(question), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(tone(300))
    async with FakeRealtimeServer() as server:
        environ = {**os.environ, **settings_of(server), "MODEL_PROVIDER": "openai"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "examples.wav_file", str(question), str(answer)),
            cwd=ROOT,
            env=environ,
        )
        session = await server.next_session()
        await session.wait_loud(250)
        item = await session.speech_started()
        session.reply_with = lambda each: each.say(tone(500), "It is noon")
        await session.speech_stopped(item, "What time is it?")
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 0
    with wave.open(str(answer)) as file:
        assert file.readframes(file.getnframes()) == tone(500)


class FakeStream:
    """A stream of a sound card: the test moves its blocks."""

    def __init__(self, *, callback: Callable[..., None], samplerate: int, blocksize: int, **_: Any):
        self.callback = callback
        self.samplerate = samplerate
        self.blocksize = blocksize
        self.is_open = False

    def __enter__(self) -> FakeStream:
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False


class SoundCard:
    """Stands in for the module `sounddevice`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.streams: dict[str, FakeStream] = {}
        module = types.ModuleType("sounddevice")
        for name in ("RawInputStream", "RawOutputStream"):
            setattr(module, name, self._opener(name))
        monkeypatch.setitem(sys.modules, "sounddevice", module)

    def _opener(self, name: str) -> Callable[..., FakeStream]:
        def open_stream(**form: Any) -> FakeStream:
            self.streams[name] = FakeStream(**form)
            return self.streams[name]

        return open_stream

    async def until_open(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.streams) < 2:  # noqa: ASYNC110 - opened by the example
                await asyncio.sleep(0.01)

    def speak(self, pcm: bytes) -> None:
        stream = self.streams["RawInputStream"]
        size = stream.blocksize * 2
        for at in range(0, len(pcm), size):
            stream.callback(pcm[at : at + size], len(pcm[at : at + size]) // 2, None, None)

    def hear(self, blocks: int = 1) -> bytes:
        stream, heard = self.streams["RawOutputStream"], bytearray()
        for _ in range(blocks):
            block = bytearray(stream.blocksize * 2)
            stream.callback(memoryview(block), stream.blocksize, None, None)
            heard += block
        return bytes(heard)


@pytest.mark.parametrize("is_half_duplex", [False, True])
async def test_the_microphone_client_talks_and_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, is_half_duplex: bool
) -> None:
    card = SoundCard(monkeypatch)
    monkeypatch.delitem(sys.modules, "examples.microphone", raising=False)
    microphone = importlib.import_module("examples.microphone")
    monkeypatch.setattr(microphone.agent, "greeting", None)
    queue = LiveInputQueue()
    async with FakeRealtimeServer() as server:
        for name, value in {**settings_of(server), "MODEL_PROVIDER": "openai"}.items():
            monkeypatch.setenv(name, value)
        talking = asyncio.get_running_loop().create_task(
            microphone.talk(is_half_duplex=is_half_duplex, queue=queue)
        )
        session = await server.next_session()
        await card.until_open()
        session.reply_with = lambda each: each.say(tone(2000), "one two three four")
        card.speak(tone(400))
        await session.wait_loud(300)
        item = await session.speech_started()
        await session.speech_stopped(item, "Count")
        await session.wait_sent("response.done")
        heard = bytearray()
        async with asyncio.timeout(DEADLINE_S):
            while len(heard) < 2 * 24 * 500:
                block = card.hear()
                heard += block if any(block) else b""
                await asyncio.sleep(0.005)
        loud_ms = session.loud_ms
        card.speak(tone(200))
        if is_half_duplex:
            card.speak(bytes(9600))
            await asyncio.sleep(0.1)
            assert session.loud_ms == loud_ms
        else:
            await session.wait_loud(loud_ms + 100)
        item = await session.speech_started()
        await session.speech_stopped(item, "please stop it now")
        truncated = await session.wait_for("conversation.item.truncate")
        assert 500 <= truncated["audio_end_ms"] < 2000
        async with asyncio.timeout(DEADLINE_S):
            while any(card.hear(2)):  # noqa: ASYNC110 - the loudspeaker has blocks, not events
                await asyncio.sleep(0.01)
        queue.close()
        await cancel_and_wait(talking)
    assert not any(stream.is_open for stream in card.streams.values())
