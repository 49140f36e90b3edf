"""Draining and capacity with a whole server: who is refused, who may finish, what is left."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest

from control.child.entry import DEFAULT_ENTRY
from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.loopback.stage import Person
from tests.processes.conftest import QUICK, ServerProcess, all_gone, server_process, until

ALONE: dict[str, Any] = {"local_model_uri": "ws://127.0.0.1:9"}


def body(channel_name: str, script: str = "ready") -> dict[str, Any]:
    return {"channel_name": channel_name, "uid": 1000, "greeting": script}


async def start(server: ServerProcess, *channel_names: str) -> None:
    for name in channel_names:
        assert (await server.post("/start_agent", body(name)))[0] == 200


@pytest.mark.asyncio
async def test_a_full_server_refuses_with_figures_until_a_place_is_free(tmp_path: Path) -> None:
    with server_process(tmp_path, ALONE | {"max_agents": 2}) as server:
        answers = await asyncio.gather(
            *(server.post("/start_agent", body(f"c{n}")) for n in range(6))
        )
        codes = sorted((status, answer.get("code", "")) for status, answer in answers)
        assert codes == [(200, ""), (200, ""), *[(429, "at_capacity")] * 4]
        refused = next(answer for status, answer in answers if status == 429)
        assert refused["details"] == [
            {
                "msg": "2 agents are live, the limit is 2",
                "cause": "agents",
                "figures": {"agents": 2, "max_agents": 2},
            }
        ]
        live = (await server.get("/agents"))[1]["agents"]
        await server.post("/stop_agent", {"channel_name": live[0]["channel_name"]})
        await start(server, "late")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("setting", "reason", "figure"),
    [
        ({"max_cpu_percent": 0.1}, "cpu", "max_cpu_percent"),
        ({"min_free_memory_mib": 10**9}, "memory", "min_free_mib"),
    ],
)
async def test_a_machine_without_room_is_a_reason_too(
    tmp_path: Path, setting: dict[str, Any], reason: str, figure: str
) -> None:
    with server_process(tmp_path, ALONE | setting) as server:
        status, refused = await server.post("/start_agent", body("one"))
        assert (status, refused["code"]) == (429, "at_capacity")
        (detail,) = refused["details"]
        assert detail["cause"] == reason
        assert detail["figures"][figure] == next(iter(setting.values()))
        assert (await server.get("/agents"))[1]["agents"] == []


@pytest.mark.asyncio
async def test_a_drain_lets_calls_end_and_ends_the_others_at_the_deadline(tmp_path: Path) -> None:
    with server_process(tmp_path, ALONE | {"warm_processes": 1}) as server:
        await start(server, "one", "two")
        status, answer = await server.post("/drain", {"deadline_s": 600})
        assert (status, answer["agents"], answer["deadline_s"]) == (202, 2, 600)
        status, refused = await server.post("/start_agent", body("late"))
        assert (status, refused["code"]) == (503, "draining")
        status, ready = await server.get("/readyz")
        assert (status, ready["is_draining"], ready["agents"]) == (503, True, 2)
        # A call that ends by itself, and one that a second drain with a deadline ends.
        await server.post("/stop_agent", {"channel_name": "one"})
        assert (await server.get("/agents/two"))[1]["state"] == "ready"
        await server.post("/drain", {"deadline_s": 0})
        await until_exited(server, "two", "drained")
        assert (await server.get("/agents/one"))[1]["last_exit"]["exit_reason"] == "stopped"
        # Of all agent processes, the warm one included, nothing is left but their forkserver.
        await until(lambda: len(server.descendants()) <= 2)


async def until_exited(server: ServerProcess, channel_name: str, reason: str) -> None:
    async with asyncio.timeout(20):
        while True:
            shown = (await server.get(f"/agents/{channel_name}"))[1]
            if shown["state"] == "exited":
                assert shown["last_exit"]["exit_reason"] == reason
                return
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_sigterm_waits_for_calls_and_a_lost_one_comes_back_meanwhile(tmp_path: Path) -> None:
    with server_process(tmp_path, ALONE | {"drain_deadline_s": 600}) as server:
        await start(server, "one")
        pid = (await server.get("/agents/one"))[1]["pid"]
        server.signal(signal.SIGTERM)
        await until(lambda: "draining" in server.log.read_text())
        next(one for one in server.descendants() if one.pid == pid).kill()
        async with asyncio.timeout(20):
            while True:
                shown = (await server.get("/agents/one"))[1]
                if (shown["restarts"], shown["state"]) == (1, "ready"):
                    break
                await asyncio.sleep(0.05)
        await server.post("/stop_agent", {"channel_name": "one"})
        assert await asyncio.to_thread(server.wait) == 0


@pytest.mark.asyncio
async def test_a_second_signal_ends_a_drain_at_once(tmp_path: Path) -> None:
    with server_process(tmp_path, ALONE | {"drain_deadline_s": 600}) as server:
        await start(server, "one")
        family = server.descendants()
        server.signal(signal.SIGTERM)
        await until(lambda: "draining" in server.log.read_text())
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 0
        await until(lambda: all_gone(family))
        assert "SIGTERM while stopping" in server.log.read_text()


GOODBYE = "We have to close. Goodbye."


@pytest.mark.asyncio
async def test_people_hear_a_goodbye_when_the_server_drains(tmp_path: Path) -> None:
    async with FakeRealtimeServer() as provider:
        settings = ALONE | {
            "model_provider": "openai",
            "openai_api_key": "sk-test",
            "realtime_api_base_uri": provider.uri,
            "goodbye": GOODBYE,
        }
        # These deadlines alone would leave half a second for everything.
        with server_process(tmp_path, settings, DEFAULT_ENTRY, QUICK) as server:
            assert (await server.post("/start_agent", {"channel_name": "demo", "uid": 1000}))[0]
            session = await provider.next_session()
            options = RtcOptions(channel_name="demo", uid=7, role="user", name="caller")
            person = Person(RtcEngine(server.url).create_channel(options))
            await person.join()
            assert (await server.post("/drain", {"deadline_s": 0}))[0] == 202
            request = await session.wait_for("response.create")
            assert GOODBYE in request["response"]["instructions"]
            await session.say(tone(1_000), GOODBYE)
            await person.wait_loud(950)
            assert (await person.wait_event("agent_ended"))["reason"] == "drained"
            await until_exited(server, "demo", "drained")
            await person.leave()


@pytest.mark.asyncio
async def test_a_server_out_of_descriptors_refuses_before_it_does_harm(tmp_path: Path) -> None:
    with server_process(tmp_path, ALONE) as server:
        await start(server, "live")
        process = psutil.Process(server.process.pid)
        soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
        assert soft > 4_000, "raised to what the connections may need"
        async with aiohttp.ClientSession(server.url) as http:
            # Over a connection that there is already.
            await (await http.get("/healthz")).read()
            for left in range(9):
                process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + left, hard))
                async with http.post("/start_agent", json=body(f"c{left}")) as response:
                    answer = await response.json()
                assert (response.status, answer["code"]) == (429, "at_capacity"), answer
                assert answer["details"][0]["cause"] == "descriptors"
                figures = answer["details"][0]["figures"]
                assert figures["max_descriptors"] - figures["descriptors"] < figures["reserved"]
        process.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
        await start(server, "after")
        agents = (await server.get("/agents"))[1]["agents"]
        assert [(one["channel_name"], one["restarts"]) for one in agents] == [
            ("after", 0),
            ("live", 0),
        ]
