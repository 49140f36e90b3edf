"""A deleted call is gone from the server's answers, its memory and its disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent import AgentObserver
from config.agent import AgentConfig
from conversation.events.server_events import AgentInputTranscriptionDone, AgentReady
from conversation.snapshot import SnapshotEntry, SnapshotText
from line.line import CreateLine
from tests.control.sse import listening
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import ServerProcess, server_process
from tests.processes.scripted_agent import ScriptedAgent
from tests.processes.test_server import restarted, start_body

SECRET = "my-number-is-4711-0815"
ENTRY = "tests.processes.test_deletion:TalkingAgent"


class TalkingAgent(ScriptedAgent):
    """Hears its system message as a user's words; once ready it sends the room what it knew before."""

    def __init__(
        self, config: AgentConfig, observer: AgentObserver, *, line: CreateLine | None = None
    ) -> None:
        super().__init__(config, observer, line=line)
        self._heard = config.system_message or ""

    def conversation(self) -> list[SnapshotEntry]:
        *seed, mine = super().conversation()
        said = SnapshotText(number=len(seed), role="user", text=self._heard)
        return [*seed, said, mine.model_copy(update={"number": len(seed) + 1})]

    def _become_ready(self) -> None:
        seed = self._config.conversation_seed
        known = " ".join(one.text for one in seed.entries if one.type == "text") if seed else ""
        super()._become_ready()
        self._observer.handle_event(AgentReady(agent_id="a", agent_name=f"knows: {known}"))
        told = AgentInputTranscriptionDone(
            agent_id="a", agent_name="Ada", transcript=self._heard, item_id="i"
        )
        self._observer.handle_event(told)


def settings(folder: Path) -> dict[str, Any]:
    return {"local_model_uri": "ws://127.0.0.1:9", "recordings_dir": str(folder / "recordings")}


async def begin(server: ServerProcess, words: str, **more: Any) -> str:
    body = start_body() | {"system_message": words} | more
    status, answer = await server.post("/start_agent", body)
    assert status == 200, answer
    return str(answer["agent_id"])


async def events(server: ServerProcess) -> list[dict[str, Any]]:
    """All that is left of the stream of a call that is over."""
    async with (
        aiohttp.ClientSession(server.url) as http,
        listening(http, "/agents/demo/events", "0") as reader,
    ):
        return [one.data for one in await reader.rest()]


def files_with(folder: Path, words: str) -> list[str]:
    """Names of the files below `folder` that hold these words."""
    files = [one for one in folder.rglob("*") if one.is_file()]
    return [one.name for one in files if words.encode() in one.read_bytes()]


def tables_with(folder: Path, words: str) -> set[str]:
    """Names of the tables that hold these words."""
    [path] = folder.rglob("parley.sqlite3")
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name
            for (name,) in tables
            if words in str(database.execute(f"SELECT * FROM {name}").fetchall())
        }


async def start_with_key(http: aiohttp.ClientSession, words: str) -> tuple[int, dict[str, Any]]:
    headers = {"Idempotency-Key": "order 66"}
    body = start_body() | {"system_message": words, "thread_id": "t"}
    async with http.post("/start_agent", json=body, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.asyncio
async def test_a_deleted_call_is_in_no_answer_and_in_no_file(tmp_path: Path) -> None:
    with server_process(tmp_path, settings(tmp_path), ENTRY) as server:
        async with aiohttp.ClientSession(server.url) as http:
            status, answer = await start_with_key(http, SECRET)
            assert status == 200, answer
            call_id = answer["agent_id"]
            (tmp_path / "recordings" / f"{call_id}.wav").write_bytes(SECRET.encode())
            refused = await http.delete(f"/calls/{call_id}")
            assert (refused.status, (await refused.json())["code"]) == (409, "call_is_live")
            await server.post("/stop_agent", {"channel_name": "demo"})
            # It is everywhere.
            assert SECRET in str(await events(server))
            assert SECRET in str(await server.get(f"/calls/{call_id}/transcript"))
            assert {"parley.sqlite3-wal", f"{call_id}.wav"} <= set(files_with(tmp_path, SECRET))
            shown = (await server.get("/agents/demo"))[1]
            assert (shown["state"], shown["agent_id"]) == ("exited", call_id)

            assert (await http.delete(f"/calls/{call_id}")).status == 200
            for path in (
                *("/agents/demo", "/agents/demo/events?last_event_id=0", "/agents/demo/transcript"),
                *(f"/agents/demo/events?last_event_id={call_id}:1", f"/calls/{call_id}"),
                *(f"/calls/{call_id}/transcript", f"/calls/{call_id}/recording"),
            ):
                status, body = await server.get(path)
                assert status == 404, (path, body)
            assert (await server.get("/calls"))[1]["calls"] == []
            assert files_with(tmp_path, SECRET) == []
            # Who did what to which call, without its words.
            assert tables_with(tmp_path, call_id) <= {"audit"}
            # The key is used: it starts no second agent, and the answer holds nothing of the first.
            status, answer = await start_with_key(http, SECRET)
            assert (status, answer["code"]) == (410, "call_deleted")
            assert call_id not in str(answer)
            # The conversation begins anew.
            assert "knows" in str(await knowledge(server, thread_id="t"))
            assert SECRET not in str(await events(server))


@pytest.mark.asyncio
async def test_all_of_a_person_is_in_no_answer_and_in_no_file(tmp_path: Path) -> None:
    with server_process(tmp_path, settings(tmp_path), ENTRY) as server:
        calls: list[str] = []
        for thread_id in ("t", "t", "u"):
            more = {"person_id": "ann", "thread_id": thread_id}
            if calls:
                await server.post("/stop_agent", {"channel_name": "demo"})
            calls.append(await begin(server, SECRET, **more))
        for call_id in calls[:2]:
            (tmp_path / "recordings" / f"{call_id}.wav").write_bytes(SECRET.encode())
        remember(tmp_path, "ann", SECRET)
        assert SECRET in str(await server.get("/memory/ann"))
        status, refusal = await server.delete("/people/ann")
        assert (status, refusal["code"]) == (409, "call_is_live")
        assert [one["call_id"] for one in refusal["details"]] == [calls[2]]
        assert len((await server.get("/calls?person=ann"))[1]["calls"]) == 3
        await server.post("/stop_agent", {"channel_name": "demo"})
        other = await begin(server, "of somebody else", person_id="bob")
        assert {f"{calls[0]}.wav", f"{calls[1]}.wav"} < set(files_with(tmp_path, SECRET))

        status, deleted = await server.delete("/people/ann")
        assert (status, deleted) == (
            200,
            {"status": "Deleted", "calls": 3, "memories": 1, "recordings": 2},
        )
        assert files_with(tmp_path, SECRET) == []
        for call_id in calls:
            # Who did what to which call, without its words.
            assert tables_with(tmp_path, call_id) <= {"audit"}
            for part in ("", "/transcript", "/timeline", "/export", "/recording"):
                assert (await server.get(f"/calls/{call_id}{part}"))[0] == 404
        assert (await server.get("/memory/ann"))[1]["texts"] == []
        left = (await server.get("/calls"))[1]["calls"]
        assert [one["call_id"] for one in left] == [other]
        await server.post("/stop_agent", {"channel_name": "demo"})
        status, deleted = await server.delete(f"/threads/{other}")
        assert (status, deleted["calls"]) == (200, 1)
        assert (await server.get("/calls"))[1]["calls"] == []
        assert (await server.delete("/people/a%20b"))[1]["code"] == "invalid_request"


def remember(folder: Path, key: str, words: str) -> None:
    """Keep a text in the long-term memory, as a model does."""
    [path] = folder.rglob("parley.sqlite3")
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as database, database:
        database.execute("INSERT INTO memories VALUES (?, 'm1', 5, ?)", (key, words))


async def knowledge(server: ServerProcess, **more: Any) -> list[str]:
    """Return what the agent of a new call gets of earlier ones; the call is stopped."""
    await begin(server, "something else", **more)
    await server.post("/stop_agent", {"channel_name": "demo"})
    return [one["agent_name"] for one in await events(server) if one["type"] == "agent_ready"]


@pytest.mark.asyncio
async def test_a_replacement_process_does_not_get_deleted_entries(tmp_path: Path) -> None:
    with server_process(tmp_path, settings(tmp_path), ENTRY) as server:
        calls: list[str] = []
        for words in (f"{SECRET} one", f"{SECRET} two", "of the live one"):
            if calls:
                await server.post("/stop_agent", {"channel_name": "demo"})
            calls.append(await begin(server, words, thread_id="t"))
        await until_told(server, calls[2], 2)
        async with aiohttp.ClientSession(server.url) as http:
            # With it goes what was said before: places in a conversation have no holes.
            assert (await http.delete(f"/calls/{calls[1]}")).status == 200
        os.kill((await server.get("/agents/demo"))[1]["pid"], signal.SIGKILL)
        await restarted(server, "demo")
        # The words of the process that was lost, and those of the next one.
        told = await until_told(server, calls[2], 4)
        assert [one["number"] for one in told] == [4, 5, 6, 7]
        await server.post("/stop_agent", {"channel_name": "demo"})
        known = [one["agent_name"] for one in await events(server) if one["type"] == "agent_ready"]
        assert [SECRET in one for one in known] == [True, False]
        assert "of the live one" in known[1]
        status, first = await server.get(f"/calls/{calls[0]}/transcript")
        assert (status, first["entries"][0]["text"]) == (200, f"{SECRET} one")


async def until_told(server: ServerProcess, call_id: str, count: int) -> list[dict[str, Any]]:
    """The transcript, once it has so many entries."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            status, body = await server.get(f"/calls/{call_id}/transcript")
            if status == 200 and len(body["entries"]) == count:
                return list(body["entries"])
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_a_recording_that_cannot_be_deleted_keeps_its_call(tmp_path: Path) -> None:
    with server_process(tmp_path, settings(tmp_path), ENTRY) as server:
        call_id = await begin(server, SECRET)
        # What is no file cannot be unlinked, not even by root.
        obstacle = tmp_path / "recordings" / f"{call_id}.wav"
        obstacle.mkdir()
        await server.post("/stop_agent", {"channel_name": "demo"})
        async with aiohttp.ClientSession(server.url) as http:
            refused = await http.delete(f"/calls/{call_id}")
            body = await refused.json()
            assert (refused.status, body["code"]) == (500, "not_deleted")
            assert call_id in body["error"]
            assert "RECORDINGS_DIR" in body["error"]
            assert (await server.get(f"/calls/{call_id}"))[0] == 200
            obstacle.rmdir()
            assert (await http.delete(f"/calls/{call_id}")).status == 200
            assert (await server.get(f"/calls/{call_id}"))[0] == 404
