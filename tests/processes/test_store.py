"""Durability over kill -9 of agent and server, and calls on a full disk."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from control.child.entry import DEFAULT_ENTRY
from control.health.rules import HealthLimits
from control.store.changes import Change, PutBox
from control.store.recorder import Recorder
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from conversation.lifecycle import ExitReason
from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from tests.control.store.conftest import postgres as postgres
from tests.control.store.postgres import Postgres
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.loopback.stage import Person
from tests.processes.conftest import ServerProcess, agent_config, server_process, supervised, until
from tests.processes.test_real_agent import START, settings
from tests.processes.test_recall import items, say_words, words_of
from tests.processes.test_restart import QUICKLY, is_ready_again
from tests.processes.test_server import restarted, start_body


async def wait_for(
    server: ServerProcess, path: str, condition: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Return a route's answer once it satisfies the condition."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            _, body = await server.get(path)
            if condition(body):
                return body
            await asyncio.sleep(0.05)


async def started(server: ServerProcess, **more: Any) -> dict[str, Any]:
    status, answer = await server.post("/start_agent", start_body() | more)
    assert status == 200, answer
    return answer


async def told(server: ServerProcess, call_id: str, count: int = 1) -> list[str]:
    """The words of a call's transcript, once so many entries are complete.

    A listener knows that a reply has ended before the server does.
    """

    def are_complete(body: dict[str, Any]) -> bool:
        entries = body.get("entries", ())
        return len(entries) == count and not any(entry["is_open"] for entry in entries)

    body = await wait_for(server, f"/calls/{call_id}/transcript", are_complete)
    return [entry["text"] for entry in body["entries"]]


async def kill(server: ServerProcess) -> None:
    server.signal(signal.SIGKILL)
    await asyncio.to_thread(server.wait)


@pytest.mark.asyncio
@pytest.mark.parametrize("is_postgres", [False, True], ids=["sqlite", "postgresql"])
async def test_what_was_shown_outlives_kill_9_of_the_server(
    tmp_path: Path, postgres: Postgres, is_postgres: bool
) -> None:
    postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    wanted = {"local_model_uri": "ws://127.0.0.1:9"}
    wanted |= {"store_url": postgres.url} if is_postgres else {}
    with server_process(tmp_path, wanted) as server:
        call_id = (await started(server))["agent_id"]
        shown = await wait_for(server, "/agents/demo/transcript", lambda body: body.get("entries"))
        details = (await server.get(f"/calls/{call_id}"))[1]
        await kill(server)
        assert "Traceback" not in server.log.read_text()
    assert (tmp_path / "data" / "parley.sqlite3").exists() is not is_postgres
    with server_process(tmp_path, wanted) as server:
        after = (await server.get(f"/calls/{call_id}/transcript"))[1]
        assert after == shown | {"is_live": False}
        ended = (await server.get(f"/calls/{call_id}"))[1]
        assert (ended["state"], ended["exit_reason"]) == ("exited", "supervisor_gone")
        assert ended["ended_at_ms"] == ended["updated_at_ms"] >= details["updated_at_ms"]
        assert ended["black_box"] == details["black_box"]
        assert [step["state"] for step in ended["black_box"]["states"]] == [
            *("starting", "joining", "connecting", "ready")
        ]


@pytest.mark.asyncio
async def test_a_stop_that_was_answered_is_on_disk(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        call_id = (await started(server))["agent_id"]
        status, answer = await server.post("/stop_agent", {"channel_name": "demo"})
        await kill(server)
    assert (status, answer["is_stored"]) == (200, True)
    with server_process(tmp_path) as server:
        page = (await server.get("/calls?channel=demo"))[1]
        assert [(one["call_id"], one["exit_reason"]) for one in page["calls"]] == [
            (call_id, "stopped")
        ]


@pytest.mark.asyncio
async def test_kill_9_of_an_agent_is_in_the_black_box_and_no_word_is_lost(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        call_id = (await started(server))["agent_id"]
        first = await told(server, call_id)
        os.kill((await server.get("/agents/demo"))[1]["pid"], signal.SIGKILL)
        pid = (await restarted(server, "demo"))["pid"]
        assert await told(server, call_id, 2) == [*first, f"I was {pid}"]
        await server.post("/stop_agent", {"channel_name": "demo"})
        call = (await server.get(f"/calls/{call_id}"))[1]
    box = call["black_box"]
    assert (call["restarts"], call["exit_reason"]) == (1, "stopped")
    assert [(one["exit_reason"], one["is_restarted"]) for one in box["exits"]] == [
        ("crashed", True),
        ("stopped", False),
    ]
    assert [(one["state"], one["process"]) for one in box["states"]] == [
        *((state, 0) for state in ("starting", "joining", "connecting", "ready", "backoff")),
        *((state, 1) for state in ("starting", "joining", "connecting", "ready", "stopping")),
        ("exited", 1),
    ]


@pytest.mark.asyncio
async def test_a_conversation_goes_on_in_another_server(tmp_path: Path) -> None:
    """Its words, its tool calls and what was heard; then the whole of it is one thread."""
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri)
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            status, answer = await server.post("/start_agent", START | {"thread_id": "robert"})
            assert (status, answer["thread_id"]) == (200, "robert")
            session = await provider.next_session()
            options = RtcOptions(channel_name="demo", uid=7, role="user")
            person = Person(RtcEngine(server.url).create_channel(options))
            await person.join()
            await say_words(session, "my name is Robert")
            await session.wait_for("response.create")
            await session.say(tone(300), "Hello Robert.")
            await person.wait_event("agent_playout_done")
            words = ["my name is Robert", "Hello Robert."]
            assert await told(server, answer["agent_id"], 2) == words
            call = (await server.get(f"/calls/{answer['agent_id']}"))[1]
            assert (len(call["turns"]), call["usage"]["replies"]) == (1, 1)
            assert call["turns"][0]["endpoint_to_first_byte_ms"] > 0
            seen = {event["type"]: event for event in call["black_box"]["events"]}
            assert seen["agent_input_transcription_done"]["characters"] == len(words[0])
            assert "Robert" not in json.dumps(call)
            other = START | {"channel_name": "other", "thread_id": "robert"}
            status, refusal = await server.post("/start_agent", other)
            assert (status, refusal["code"]) == (409, "thread_busy")
            await person.leave()
            await kill(server)
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            more = {"thread_id": "robert", "greeting": "Welcome back!"}
            status, again = await server.post("/start_agent", START | more)
            assert status == 200, again
            session = await provider.next_session()
            assert [(item["role"], words_of(item)) for item in items(session)] == [
                ("user", words[0]),
                ("assistant", words[1]),
            ]
            options = RtcOptions(channel_name="demo", uid=7, role="user")
            person = Person(RtcEngine(server.url).create_channel(options))
            await person.join()
            # What was left open is not answered; the new call is greeted.
            greeting = await session.wait_for("response.create")
            assert "Welcome back!" in str(greeting)
            await session.say(tone(200), "Welcome back!")
            await person.wait_event("agent_playout_done")
            assert await told(server, again["agent_id"]) == ["Welcome back!"]
            await person.leave()
            calls = (await server.get("/calls?thread=robert"))[1]["calls"]
            assert [one["call_id"] for one in calls] == [again["agent_id"], answer["agent_id"]]
            transcript = (await server.get(f"/calls/{again['agent_id']}/transcript"))[1]
            assert transcript["entries"][0]["number"] == 2


@pytest.mark.asyncio
async def test_calls_go_on_while_the_disk_is_full_and_are_written_later(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        # No file of the server's may grow any more.
        process = server.process.pid
        await wait_for(server, "/readyz", lambda body: body["store"] == "ready")
        unlimited = resource.prlimit(process, resource.RLIMIT_FSIZE, (4096, -1))
        call_id = (await started(server))["agent_id"]
        ready = await wait_for(server, "/readyz", lambda body: body["store"] == "unavailable")
        assert ready["status"] == "ready"
        assert "wait in memory" in ready["warnings"][0]
        status, answer = await server.get(f"/calls/{call_id}")
        assert (status, answer["code"]) == (503, "store_unavailable")
        status, answer = await server.post("/start_agent", start_body("other") | {"thread_id": "t"})
        assert (status, answer["code"]) == (503, "store_unavailable")
        status, answer = await server.post("/stop_agent", {"channel_name": "demo"})
        assert (status, answer["is_stored"]) == (200, False)
        resource.prlimit(process, resource.RLIMIT_FSIZE, unlimited)
        ended = await wait_for(server, f"/calls/{call_id}", lambda body: "state" in body)
        assert ended["exit_reason"] == "stopped"
        assert len(await told(server, call_id)) == 1
        await wait_for(server, "/readyz", lambda body: not body["warnings"])
        assert server.log.read_text().count("the store cannot be written, calls go on") == 1


@pytest.mark.asyncio
async def test_a_reply_is_stored_as_far_as_it_was_heard_when_the_call_ends(tmp_path: Path) -> None:
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri)
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            status, answer = await server.post("/start_agent", START)
            assert status == 200, answer
            session = await provider.next_session()
            options = RtcOptions(channel_name="demo", uid=7, role="user")
            person = Person(RtcEngine(server.url).create_channel(options))
            await person.join()
            await say_words(session, "tell me a story")
            await session.wait_for("response.create")
            story = [f"word{n}" for n in range(100)]
            await session.say(tone(10_000), " ".join(story))
            await person.wait_loud(1500)
            await server.post("/stop_agent", {"channel_name": "demo"})
            # It comes after the voice, by the same way.
            await person.wait_event("agent_ended")
            heard_ms = person.loud_ms
            await person.leave()
            path = f"/calls/{answer['agent_id']}/transcript"
            question, reply = (await server.get(path))[1]["entries"]
    assert question["text"] == "tell me a story"
    assert (reply["is_cut"], reply["is_open"]) == (True, False)
    heard = reply["text"].removesuffix("…").split()
    assert heard == story[: len(heard)]
    # As of the begin of the stop, rounded down to whole words.
    assert heard_ms / 100 - 10 <= len(heard) <= heard_ms / 100 + 5


@pytest.mark.asyncio
async def test_an_agent_that_hung_has_its_signs_and_stacks_in_the_black_box() -> None:
    changes: list[Change] = []
    ended: list[str] = []
    recorder = Recorder(changes.append, on_end=ended.append)
    limits = HealthLimits(silent_warning_s=1.0, silent_limit_s=2.5)
    async with supervised(observers=[recorder], policy=QUICKLY, limits=limits) as supervisor:
        await supervisor.start(agent_config(script="hang_once"))
        await until(lambda: is_ready_again(supervisor, 1))
        recorder.sample(supervisor.list())
        await supervisor.stop("demo")
    box = next(change.box for change in reversed(changes) if isinstance(change, PutBox))
    assert ended == ["id-demo"]
    assert [(one.sign, one.action) for one in box.noticed if one.sign == "silent"] == [
        ("silent", "warn"),
        ("silent", "restart"),
    ]
    first, last = box.exits
    assert (first.exit_reason, last.exit_reason) == (ExitReason.UNRESPONSIVE, ExitReason.STOPPED)
    assert first.stacks is not None
    assert "in _hang" in first.stacks
    assert len(box.curve) == 1
