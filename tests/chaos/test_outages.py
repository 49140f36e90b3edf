"""The server with its rooms killed in every state of an agent, then started again: nothing of the first
one remains, and clients reconnect by themselves. Only with CHAOS=long.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.chaos.stage import BEFORE_READY, DEADLINES, ENTRY, LIMITED, STATES, Scene, scene
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.loopback.stage import Person
from tests.processes.conftest import all_gone, server_aside, until
from tests.processes.test_real_agent import START, settings


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize("state", STATES)
async def test_a_killed_server_is_followed_by_another(state: str, tmp_path: Path) -> None:
    async with FakeRealtimeServer() as provider:
        async with scene(tmp_path, provider) as here:
            asking = await reach(here, state)
            await is_known(here)
            await kill_server(here)
            if asking is not None:
                with pytest.raises(aiohttp.ClientError):
                    await asking
            person, here.person = here.person, None
            port = int(here.server.url.rpartition(":")[2])
        while not provider._fresh.empty():
            provider._fresh.get_nowait()
        wanted = settings(provider.uri)
        try:
            async with server_aside(tmp_path, wanted, ENTRY, DEADLINES, port=port) as server:
                here.server = server
                await goes_on(here, person)
        finally:
            if person is not None:
                await person.leave()


async def reach(here: Scene, state: str) -> asyncio.Task[Any] | None:
    """Bring the agent into this state; gives the question that waits for its answer, if one does."""
    loop = asyncio.get_running_loop()
    if state in BEFORE_READY:
        asking: asyncio.Task[Any] = loop.create_task(here.start(f"hold={state}"))
        here.call_id = (await here.wait_held(state))["agent_id"]
        return asking
    limits = LIMITED if state == "draining" else {}
    status, answer = await here.start("hold=stopping" if state == "stopping" else "", **limits)
    assert status == 200, answer
    here.call_id = answer["agent_id"]
    if state == "ready":
        return None
    session = await here.provider.next_session()
    await here.join()
    if state == "draining":
        await here.wait_goodbye(session)
        return None
    await here.is_heard_again(session, is_new_process=False)
    if state == "server_drains":
        assert (await here.server.post("/drain", {"deadline_s": 120}))[0] == 202
    if state != "stopping":
        return None
    asking = loop.create_task(here.server.post("/stop_agent", {"channel_name": "demo"}))
    await here.wait_shown(lambda one: one["state"] == state)
    return asking


async def is_known(here: Scene) -> None:
    """The call is in the store."""
    status, record = await here.server.get(f"/calls/{here.call_id}")
    assert (status, record["ended_at_ms"]) == (200, None)


async def kill_server(here: Scene) -> None:
    """Kill the server; none of its processes remains."""
    family = here.server.descendants()
    os.kill(here.server.process.pid, signal.SIGKILL)
    await asyncio.to_thread(here.server.wait)
    await until(lambda: all_gone(family), DEADLINE_S)


async def goes_on(here: Scene, person: Person | None) -> None:
    """The call that was cut is known to be lost; the next one is heard by who was in the room."""
    assert (await here.stored())["exit_reason"] == "supervisor_gone"
    ready = 0 if person is None else person.ready_agents
    status, answer = await here.server.post("/start_agent", START)
    assert status == 200, answer
    session = await here.provider.next_session()
    if person is None:
        person = await here.join()
    else:
        here.person = person
        await person.wait_ready_agents(ready + 1)
    await here.is_heard_again(session, is_new_process=False)
    calls = (await here.server.get("/calls"))[1]["calls"]
    assert [one["call_id"] for one in calls] == [answer["agent_id"], here.call_id]
    await person.leave()
    here.person = None
    status, answer = await here.server.post("/stop_agent", {"channel_name": "demo"})
    assert (status, answer["exit_reason"]) == (200, "stopped")
