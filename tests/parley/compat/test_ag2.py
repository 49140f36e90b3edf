"""A program written for AG2's realtime agent, with other imports and the fake's address."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest

from bridge import g711
from parley.compat.ag2 import (
    RealtimeAgent,
    RealtimeObserver,
    TwilioAudioAdapter,
    WebSocketAudioAdapter,
)
from parley.live_events import RealtimeEvent
from parley.observers import MAX_OBSERVERS, Observers
from parley.testing import ScriptedModel, says
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import tone
from tests.parley.in_process.calls import in_turn

pytestmark = pytest.mark.asyncio


class Caller:
    """The other side of a WebSocket as FastAPI has it."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self._incoming: asyncio.Queue[str | None] = asyncio.Queue()
        self._news = asyncio.Event()

    async def iter_text(self) -> AsyncIterator[str]:
        while (text := await self._incoming.get()) is not None:
            yield text

    async def send_text(self, data: str) -> None:
        self.frames.append(json.loads(data))
        self._news.set()

    def say(self, frame: dict[str, Any] | str | None) -> None:
        self._incoming.put_nowait(json.dumps(frame) if isinstance(frame, dict) else frame)

    def speak(self, data: bytes) -> None:
        self.say({"event": "media", "media": {"payload": base64.b64encode(data).decode()}})

    def all_of(self, event: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["event"] == event]

    async def until(self, is_met: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not is_met():
                self._news.clear()
                await self._news.wait()

    @property
    def audio(self) -> bytes:
        return b"".join(base64.b64decode(each["media"]["payload"]) for each in self.all_of("media"))


def config(server: FakeRealtimeServer) -> dict[str, Any]:
    return {
        "config_list": [
            {
                "model": "gpt-4o-realtime-preview",
                "api_key": "sk-" + "k" * 40,
                "base_url": server.uri,
            }
        ],
        "voice": "alloy",
    }


def create(server: FakeRealtimeServer, adapter: Any) -> RealtimeAgent:
    agent = RealtimeAgent(
        name="Weather Bot",
        audio_adapter=adapter,
        system_message="You are an AI voice assistant.",
        llm_config=config(server),
        options={"settings": {"PARLEY_ENV_FILE": ""}},
    )

    @agent.register_realtime_function(name="get_weather", description="Get the current weather")
    def get_weather(location: Annotated[str, "city"]) -> str:
        return f"sunny in {location}"

    return agent


class Watcher(RealtimeObserver):
    def __init__(self) -> None:
        self.types: list[str] = []
        self.is_closed = False

    async def on_event(self, event: RealtimeEvent) -> None:
        self.types.append(event.type)

    async def on_close(self) -> None:
        self.is_closed = True


async def test_a_telephone_call_with_a_function_and_an_interruption() -> None:
    caller, watcher, tokens, calls = Caller(), Watcher(), list[str](), list[Any]()
    async with FakeRealtimeServer() as server:
        agent = create(server, TwilioAudioAdapter(caller))
        agent.register_observer(watcher)
        agent.register_observer("on_token", tokens.append)
        agent.register_observer("function_call", calls.append)
        running = asyncio.get_running_loop().create_task(agent.run())
        session = await server.next_session()
        caller.say({"event": "start", "start": {"streamSid": "MZ1"}})
        caller.say("not JSON")
        # 8 kHz: every third sample.
        caller.speak(g711.encode("ulaw", pcm_at_8_khz(tone(400))))
        await session.wait_loud(300)
        item = await session.speech_started()
        session.reply_with = in_turn(
            lambda each: each.call_tool("get_weather", {"location": "Rome"}),
            lambda each: each.say(tone(2000), "It is sunny in Rome today my friend"),
        )
        await session.speech_stopped(item, "How is Rome?")
        await caller.until(lambda: len(caller.all_of("mark")) == 20)
        assert {frame["streamSid"] for frame in caller.frames} == {"MZ1"}
        assert len(caller.audio) == pytest.approx(2000 * 8, rel=0.01)
        # Of 20 pieces of 100 ms the caller has heard 7.
        caller.say({"event": "mark", "mark": caller.all_of("mark")[6]["mark"]})
        caller.say({"event": "mark", "mark": {"name": "unknown"}})
        caller.speak(g711.encode("ulaw", pcm_at_8_khz(tone(300))))
        await session.wait_loud(600)
        item = await session.speech_started()
        await session.speech_stopped(item, "please stop it now")
        truncated = await session.wait_for("conversation.item.truncate")
        assert truncated["audio_end_ms"] == 700
        await caller.until(lambda: caller.all_of("clear"))
        caller.say({"event": "stop"})
        await running
    assert watcher.is_closed
    wanted = ["speech_started", "tool_call", "tool_result", "turn_complete", "interrupted"]
    assert [each for each in dict.fromkeys(watcher.types) if each in wanted] == wanted
    assert "".join(tokens) == "It is sunny in Rome today my friend"
    assert calls[0].args == {"location": "Rome"}
    assert session.settings["instructions"].startswith("You are an AI voice assistant.")


def pcm_at_8_khz(pcm: bytes) -> bytes:
    return b"".join(pcm[at : at + 2] for at in range(0, len(pcm), 6))


async def test_a_page_hears_pcm_and_may_close() -> None:
    caller = Caller()
    model = ScriptedModel([says("Hello there")])
    agent = RealtimeAgent(
        name="bot",
        audio_adapter=WebSocketAudioAdapter(caller),
        create_model=model.create,
        options={"settings": {"PARLEY_ENV_FILE": ""}},
    )
    running = asyncio.get_running_loop().create_task(agent.run())
    await agent.send_text("Hi")
    await caller.until(lambda: len(caller.audio) >= 11 * 60 * 48 * 0.99)
    caller.say(None)
    await running
    with pytest.raises(ValueError, match="role"):
        await agent.send_text("x", role="system")


async def test_observers_cannot_delay_the_voice() -> None:
    seen: list[str] = []
    release = threading.Event()
    agent = RealtimeAgent(
        name="bot",
        create_model=ScriptedModel([says("one two three")]).create,
        options={"settings": {"PARLEY_ENV_FILE": ""}},
    )

    def block(_event: Any) -> None:
        release.wait(DEADLINE_S)

    def fail(_event: Any) -> None:
        raise SystemExit(1)

    def stop(event: Any) -> None:
        seen.append(event.type)
        if len(seen) == 2:
            release.set()
            agent.stop()

    for name in ("on_audio_delta", "*", "token"):
        agent.register_observer(name, block)
    agent.register_observer("audio_delta", fail)
    agent.register_observer("turn_complete", stop)
    agent.register_observer("on_playback_done", stop)
    agent.register_observer("turn_complete", block)
    agent.unregister_observer("on_turn_complete", block)
    agent.unregister_observer("nothing", block)
    running = asyncio.get_running_loop().create_task(agent.run())
    await agent.send_text("Count")
    began_s = time.monotonic()
    await running
    assert seen == ["turn_complete", "playback_done"]
    assert time.monotonic() - began_s < 8


async def test_a_slow_observer_loses_its_own_oldest_events() -> None:
    observers, seen, release = Observers(), list[int](), asyncio.Event()

    async def slow(value: int) -> None:
        await release.wait()
        seen.append(value)

    observers.open()
    observers.register("on_number", slow)
    await asyncio.sleep(0)
    observers.emit("number", -1)
    await asyncio.sleep(0)
    for value in range(1_010):
        observers.emit("number", value)
    assert observers.dropped == 10
    release.set()
    await observers.close()
    assert seen == [-1, *range(10, 1_010)]
    for _ in range(MAX_OBSERVERS - 1):
        observers.register("x", slow)
    with pytest.raises(ValueError, match="at most"):
        observers.register("x", slow)


async def test_a_name_needs_a_function() -> None:
    with pytest.raises(ValueError, match="function is missing"):
        RealtimeAgent(name="bot").register_observer("on_token")
