"""kill -9 in the middle of real calls: effect on the caller, and knowledge of the next process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audio import write_wav
from cli.call import Call
from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from conversation.snapshot import LOST_OUTPUT
from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults, tone
from tests.loopback.stage import Person
from tests.processes.conftest import ServerProcess, server_process
from tests.processes.test_real_agent import START, settings
from tests.wav_files import read_wav

TOOL = {"name": "look_up", "description": "", "parameters": {"type": "object"}}


@dataclass
class Scene:
    """One call: the server, the model's side of it, and a person in the room."""

    server: ServerProcess
    provider: FakeRealtimeServer
    session: FakeSession
    person: Person

    async def shown(self) -> dict[str, Any]:
        return (await self.server.get("/agents/demo"))[1]

    async def wait_shown(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if condition(shown := await self.shown()):
                    return shown
                await asyncio.sleep(0.02)

    async def kill(self) -> FakeSession:
        """The model's side of the process that comes next."""
        os.kill((await self.shown())["pid"], signal.SIGKILL)
        return await self.provider.next_session()

    async def survive(self) -> None:
        """Kill the agent; returns when the next process has media with the person."""
        ready = self.person.ready_agents
        await self.kill()
        await self.person.wait_ready_agents(ready + 1)


@asynccontextmanager
async def calling(
    tmp_path: Path,
    faults: Faults | None = None,
    changes: dict[str, Any] | None = None,
    **start: Any,
) -> AsyncIterator[Scene]:
    async with FakeRealtimeServer(faults=faults) as provider:
        wanted = settings(provider.uri) | {"warm_processes": 1} | (changes or {})
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            status, answer = await server.post("/start_agent", START | start)
            assert status == 200, answer
            options = RtcOptions(channel_name="demo", uid=7, role="user")
            person = Person(RtcEngine(server.url).create_channel(options))
            session = await provider.next_session()
            try:
                await person.join()
                yield Scene(server, provider, session, person)
            finally:
                await person.leave()


async def say_words(session: FakeSession, words: str) -> None:
    await session.speech_stopped(await session.speech_started(), words)


def items(session: FakeSession) -> list[dict[str, Any]]:
    return [frame["item"] for frame in session.all_of("conversation.item.create")]


def words_of(item: dict[str, Any]) -> str:
    return str(item["content"][0]["text"]) if "content" in item else ""


@pytest.mark.asyncio
async def test_the_next_process_knows_all_that_was_said_and_called(tmp_path: Path) -> None:
    async with calling(tmp_path, tools=[TOOL], greeting="Welcome!") as scene:
        session, person = scene.session, scene.person
        await session.wait_for("response.create")
        await session.say(tone(200), "Welcome!")
        await person.wait_event("agent_playout_done")
        await say_words(session, "when does it open")
        call_id = await session.call_tool("look_up", {"what": "hours"})
        await person.wait_event("agent_response_tool_use_done")
        await scene.wait_shown(lambda shown: shown["remembered"] == 3)
        revived = await scene.kill()
        # Without any action the person has media with the new process, which resumes the call.
        await person.wait_ready_agents(2)
        await revived.wait_for("response.create")
        told = items(revived)
        assert [(item["type"], item.get("role"), words_of(item)) for item in told[:2]] == [
            ("message", "assistant", "Welcome!"),
            ("message", "user", "when does it open"),
        ]
        assert (told[2]["type"], told[2]["call_id"]) == ("function_call", call_id)
        assert json.loads(told[2]["arguments"]) == {"what": "hours"}
        assert (told[3]["type"], told[3]["output"]) == ("function_call_output", LOST_OUTPUT)
        # One reply, to what was left open; no second greeting.
        await revived.say(tone(200), "At noon.")
        await person.wait_event("agent_playout_done", 2)
        assert len(revived.all_of("response.create")) == 1
        shown = await scene.shown()
        assert (shown["restarts"], shown["uid"], shown["state"]) == (1, 1000, "running")


@pytest.mark.asyncio
async def test_a_reply_cut_by_the_crash_is_known_as_far_as_it_was_heard(tmp_path: Path) -> None:
    async with calling(tmp_path) as scene:
        await say_words(scene.session, "tell me a story")
        words = [f"word{n}" for n in range(100)]
        # All of it is at the agent long before it is heard.
        await scene.session.say(tone(10_000), " ".join(words))
        await scene.person.wait_loud(1500)
        revived = await scene.kill()
        # All that was on its way is there long before.
        await scene.person.wait_ready_agents(2)
        heard_ms = scene.person.loud_ms
        await revived.wait_for("response.create")
        question, story, note = items(revived)
        assert words_of(question) == "tell me a story"
        heard = words_of(story).removesuffix(" …").split()
        assert heard == words[: len(heard)]
        # The supervisor's knowledge may be half a second old, and was rounded down to whole words.
        assert heard_ms / 100 - 10 <= len(heard) <= heard_ms / 100 + 5
        assert note["role"] == "system"
        assert words_of(story).removesuffix(" …") in words_of(note)


@pytest.mark.asyncio
async def test_a_key_refused_at_the_restart_ends_it_at_once(tmp_path: Path) -> None:
    faults = Faults()
    async with calling(tmp_path, faults) as scene:
        faults.api_key = "another one"
        os.kill((await scene.shown())["pid"], signal.SIGKILL)
        shown = await scene.wait_shown(lambda shown: shown["state"] == "fatal")
        assert shown["restarts"] == 1
        assert shown["last_exit"]["exit_reason"] == "start_failed"
        assert "sk-" not in json.dumps(shown)


@pytest.mark.asyncio
async def test_a_terminal_caller_hears_the_next_process(tmp_path: Path) -> None:
    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    write_wav(question, tone(3_000), 24_000)
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri)
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            status, started = await server.post("/start_agent", START)
            assert status == 200, started
            session = await provider.next_session()
            lines: list[str] = []
            call = Call(server.url, channel_name="demo", on_line=lines.append)
            async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
                group.create_task(call.run(question, answer))
                await session.wait_for("input_audio_buffer.append", 20)
                shown = (await server.get("/agents/demo"))[1]
                os.kill(shown["pid"], signal.SIGKILL)
                revived = await provider.next_session()
                await revived.wait_for("input_audio_buffer.append", 20)
                await call._asked.wait()
                await say_words(revived, "are you there")
                await revived.say(tone(400), "Still here.")
    assert lines == ["you:   are you there", "agent: Still here."]
    pcm, _ = read_wav(answer)
    assert max(abs(sample) for sample in array("h", pcm)) > 1000
