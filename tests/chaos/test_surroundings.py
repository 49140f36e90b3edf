"""What happens around a call, in every state of its agent: the disk fills, the clock steps, the
provider hangs, the forkserver ends or hangs, there are no processes or descriptors. The call goes on, or says why it cannot. CHAOS=long runs the whole table.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.faulty_agent import HARM
from tests.chaos.stage import (
    BEFORE_READY,
    DEADLINE_S,
    DEADLINES,
    GOODBYE,
    LIMITED,
    REPLY_MS,
    STATES,
    Scene,
    scene,
)
from tests.chaos.surroundings import (
    FullDisk,
    HungForkserver,
    HungModel,
    HungProvider,
    LostForkserver,
    LostModel,
    NoDescriptors,
    RefusedForks,
    SteppedClock,
    Surrounding,
)
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.loopback.stage import Person
from tests.processes.conftest import until

KINDS: Final[dict[str, type[Surrounding]]] = {
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
# An agent that is asked to go is released from where it is held well before it is made to go.
PATIENT: Final = replace(DEADLINES, ask_s=10.0)


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "state"), TABLE)
async def test_a_call_and_what_is_around_it(
    name: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live_through(KINDS[name](tmp_path, monkeypatch), state, tmp_path)


async def live_through(around: Surrounding, state: str, folder: Path) -> None:
    """One call that is struck in this state, to its end and the server's."""
    async with (
        FakeRealtimeServer() as provider,
        around.around(provider) as more,
        scene(folder, provider, PATIENT, **more) as here,
    ):
        around.enter()
        if state in BEFORE_READY:
            await strike_before_ready(here, around, state)
        elif state == "draining":
            await strike_in_goodbye(here, around)
        elif state == "stopping":
            await strike_while_stopping(here, around)
        else:
            await strike_in_call(here, around, state)
        await here.nothing_left()


async def strike_before_ready(here: Scene, around: Surrounding, state: str) -> None:
    """The start succeeds and the call is like any other, unless there is no model to be had."""
    has_model = not around.breaks_model or around.is_model_back or state == "joining"
    starting = asyncio.get_running_loop().create_task(here.start(f"hold={state} harm=release"))
    shown = await here.wait_held(state)
    here.call_id = shown["agent_id"]
    around.check_agent(shown["pid"])
    if around.breaks_model and state == "joining":
        # The model is connected to while the room is joined.
        await here.wait_shown(
            lambda one: (one["vitals"] or {}).get("model_event_age_s") is not None
        )
        await here.provider.next_session()
    await around.strike(here)
    here.signal_agent(shown["pid"], HARM)
    status, answer = await starting
    if not has_model:
        await start_has_failed(here, status, answer)
        return
    assert status == 200, answer
    assert all(0 <= took_ms < DEADLINE_S * 1000 for took_ms in answer["timings_ms"].values())
    session = await model_after(here, around)
    await here.join()
    await here.is_heard_again(session, is_new_process=False)
    await ends_well(here, around)


async def start_has_failed(here: Scene, status: int, answer: dict[str, Any]) -> None:
    """It says so, and the next one is none of its business."""
    assert (status, answer["code"]) in {(502, "start_failed"), (504, "start_timeout")}, answer
    assert answer["details"][0]["phase"] == "connecting"
    assert (await here.shown())["state"] == "exited"
    assert (await here.stored())["exit_reason"] == "start_failed"
    assert (await here.listen())[-1].type == "agent_exited"


async def strike_in_call(here: Scene, around: Surrounding, state: str) -> None:
    """The same process goes on."""
    session = await begin(here, around)
    person = None
    if state != "ready":
        person = await here.join()
        await here.is_heard_again(session, is_new_process=False)
    if state == "server_drains":
        assert (await here.server.post("/drain", {"deadline_s": 120}))[0] == 202
    await around.strike(here)
    session = await model_after(here, around, session)
    if person is None:
        person = await here.join()
    elif not around.breaks_model:
        await session.speech_stopped(await session.speech_started(), "is anybody there")
    await here.is_heard_again(session, is_new_process=False)
    if around.breaks_model and state != "ready":
        await until(lambda: statuses(person) == ["reconnecting", "open"], DEADLINE_S)
    await ends_well(here, around)


async def strike_in_goodbye(here: Scene, around: Surrounding) -> None:
    """The last word is heard if there is a model to say it; the call ends as it was about to."""
    session = await begin(here, around, **LIMITED)
    person = await here.join()
    await here.wait_goodbye(session)
    before_ms = person.loud_ms
    await around.strike(here)
    if not around.breaks_model:
        await session.say(tone(REPLY_MS), GOODBYE)
        await until(lambda: person.loud_ms >= before_ms + 250, DEADLINE_S)
    await person.wait_event("agent_ended")
    assert [one["reason"] for one in person.events if one["type"] == "agent_ended"] == [
        "budget_spent"
    ]
    shown = await here.wait_shown(lambda one: one["state"] == "exited")
    assert (shown["restarts"], shown["last_exit"]["exit_reason"]) == (0, "budget_spent")
    await is_stored(here, around, "budget_spent")


async def strike_while_stopping(here: Scene, around: Surrounding) -> None:
    """It goes, of its own, and by the deadline."""
    await begin(here, around, "hold=stopping harm=release")
    pid = (await here.shown())["pid"]
    stopping = asyncio.get_running_loop().create_task(
        here.server.post("/stop_agent", {"channel_name": "demo"})
    )
    await here.wait_shown(lambda one: one["state"] == "stopping")
    await around.strike(here)
    here.signal_agent(pid, HARM)
    status, answer = await stopping
    assert (status, answer["exit_reason"], answer["stopped_by"]) == (200, "stopped", "ask"), answer
    await is_stored(here, around, "stopped")


async def begin(here: Scene, around: Surrounding, words: str = "", **more: Any) -> FakeSession:
    """An agent is ready, and this is its model."""
    status, answer = await here.start(words, **more)
    assert status == 200, answer
    here.call_id = answer["agent_id"]
    around.check_agent((await here.shown())["pid"])
    return await here.provider.next_session()


async def model_after(
    here: Scene, around: Surrounding, session: FakeSession | None = None
) -> FakeSession:
    """The model's side after the strike: a new session where the old one is lost."""
    if session is not None and not around.breaks_model:
        return session
    async with asyncio.timeout(DEADLINE_S):
        return await here.provider._fresh.get()


async def ends_well(here: Scene, around: Surrounding) -> None:
    """One process lived through it all, and ends when it is asked to."""
    shown = await here.shown()
    assert (shown["state"], shown["restarts"]) == ("running", 0)
    assert 0 <= shown["heartbeat_age_s"] < 10
    assert 0 <= shown["uptime_s"] < 600
    status, answer = await here.server.post("/stop_agent", {"channel_name": "demo"})
    assert (status, answer["exit_reason"], answer["stopped_by"]) == (200, "stopped", "ask")
    await is_stored(here, around, "stopped")


async def is_stored(here: Scene, around: Surrounding, exit_reason: str) -> None:
    """What could not be written waited until it could."""
    around.heal()
    record = await here.stored()
    assert (record["exit_reason"], record["restarts"]) == (exit_reason, 0)
    around.check_record(record)
    exits = [one.data for one in await here.listen() if one.type == "agent_exited"]
    assert [one["exit_reason"] for one in exits] == [exit_reason]


def statuses(person: Person) -> list[str]:
    """What they were told of the model's connection."""
    events = person.events
    return [one["status"] for one in events if one["type"] == "agent_connection_changed"]
