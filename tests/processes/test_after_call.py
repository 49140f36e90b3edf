"""Whole calls with real processes: each webhook with content, the summary and the extraction."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config.notices import CONTENT_KINDS, LIFECYCLE_KINDS
from tests.control.webhooks.test_webhooks import SECRET, Receiver, receiving
from tests.deadlines import DEADLINE_S
from tests.fakes.chat_server import Answer, ChatCall, answer, chat_server
from tests.fakes.openai_realtime import tone
from tests.processes.conftest import ServerProcess, server_process, until
from tests.processes.test_deletion import ENTRY, begin
from tests.processes.test_deletion import settings as usual
from tests.processes.test_recall import TOOL, calling, say_words

SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "integer"},
        "city": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["order"],
}
HEARD = "where is my order"


def analysed(call: ChatCall) -> Answer:
    if "response_format" in call.body:
        return answer('{"order": 12, "city": null}')
    return answer("The caller asked for an order.")


def wanted(receiver: Receiver, chat_url: str, folder: Path) -> dict[str, Any]:
    return {
        "webhook_url": receiver.url,
        "webhook_secret": SECRET.get_secret_value(),
        "webhook_events": ["agent.*", "call.*"],
        "llm_base_url": chat_url,
        "llm_model": "scripted",
        "recordings_dir": str(folder / "recordings"),
    }


def data_of(receiver: Receiver, kind: str) -> dict[str, Any]:
    (one,) = [one for one in receiver.received if one.kind == kind]
    data: dict[str, Any] = json.loads(one.body)["data"]
    return data


def check_order(receiver: Receiver) -> None:
    for one in receiver.received:
        one.verify()
    stamps = [json.loads(one.body)["timestamp"] for one in receiver.received]
    assert stamps == sorted(set(stamps))
    kinds = [one.kind for one in receiver.received]
    lifecycle = set(LIFECYCLE_KINDS) - {"agent.transfer_requested", "agent.transferred"}
    assert set(kinds) == lifecycle | set(CONTENT_KINDS)
    assert kinds.index("agent.restarting") == kinds.index("call.tool_call", 4) + 1
    assert kinds[kinds.index("agent.exited") :] == [
        *("agent.exited", "call.transcript", "call.usage", "call.recording"),
        *("call.summary", "call.extraction"),
    ]


@pytest.mark.asyncio
async def test_a_call_over_a_crash_tells_its_content_in_order(tmp_path: Path) -> None:
    async with receiving() as receiver, chat_server(reply_with=analysed) as chat:
        changes = wanted(receiver, chat.base_url, tmp_path)
        start: dict[str, Any] = {
            "recording": True,
            "tools": [TOOL],
            "summarise": True,
            "extract": SCHEMA,
        }
        async with calling(tmp_path, changes=changes, **start) as scene:
            await say_words(scene.session, HEARD)
            await scene.session.call_tool("look_up", {"what": "order", "nothing": None})
            await scene.person.wait_event("agent_response_tool_use_done")
            call = next(e for e in scene.person.events if e["type"].endswith("tool_use_done"))
            result = {"id": call["tool_use"]["id"], "output": "in Rome"}
            status, told = await scene.server.post("/agents/demo/tool_result", result)
            assert status == 200, told
            await until(lambda: any(one.kind == "call.tool_call" for one in receiver.received))
            await scene.session.call_tool("look_up", {"what": "a wombat"})
            await scene.person.wait_event("agent_response_tool_use_done", 2)
            await scene.wait_shown(lambda shown: shown["remembered"] >= 3)
            revived = await scene.kill()
            await scene.person.wait_ready_agents(2)
            await revived.wait_for("response.create")
            await revived.say(tone(200), "It is in Rome.")
            await scene.person.wait_event("agent_playout_done")
            path = f"/calls/{(await scene.shown())['agent_id']}"
            assert (await scene.server.get(path))[1]["summary"]["state"] == "pending"
            await scene.server.post("/stop_agent", {"channel_name": "demo"})
            await until(lambda: any(one.kind == "call.extraction" for one in receiver.received))
            _, details = await scene.server.get(path)
    check_order(receiver)
    first, second = [
        json.loads(one.body)["data"] for one in receiver.received if one.kind == "call.tool_call"
    ]
    assert first["arguments"] == {"what": "order", "nothing": None}
    assert (first["state"], first["result"], first["name"]) == ("done", "in Rome", "look_up")
    assert (second["state"], second["arguments"]) == ("lost", {"what": "a wombat"})
    entries = data_of(receiver, "call.transcript")["entries"]
    assert [one["text"] for one in entries if one["type"] == "text"] == [HEARD, "It is in Rome."]
    assert data_of(receiver, "call.usage")["usage"]["replies"] == 3
    recording = data_of(receiver, "call.recording")
    file = tmp_path / "recordings" / f"{recording['agent_id']}.wav"
    assert recording["bytes"] == file.stat().st_size
    assert recording["path"] == f"{path}/recording"
    assert recording["duration_s"] > 0.2
    summary = data_of(receiver, "call.summary")["summary"]
    assert summary["text"] == "The caller asked for an order."
    assert details["summary"] == summary | {"reason": None}
    extraction = data_of(receiver, "call.extraction")["extraction"]
    assert extraction["value"] == {"order": 12, "city": None}
    assert details["extraction"]["value"] == extraction["value"]
    assert HEARD in str(chat.calls[0].messages)
    assert HEARD not in scene.server.log.read_text()


async def spoken(server: ServerProcess, **more: Any) -> str:
    """A call in which somebody spoke, and its end."""
    call_id = await begin(server, HEARD, summarise=True, extract=SCHEMA, **more)
    await server.post("/stop_agent", {"channel_name": "demo"})
    return call_id


@pytest.mark.asyncio
async def test_a_server_that_was_killed_makes_the_rest_at_its_next_start(tmp_path: Path) -> None:
    async with receiving() as receiver, chat_server(reply_with=analysed) as chat:
        never = asyncio.Event()
        chat.script.append(Answer(wait_before=never))
        settings = usual(tmp_path) | wanted(receiver, chat.base_url, tmp_path)
        with server_process(tmp_path, settings, ENTRY) as server:
            call_id = await spoken(server)
            await chat.wait_for_call()
            server.signal(signal.SIGKILL)
            await asyncio.to_thread(server.wait)
        with server_process(tmp_path, settings, ENTRY) as server:
            await until(lambda: any(one.kind == "call.extraction" for one in receiver.received))
            _, details = await server.get(f"/calls/{call_id}")
        assert details["summary"]["text"] == "The caller asked for an order."
        assert details["extraction"]["value"] == {"order": 12, "city": None}
        kinds = [one.kind for one in receiver.received]
        assert kinds[-2:] == ["call.summary", "call.extraction"]
        assert kinds.count("call.summary") == 1


@pytest.mark.asyncio
async def test_nothing_is_told_of_a_call_once_it_is_deleted(tmp_path: Path) -> None:
    async with receiving() as receiver, chat_server(reply_with=analysed) as chat:
        gate = asyncio.Event()
        chat.script.append(Answer(("Words of the deleted call.",), wait_before=gate))
        settings = usual(tmp_path) | wanted(receiver, chat.base_url, tmp_path)
        with server_process(tmp_path, settings, ENTRY) as server:
            call_id = await spoken(server)
            request = await chat.wait_for_call()
            await until(lambda: any(one.kind == "call.usage" for one in receiver.received))
            before = len(receiver.received)
            assert (await server.delete(f"/calls/{call_id}"))[0] == 200
            await asyncio.wait_for(request.was_closed.wait(), DEADLINE_S)
            gate.set()
            # A later call shows that the server goes on, and that nothing of the first one is left.
            second = await spoken(server)
            await until(lambda: any(one.kind == "call.extraction" for one in receiver.received))
            assert (await server.get(f"/calls/{second}"))[1]["summary"]["state"] == "done"
            assert call_id not in str([one.body for one in receiver.received[before:]])
        with closing(sqlite3.connect(tmp_path / "data" / "parley.sqlite3")) as database:
            rows = database.execute("SELECT call_id, kind FROM analyses ORDER BY kind")
            assert rows.fetchall() == [(second, "extraction"), (second, "summary")]
