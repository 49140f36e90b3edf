"""Every way to lose an agent's process, in every state: what the caller hears, what API, store and
stream say, and that nothing is left. CHAOS=long runs the whole table.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from conversation.lifecycle import AgentState
from tests.chaos.faulty_agent import HARM
from tests.chaos.stage import BEFORE_READY, LIMITED, REPLY_MS, STATES, Scene, scene
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.processes.conftest import until


@dataclass(frozen=True)
class Fault:
    """Fault of the process, and the exit reason that the supervisor records once it was ready."""

    number: signal.Signals
    exit_reason: str
    harm: str = ""


FAULTS: Final = {
    "kill": Fault(signal.SIGKILL, "crashed"),
    "freeze": Fault(signal.SIGSTOP, "unresponsive"),
    "block": Fault(HARM, "unresponsive", "block"),
    "memory": Fault(HARM, "out_of_memory", "memory"),
    "descriptors": Fault(HARM, "unhealthy", "descriptors"),
}
SHORT: Final = (
    ("kill", "connecting"),
    ("kill", "running"),
    ("kill", "stopping"),
    ("block", "running"),
    ("memory", "running"),
)
TABLE: Final = (
    [(fault, state) for fault in FAULTS for state in STATES]
    if os.environ.get("CHAOS") == "long"
    else SHORT
)


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "state"), TABLE)
async def test_a_lost_process(name: str, state: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    async with FakeRealtimeServer() as provider, scene(tmp_path, provider) as here:
        if state in BEFORE_READY:
            await lose_before_ready(here, fault, state)
        elif state == "stopping":
            await lose_while_stopping(here, fault)
        elif state == "draining":
            await lose_in_goodbye(here, fault)
        else:
            await lose_in_call(here, fault, state)
        await here.nothing_left()


def words(fault: Fault, hold: str = "") -> str:
    return " ".join(filter(None, (hold and f"hold={hold}", fault.harm and f"harm={fault.harm}")))


async def lose_before_ready(here: Scene, fault: Fault, state: str) -> None:
    """The start fails and says so; nothing is restarted, the channel is free."""
    starting = asyncio.get_running_loop().create_task(here.start(words(fault, state)))
    # Commands and streams are there for an agent that is not ready yet, too.
    shown = await here.wait_shown(lambda one: one.get("state") == state and one["pid"])
    here.call_id = shown["agent_id"]
    status, refused = await here.server.post("/agents/demo/say", {"text": "hi"})
    assert (status, refused["code"]) == (409, "not_ready")
    await here.wait_shown(lambda one: one["heartbeat_age_s"] is not None)
    here.signal_agent(shown["pid"], fault.number)
    status, answer = await starting
    assert (status, answer["code"]) in {(502, "start_failed"), (504, "start_timeout")}
    shown = await here.shown()
    assert (shown["state"], shown["restarts"]) == ("exited", 0)
    record = await here.stored()
    assert record["exit_reason"] == shown["last_exit"]["exit_reason"] != "stopped"
    assert (await here.listen())[-1].type == "agent_exited"


async def lose_while_stopping(here: Scene, fault: Fault) -> None:
    """It was about to go: it is gone, and stays so."""
    status, answer = await here.start(words(fault, "stopping"))
    assert status == 200, answer
    here.call_id = answer["agent_id"]
    pid = (await here.shown())["pid"]
    stopping = asyncio.get_running_loop().create_task(
        here.server.post("/stop_agent", {"channel_name": "demo"})
    )
    await here.wait_shown(lambda one: one["state"] == "stopping")
    here.signal_agent(pid, fault.number)
    status, answer = await stopping
    assert (status, answer["exit_reason"]) == (200, "stopped"), answer
    shown = await here.shown()
    assert (shown["state"], shown["restarts"]) == ("exited", 0)
    assert (await here.stored())["exit_reason"] == "stopped"


async def lose_in_goodbye(here: Scene, fault: Fault) -> None:
    """The call was ending: no process follows for the goodbye."""
    status, answer = await here.start(words(fault), **LIMITED)
    assert status == 200, answer
    here.call_id = answer["agent_id"]
    session = await here.provider.next_session()
    person = await here.join()
    shown = await here.wait_goodbye(session)
    here.signal_agent(shown["pid"], fault.number)
    shown = await here.wait_shown(lambda one: one["state"] == "exited")
    assert (shown["restarts"], shown["last_exit"]["exit_reason"]) == (0, fault.exit_reason)
    await until(lambda: not person.channel.remote_users, DEADLINE_S)
    # Once, with what is made up for frames that came late.
    assert person.loud_ms < 2 * REPLY_MS
    assert (person.ready_agents, len(here.provider.sessions)) == (1, 1)
    record = await here.stored()
    assert (record["restarts"], record["exit_reason"]) == (0, fault.exit_reason)
    last = (await here.listen())[-1]
    assert (last.type, last.data["is_restarted"]) == ("agent_exited", False)
    await person.leave()
    here.person = None
    # The channel is free.
    assert (await here.start(""))[0] == 200
    await here.server.post("/stop_agent", {"channel_name": "demo"})


async def lose_in_call(here: Scene, fault: Fault, state: str) -> None:
    """Another process takes the call over: the same agent, the same person, who did nothing."""
    status, answer = await here.start(words(fault))
    assert status == 200, answer
    here.call_id = answer["agent_id"]
    session = await here.provider.next_session()
    if state != "ready":
        await here.join()
        await here.is_heard_again(session, is_new_process=False)
    if state == "server_drains":
        assert (await here.server.post("/drain", {"deadline_s": 120}))[0] == 202
    shown = await here.wait_shown(
        lambda one: one["state"] == ("ready" if state == "ready" else "running")
    )
    here.signal_agent(shown["pid"], fault.number)
    session = await here.provider.next_session()
    after = await here.wait_shown(lambda one: one["restarts"] == 1)
    assert after["last_exit"]["exit_reason"] == fault.exit_reason
    assert (after["agent_id"], after["uid"]) == (here.call_id, 1000)
    if state == "ready":
        await here.join()
    await here.is_heard_again(session, is_new_process=state != "ready")
    assert (await here.shown())["state"] == AgentState.RUNNING
    status, answer = await here.server.post("/stop_agent", {"channel_name": "demo"})
    assert (status, answer["exit_reason"], answer["stopped_by"]) == (200, "stopped", "ask")
    record = await here.stored()
    assert (record["restarts"], record["exit_reason"]) == (1, "stopped")
    exits = [one.data for one in await here.listen() if one.type == "agent_exited"]
    assert [(one["exit_reason"], one["is_restarted"]) for one in exits] == [
        (fault.exit_reason, True),
        ("stopped", False),
    ]
