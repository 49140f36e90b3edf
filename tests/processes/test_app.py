"""An owner's app in a real server: loaded, started by name, its tool called, reloaded while a call runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from audio import write_wav
from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, Faults, tone
from tests.processes.conftest import ROOT, ServerProcess, server_process
from tests.processes.test_real_agent import settings
from tests.wav_files import read_wav

APP = '''
from parley import Agent
from utils import STATES

print("the app is imported")

def find_order(number: str) -> str:
    """Look up an order."""
    return STATES[number]

orders = Agent("orders", instructions="Version {version}.", greeting="{greeting}", tools=[find_order])
'''


def write_app(folder: Path, version: str = "1") -> Path:
    """An app whose neighbour has the name of a module of ours."""
    folder.mkdir(exist_ok=True)
    (folder / "utils.py").write_text('STATES = {"7": "on its way"}')
    return replace(folder / "orders.py", APP.replace("{version}", version))


def replace(path: Path, text: str) -> Path:
    new = path.with_suffix(".new")
    new.write_text(text)
    return new.rename(path)


def serve(tmp_path: Path, provider_uri: str, app: Path, **more: Any) -> Any:
    wanted = settings(provider_uri) | {"app": str(app)}
    return server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES, **more)


def request(name: str = "demo", **fields: Any) -> dict[str, Any]:
    metadata = {"greeting": "Hello"}
    return {"channel_name": name, "agent": "orders", "metadata": metadata, **fields}


async def until_listed(server: ServerProcess, key: str, wanted: Any) -> dict[str, Any]:
    """The first answer of the list of definitions whose `key` has the value, or with `...` any."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            _, listed = await server.get("/agents/definitions")
            if listed[key] == wanted or (wanted is ... and listed[key]):
                return listed
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_an_agent_is_started_by_its_name_and_its_tool_is_called(tmp_path: Path) -> None:
    app = write_app(tmp_path / "shop")
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, app) as server:
            assert "app: the app is imported" in server.log.read_text()
            _, listed = await server.get("/agents/definitions")
            [listed_agent] = listed["agents"]
            assert (listed_agent["name"], listed_agent["tools"]) == ("orders", ["find_order"])
            status, answer = await server.post("/start_agent", request())
            assert status == 200, answer
            session = await provider.next_session()
            assert session.settings["instructions"] == "Version 1."
            assert session.settings["tools"][0]["name"] == "find_order"
            _, agent = await server.get("/agents/demo")
            assert (agent["name"], agent["definition"]) == ("orders", "orders")
            await session.call_tool("find_order", {"number": "7"})
            result = await session.wait_for("conversation.item.create")
            assert "on its way" in json.dumps(result)
            status, answer = await server.post("/start_agent", request("other", agent="bills"))
            assert (status, answer["code"]) == (400, "unknown_agent")
            assert "orders" in answer["error"]


KEYS = """
from parley import Agent

def plain() -> str:
    return "sk-of-a-plain-function"

async def asynchronous() -> str:
    return "sk-of-an-async-function"

agents = [
    Agent("text", api_key="sk-of-the-definition"),
    Agent("plain", api_key=plain),
    Agent("asynchronous", api_key=asynchronous),
    Agent("none"),
]
"""


@pytest.mark.asyncio
async def test_the_provider_gets_the_key_of_the_definition(tmp_path: Path) -> None:
    app = tmp_path / "keys.py"
    app.write_text(KEYS)
    keys = {
        "text": "sk-of-the-definition",
        "plain": "sk-of-a-plain-function",
        "asynchronous": "sk-of-an-async-function",
        "none": "sk-test",
    }
    async with FakeRealtimeServer(faults=Faults()) as provider:
        with serve(tmp_path, provider.uri, app) as server:
            for name, key in keys.items():
                # Every other one is refused.
                provider.faults.api_key = key
                status, answer = await server.post("/start_agent", request(name, agent=name))
                assert status == 200, answer
                assert provider.asked_headers[-1]["Authorization"] == f"Bearer {key}"
                _, agent = await server.get(f"/agents/{name}")
                assert key not in json.dumps(agent)
            _, listed = await server.get("/agents/definitions")
            for key in keys.values():
                assert key not in server.log.read_text() + json.dumps(listed)


@pytest.mark.asyncio
async def test_commands_make_calls_with_an_agent_of_their_own(tmp_path: Path) -> None:
    app = write_app(tmp_path / "shop")
    replace(app, app.read_text().replace(', greeting="{greeting}"', ""))
    question = tmp_path / "question.wav"
    write_wav(question, tone(500), 24_000)
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, app) as server:
            names = (f"--server={server.url}", f"--app={app}")
            environ = {
                "PATH": os.environ["PATH"],
                "PARLEY_ENV_FILE": "",
                "MODEL_PROVIDER": "openai",
                "OPENAI_API_KEY": "sk-test",
                "REALTIME_API_BASE_URI": provider.uri,
            }
            agent = await run_main("agent", "--channel_name=foreground", *names, **environ)
            session = await provider.next_session()
            await session.wait_for("session.update")
            assert session.settings["instructions"] == "Version 1."
            await session.call_tool("find_order", {"number": "7"})
            assert "on its way" in json.dumps(await session.wait_for("conversation.item.create"))
            agent.terminate()
            await agent.communicate()
            assert agent.returncode == 0

            answer = tmp_path / "answer.wav"
            files = (f"--in={question}", f"--out={answer}")
            call = await run_main("call", "--channel_name=called", *files, *names, **environ)
            session = await provider.next_session()
            await session.wait_loud(300)
            await session.say(tone(500), "It is on its way.")
            output, errors = await call.communicate()
            assert (call.returncode, errors) == (0, b"")
            assert "agent: It is on its way." in output.decode().splitlines()
            assert any(read_wav(answer)[0])


async def run_main(*arguments: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", *arguments),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.asyncio
async def test_a_change_is_for_new_calls_and_a_broken_one_for_none(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    app = write_app(folder)
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, app, should_reload=True, warm_processes=2) as server:
            await server.post("/start_agent", request("first"))
            first = await provider.next_session()
            _, before = await server.get("/agents/first")

            replace(app, "from parley import Agent\n\nraise ValueError('no shop')")
            broken = await until_listed(server, "problems", ...)
            [problem] = broken["problems"]
            assert problem == {"text": "ValueError: no shop", "file": str(app), "line": 3}
            assert [one["name"] for one in broken["agents"]] == ["orders"]
            status, readiness = await server.get("/readyz")
            assert (status, readiness["status"]) == (503, "not_ready")
            assert "no shop" in readiness["problems"][0]
            # The last good version goes on, for a process of its own too.
            for name in ("second", "third", "fourth"):
                status, answer = await server.post("/start_agent", request(name))
                assert status == 200, answer
                assert (await provider.next_session()).settings["instructions"] == "Version 1."

            write_app(folder, "2")
            await until_listed(server, "loads", 2)
            for name in ("fifth", "sixth", "seventh"):
                status, answer = await server.post("/start_agent", request(name))
                assert status == 200, answer
                session = await provider.next_session()
                assert session.settings["instructions"] == "Version 2."
                await session.call_tool("find_order", {"number": "7"})
                await session.wait_for("conversation.item.create")
            _, after = await server.get("/agents/first")
            assert (after["pid"], after["restarts"]) == (before["pid"], 0)
            await first.call_tool("find_order", {"number": "7"})
            await first.wait_for("conversation.item.create")
            assert (await server.get("/readyz"))[0] == 200
