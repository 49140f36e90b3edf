from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from control.placement import (
    AgentStatus,
    AlreadyRunningError,
    DrainingError,
    ExitRecord,
    NotRunningError,
)
from control.supervisor.restart import RestartPolicy
from control.supervisor.stop_sequence import StopStep
from control.supervisor.supervisor import Supervisor
from conversation.events.commands import CommandRefusedError, Say, Update
from conversation.events.server_events import AgentReady
from conversation.lifecycle import AgentStartError, AgentState, ExitReason
from tests.processes.conftest import (
    HASTY,
    QUICK,
    Observing,
    agent_config,
    is_gone,
    supervised,
    until,
)


@pytest.mark.asyncio
async def test_an_agent_starts_is_seen_and_stops_leaving_no_process() -> None:
    async with supervised() as supervisor:
        status = await supervisor.start(agent_config())
        assert status.state is AgentState.READY
        assert status.pid is not None
        assert status.pid != os.getpid()
        assert {"process", "joining", "connecting", "total"} <= set(status.timings_ms)
        await until(lambda: supervisor.status("demo").private_bytes)
        assert supervisor.list()[0].pid == status.pid

        record = await supervisor.stop("demo")
        assert (record.exit_reason, record.exit_code) == (ExitReason.STOPPED, 0)
        assert (record.pid, record.stopped_by) == (status.pid, StopStep.ASK)
        assert is_gone(status.pid)
        assert supervisor.list() == []
        ended = supervisor.status("demo")
        assert (ended.state, ended.pid, ended.last_exit) == (AgentState.EXITED, None, record)
        with pytest.raises(NotRunningError):
            await supervisor.stop("demo")


@pytest.mark.asyncio
async def test_of_fifty_concurrent_starts_exactly_one_wins() -> None:
    async with supervised() as supervisor:
        outcomes = await asyncio.gather(
            *(supervisor.start(agent_config()) for _ in range(50)), return_exceptions=True
        )
        winners = [one for one in outcomes if isinstance(one, AgentStatus)]
        losers = [one for one in outcomes if isinstance(one, AlreadyRunningError)]
        assert (len(winners), len(losers)) == (1, 49)
        assert [one.pid for one in supervisor.list()] == [winners[0].pid]


@pytest.mark.asyncio
async def test_a_start_that_a_drain_overtakes_was_stopped_not_crashed() -> None:
    async with supervised() as supervisor:
        await supervisor.start(agent_config(script="never_ready"), should_wait=False)
        starting = asyncio.gather(supervisor._agents["demo"].wait_ready(), return_exceptions=True)
        await until(lambda: supervisor.status("demo").state is AgentState.CONNECTING)
        await supervisor.drain(0, ExitReason.DRAINED)
        (failure,) = await starting
        assert isinstance(failure, AgentStartError)
        assert failure.code == "stopped"


@pytest.mark.asyncio
async def test_many_channels_at_once_each_get_their_own_process() -> None:
    async with supervised() as supervisor:
        names = [f"c{n}" for n in range(12)]
        started = await asyncio.gather(*(supervisor.start(agent_config(name)) for name in names))
        pids = {one.pid for one in started}
        assert len(pids) == len(names)
        await supervisor.drain()
        assert all(is_gone(pid) for pid in pids)
        with pytest.raises(DrainingError):
            await supervisor.start(agent_config())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "phase", "code", "words"),
    [
        ("fail", "joining", "room_full", "the room is full"),
        ("raise", "starting", "crashed", "a defect"),
    ],
)
async def test_a_failed_start_names_phase_and_cause_and_leaves_nothing(
    script: str, phase: str, code: str, words: str
) -> None:
    ended: list[ExitRecord] = []
    async with supervised(on_exit=ended.append) as supervisor:
        with pytest.raises(AgentStartError, match=words) as caught:
            await supervisor.start(agent_config(script=script))
        assert (caught.value.phase, caught.value.code) == (phase, code)
        await until(lambda: not supervisor.list())
        assert is_gone(ended[0].pid)
        assert ended[0].exit_reason is ExitReason.START_FAILED
        assert ended[0].error is not None
        assert (await supervisor.start(agent_config())).state is AgentState.READY


@pytest.mark.asyncio
async def test_a_start_that_takes_too_long_fails_and_leaves_nothing() -> None:
    ended: list[ExitRecord] = []
    deadlines = dataclasses.replace(QUICK, start_s=3.0)
    async with supervised(deadlines, on_exit=ended.append) as supervisor:
        with pytest.raises(AgentStartError) as caught:
            await supervisor.start(agent_config(script="never_ready"))
        assert (caught.value.phase, caught.value.code) == ("connecting", "start_timeout")
        await until(lambda: ended)
        assert is_gone(ended[0].pid)


@pytest.mark.asyncio
async def test_a_preparation_that_fails_costs_no_process() -> None:
    ended: list[ExitRecord] = []

    async def prepare() -> None:
        raise AgentStartError("model", "model_failed", "no model")

    async with supervised(on_exit=ended.append) as supervisor:
        with pytest.raises(AgentStartError, match="no model") as caught:
            await supervisor.start(agent_config(), prepare=prepare)
        assert caught.value.phase == "model"
        await until(lambda: ended)
        assert ended[0].pid is None


@pytest.mark.asyncio
@pytest.mark.parametrize("script", ["never_ready", "preparing"])
async def test_a_stop_during_the_start_ends_both(script: str) -> None:
    async def prepare() -> None:
        if script == "preparing":
            await asyncio.Event().wait()

    async with supervised() as supervisor:
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(_outcome(supervisor, script, prepare))
            await until(supervisor.list)
            if script == "never_ready":
                await until(lambda: supervisor.status("demo").state is AgentState.CONNECTING)
            record = await supervisor.stop("demo")
        outcome = starting.result()
        assert isinstance(outcome, AgentStartError)
        assert outcome.code == "stopped"
        assert record.exit_reason is ExitReason.STOPPED
        assert record.pid is None or is_gone(record.pid)
        assert supervisor.list() == []


async def _outcome(supervisor: Supervisor, script: str, prepare: Any) -> object:
    try:
        return await supervisor.start(agent_config(script=script), prepare=prepare)
    except AgentStartError as error:
        return error


@pytest.mark.asyncio
async def test_an_agent_that_may_not_be_restarted_is_noticed_and_its_channel_is_free() -> None:
    ended: list[ExitRecord] = []
    policy = RestartPolicy(budget=0)
    async with supervised(on_exit=ended.append, policy=policy) as supervisor:
        first = await supervisor.start(agent_config())
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: ended)
        assert (ended[0].exit_reason, ended[0].exit_code) == (ExitReason.CRASHED, -signal.SIGKILL)
        assert ended[0].stopped_by is None
        assert is_gone(first.pid)
        assert supervisor.status("demo").state is AgentState.FATAL
        second = await supervisor.start(agent_config())
        assert second.pid != first.pid
        assert second.last_exit == ended[0]


@pytest.mark.asyncio
async def test_an_agent_that_leaves_by_itself_says_why() -> None:
    ended: list[ExitRecord] = []
    async with supervised(on_exit=ended.append) as supervisor:
        await supervisor.start(agent_config(script="leave"))
        await until(lambda: ended)
        assert (ended[0].exit_reason, ended[0].exit_code) == (ExitReason.USER_LEFT, 0)
        assert ended[0].stopped_by is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "step", "exit_code"),
    [
        ("deaf", StopStep.ASK, 1),  # its own deadline cancels it, before the next step
        ("hang", StopStep.KILL, -signal.SIGKILL),
    ],
)
async def test_the_ladder_ends_what_does_not_listen(
    script: str, step: StopStep, exit_code: int
) -> None:
    async with supervised(HASTY) as supervisor:
        status = await supervisor.start(agent_config(script=script))
        if script == "hang":
            await until(lambda: (supervisor.status("demo").heartbeat_age_s or 0) > 0.5)
        record = await supervisor.stop("demo")
        assert (record.stopped_by, record.exit_code) == (step, exit_code)
        assert is_gone(status.pid)
        assert record.exit_reason is ExitReason.STOPPED


@pytest.mark.asyncio
async def test_a_stopped_process_goes_through_the_whole_ladder() -> None:
    async with supervised(HASTY) as supervisor:
        status = await supervisor.start(agent_config())
        assert status.pid is not None
        os.kill(status.pid, signal.SIGSTOP)
        stops = await asyncio.gather(*(supervisor.stop("demo") for _ in range(5)))
        assert len({one.model_dump_json() for one in stops}) == 1
        assert (stops[0].stopped_by, stops[0].exit_code) == (StopStep.KILL, -signal.SIGKILL)
        assert is_gone(status.pid)


@pytest.mark.asyncio
async def test_stop_then_start_never_loses_the_new_agent() -> None:
    async with supervised() as supervisor:
        pids = set()
        for _ in range(5):
            status = await supervisor.start(agent_config())
            pids.add(status.pid)
            assert supervisor.status("demo").pid == status.pid
            await supervisor.stop("demo")
        assert len(pids) == 5
        assert all(is_gone(pid) for pid in pids)


@pytest.mark.asyncio
async def test_agents_know_no_secret_of_the_environment_and_no_terminal() -> None:
    observing = Observing(None)
    async with supervised(observers=[observing]) as supervisor:
        await supervisor.start(agent_config(script="environment"))
        await until(lambda: observing.events)
        channel, event = observing.events[0]
        assert channel == "demo"
        assert isinstance(event, AgentReady)
        assert "PATH" in event.agent_name
        assert "PYTEST_CURRENT_TEST" not in event.agent_name
        assert int(event.agent_id) != os.getsid(0)


@pytest.mark.asyncio
async def test_no_thread_is_parked_per_agent() -> None:
    async with supervised() as supervisor:
        await supervisor.start(agent_config("first"))
        await until(lambda: supervisor.status("first").private_bytes)
        # All threads that the loop may have for what takes time; how many it needs is chance.
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.05) for _ in range(64)))
        before = psutil.Process().num_threads()
        for n in range(5):
            await supervisor.start(agent_config(f"c{n}"))
        assert psutil.Process().num_threads() == before


@pytest.mark.asyncio
async def test_a_caller_that_gives_up_leaves_the_start_going_on() -> None:
    async with supervised() as supervisor:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await supervisor.start(agent_config())
        await until(lambda: supervisor.status("demo").state is AgentState.READY)


@pytest.mark.asyncio
async def test_a_start_that_need_not_wait_returns_at_once() -> None:
    async with supervised() as supervisor:
        status = await supervisor.start(agent_config(script="never_ready"), should_wait=False)
        assert (status.state, status.pid) == (AgentState.STARTING, None)


@pytest.mark.asyncio
@pytest.mark.parametrize("text", ["x" * 2_400_000, "\x01" * 600_000])
async def test_a_start_message_that_is_too_large_fails_the_start(text: str) -> None:
    async with supervised() as supervisor:
        with pytest.raises(AgentStartError, match="the limit is 2097152") as caught:
            await supervisor.start(agent_config(system_message=text))
        assert (caught.value.phase, caught.value.code) == ("starting", "too_large")
        assert supervisor.list() == []
        # Nor is a live agent harmed by a command of that size.
        live = await supervisor.start(agent_config())
        with pytest.raises(CommandRefusedError, match="cannot be sent"):
            await supervisor.command("demo", Update(instructions=text))
        assert (await supervisor.command("demo", Say(text="hello"))).item_id == "say"
        assert supervisor.status("demo").pid == live.pid
