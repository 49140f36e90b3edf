"""Faults of the environment in every state of an agent: the disk fills, the clock steps, the provider
hangs, the forkserver dies or hangs, processes or descriptors run out. The call goes on, or reports why
it cannot. CHAOS=long runs the whole table.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.environment_faults import (
    EnvironmentFault,
    FullDisk,
    HungForkserver,
    HungModel,
    HungProvider,
    LostForkserver,
    LostModel,
    NoDescriptors,
    RefusedForks,
    SteppedClock,
)
from tests.chaos.faulty_agent import HARM
from tests.chaos.stage import (
    BEFORE_READY,
    DEADLINES,
    GOODBYE,
    LIMITED,
    REPLY_MS,
    STATES,
    Scene,
    scene,
)
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.loopback.stage import Person
from tests.processes.conftest import until

KINDS: Final[dict[str, type[EnvironmentFault]]] = {
    "disk": FullDisk,
    "clock": SteppedClock,
    "provider": HungProvider,
    "forkserver lost": LostForkserver,
    "forkserver hung": HungForkserver,
    "forks refused": RefusedForks,
    "descriptors": NoDescriptors,
    "model lost": LostModel,
    "model hung": HungModel,
}
SHORT: Final = (
    ("disk", "running"),
    ("clock", "running"),
    ("forkserver lost", "running"),
    ("forkserver hung", "connecting"),
    ("forks refused", "running"),
    ("descriptors", "ready"),
    ("model lost", "running"),
)
TABLE: Final = (
    [(kind, state) for kind in KINDS for state in STATES]
    if os.environ.get("CHAOS") == "long"
    else SHORT
)
# Longer than an agent is held, so that it exits on ASK and not on a signal.
PATIENT: Final = replace(DEADLINES, ask_s=10.0)


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "state"), TABLE)
async def test_a_call_with_a_fault_of_its_environment(
    name: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_call_with_fault(KINDS[name](tmp_path, monkeypatch), state, tmp_path)


async def run_call_with_fault(fault: EnvironmentFault, state: str, folder: Path) -> None:
    """Run one call with the fault in this state, to its end and the server's."""
    async with (
        FakeRealtimeServer() as provider,
        fault.prepared(provider) as more,
        scene(folder, provider, PATIENT, **more) as here,
    ):
        fault.enter()
        if state in BEFORE_READY:
            await inject_before_ready(here, fault, state)
        elif state == "draining":
            await inject_in_goodbye(here, fault)
        elif state == "stopping":
            await inject_while_stopping(here, fault)
        else:
            await inject_in_call(here, fault, state)
        await here.nothing_left()


async def inject_before_ready(here: Scene, fault: EnvironmentFault, state: str) -> None:
    """The start succeeds and the call works, unless the model is unreachable."""
    has_model = not fault.breaks_model or fault.is_model_back or state == "joining"
    starting = asyncio.get_running_loop().create_task(here.start(f"hold={state} harm=release"))
    shown = await here.wait_held(state)
    here.call_id = shown["agent_id"]
    fault.check_agent(shown["pid"])
    if fault.breaks_model and state == "joining":
        # The model is connected to while the room is joined.
        await here.wait_shown(
            lambda one: (one["vitals"] or {}).get("model_event_age_s") is not None
        )
        await here.provider.next_session()
    await fault.inject(here)
    here.signal_agent(shown["pid"], HARM)
    status, answer = await starting
    if not has_model:
        await start_has_failed(here, status, answer)
        return
    assert status == 200, answer
    assert all(0 <= took_ms < DEADLINE_S * 1000 for took_ms in answer["timings_ms"].values())
    session = await model_after(here, fault)
    await here.join()
    await here.is_heard_again(session, is_new_process=False)
    await ends_well(here, fault)


async def start_has_failed(here: Scene, status: int, answer: dict[str, Any]) -> None:
    """The failed start is reported, stored and streamed."""
    assert (status, answer["code"]) in {(502, "start_failed"), (504, "start_timeout")}, answer
    assert answer["details"][0]["phase"] == "connecting"
    assert (await here.shown())["state"] == "exited"
    assert (await here.stored())["exit_reason"] == "start_failed"
    assert (await here.listen())[-1].type == "agent_exited"


async def inject_in_call(here: Scene, fault: EnvironmentFault, state: str) -> None:
    """The same process continues the call."""
    session = await begin(here, fault)
    person = None
    if state != "ready":
        person = await here.join()
        await here.is_heard_again(session, is_new_process=False)
    if state == "server_drains":
        assert (await here.server.post("/drain", {"deadline_s": 120}))[0] == 202
    await fault.inject(here)
    session = await model_after(here, fault, session)
    if person is None:
        person = await here.join()
    elif not fault.breaks_model:
        await session.speech_stopped(await session.speech_started(), "is anybody there")
    await here.is_heard_again(session, is_new_process=False)
    if fault.breaks_model and state != "ready":
        await until(lambda: statuses(person) == ["reconnecting", "open"], DEADLINE_S)
    await ends_well(here, fault)


async def inject_in_goodbye(here: Scene, fault: EnvironmentFault) -> None:
    """The goodbye is heard if the model can speak it; the exit reason is the original one."""
    session = await begin(here, fault, **LIMITED)
    person = await here.join()
    await here.wait_goodbye(session)
    before_ms = person.loud_ms
    await fault.inject(here)
    if not fault.breaks_model:
        await session.say(tone(REPLY_MS), GOODBYE)
        await until(lambda: person.loud_ms >= before_ms + 250, DEADLINE_S)
    await person.wait_event("agent_ended")
    assert [one["reason"] for one in person.events if one["type"] == "agent_ended"] == [
        "budget_spent"
    ]
    shown = await here.wait_shown(lambda one: one["state"] == "exited")
    assert (shown["restarts"], shown["last_exit"]["exit_reason"]) == (0, "budget_spent")
    await is_stored(here, fault, "budget_spent")


async def inject_while_stopping(here: Scene, fault: EnvironmentFault) -> None:
    """The agent exits on ASK, within its deadline."""
    await begin(here, fault, "hold=stopping harm=release")
    pid = (await here.shown())["pid"]
    stopping = asyncio.get_running_loop().create_task(
        here.server.post("/stop_agent", {"channel_name": "demo"})
    )
    await here.wait_shown(lambda one: one["state"] == "stopping")
    await fault.inject(here)
    here.signal_agent(pid, HARM)
    status, answer = await stopping
    assert (status, answer["exit_reason"], answer["stopped_by"]) == (200, "stopped", "ask"), answer
    await is_stored(here, fault, "stopped")


async def begin(here: Scene, fault: EnvironmentFault, words: str = "", **more: Any) -> FakeSession:
    """Start an agent; return its session at the model's side."""
    status, answer = await here.start(words, **more)
    assert status == 200, answer
    here.call_id = answer["agent_id"]
    fault.check_agent((await here.shown())["pid"])
    return await here.provider.next_session()


async def model_after(
    here: Scene, fault: EnvironmentFault, session: FakeSession | None = None
) -> FakeSession:
    """Return the model's session after the fault: a new one if the old one is lost."""
    if session is not None and not fault.breaks_model:
        return session
    async with asyncio.timeout(DEADLINE_S):
        return await here.provider._fresh.get()


async def ends_well(here: Scene, fault: EnvironmentFault) -> None:
    """The call still has its first process, which exits on ASK."""
    shown = await here.shown()
    assert (shown["state"], shown["restarts"]) == ("running", 0)
    assert 0 <= shown["heartbeat_age_s"] < 10
    assert 0 <= shown["uptime_s"] < 600
    status, answer = await here.server.post("/stop_agent", {"channel_name": "demo"})
    assert (status, answer["exit_reason"], answer["stopped_by"]) == (200, "stopped", "ask")
    await is_stored(here, fault, "stopped")


async def is_stored(here: Scene, fault: EnvironmentFault, exit_reason: str) -> None:
    """The call's record is written once the fault has ended."""
    fault.heal()
    record = await here.stored()
    assert (record["exit_reason"], record["restarts"]) == (exit_reason, 0)
    fault.check_record(record)
    exits = [one.data for one in await here.listen() if one.type == "agent_exited"]
    assert [one["exit_reason"] for one in exits] == [exit_reason]


def statuses(person: Person) -> list[str]:
    """Return the states of the model's connection that the person received."""
    events = person.events
    return [one["status"] for one in events if one["type"] == "agent_connection_changed"]
