"""Outages around a call: the provider hangs, the server with its rooms dies. Only with CHAOS=long."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from tests.chaos.stage import DEADLINE_S, DEADLINES, ENTRY, scene
from tests.fakes.freezing_relay import FreezingRelay
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.loopback.stage import Person
from tests.processes.conftest import server_process, until
from tests.processes.test_real_agent import START, settings


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_a_provider_that_hangs_is_replaced_by_a_new_session(tmp_path: Path) -> None:
    async with (
        FakeRealtimeServer() as provider,
        FreezingRelay(int(provider.uri.rpartition(":")[2])) as relay,
        scene(tmp_path, realtime_api_base_uri=relay.uri) as here,
    ):
        status, answer = await here.start("")
        assert status == 200, answer
        here.call_id = answer["agent_id"]
        session = await provider.next_session()
        person = await here.join()
        await here.is_heard_again(session, is_new_process=False)
        relay.freeze()
        async with asyncio.timeout(DEADLINE_S):
            session = await provider._fresh.get()
        await here.is_heard_again(session, is_new_process=False)
        await until(lambda: statuses(person) == ["reconnecting", "open"])
        shown = await here.shown()
        assert (shown["state"], shown["restarts"]) == ("running", 0)
        await here.server.post("/stop_agent", {"channel_name": "demo"})
        assert (await here.stored())["exit_reason"] == "stopped"
        await here.nothing_left()


def statuses(person: Person) -> list[str]:
    events = person.events
    return [one["status"] for one in events if one["type"] == "agent_connection_changed"]


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_people_come_back_by_themselves_to_a_server_that_was_killed(tmp_path: Path) -> None:
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri)
        with server_process(tmp_path, wanted, ENTRY, DEADLINES) as server:
            assert (await server.post("/start_agent", START))[0] == 200
            session = await provider.next_session()
            options = RtcOptions(channel_name="demo", uid=7, role="user")
            person = Person(RtcEngine(server.url).create_channel(options))
            await person.join()
            family = server.descendants()
            os.kill(server.process.pid, signal.SIGKILL)
            await asyncio.to_thread(server.wait)
            await until(lambda: not any(one.is_running() for one in family))
            port = int(server.url.rpartition(":")[2])
        readies = sum(event["type"] == "agent_ready" for event in person.events)
        with server_process(tmp_path, wanted, ENTRY, DEADLINES, port=port) as server:
            status, answer = await server.post("/start_agent", START)
            assert status == 200, answer
            session = await provider.next_session()
            await until(
                lambda: sum(one["type"] == "agent_ready" for one in person.events) > readies,
                DEADLINE_S,
            )
            await person.listen_again()
            before_ms = person.loud_ms
            await session.say(tone(400), "back")
            await until(lambda: person.loud_ms >= before_ms + 250)
            # The call that was cut is known to have been lost.
            calls = (await server.get("/calls"))[1]["calls"]
            assert len(calls) == 2
            lost = calls[-1]
            assert lost["exit_reason"] == "supervisor_gone"
            await person.leave()
