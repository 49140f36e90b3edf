"""Agents that are lost and come back: real processes, killed, stopped, hung and crashing."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import signal
import time

import pytest

from config.agent import AgentConfig
from control.health.rules import HealthLimits
from control.observers import CallObserver
from control.placement import AlreadyRunningError, ExitRecord
from control.store.changes import Change, PutCall
from control.store.recorder import Recorder
from control.supervisor.restart import RestartPolicy
from control.supervisor.stop_sequence import StopStep
from control.supervisor.supervisor import Supervisor
from conversation.lifecycle import AgentState, ExitReason
from conversation.limits import CallLimits
from conversation.snapshot import ResumeState, SnapshotText
from tests.processes.conftest import agent_config, is_gone, supervised, until
from tests.processes.scripted_agent import HOG_BYTES

QUICKLY = RestartPolicy(first_s=0.05, cap_s=0.2, budget=3, window_s=60, immediate=1)


def is_ready_again(supervisor: Supervisor, restarts: int) -> bool:
    status = supervisor.status("demo")
    return status.restarts == restarts and status.state is AgentState.READY


def conversation_of(supervisor: Supervisor) -> list[str]:
    """Return the conversation that a replacement process would resume."""
    entries = supervisor._agents["demo"]._process.conversation.seed().entries
    return [entry.text for entry in entries if isinstance(entry, SnapshotText)]


@pytest.mark.asyncio
async def test_a_killed_agent_is_back_at_once_with_its_conversation() -> None:
    ended: list[ExitRecord] = []
    seed = ResumeState(entries=(SnapshotText(number=0, role="user", text="hello"),))
    # Any pause before the first restart would be longer than is waited for here.
    policy = RestartPolicy(first_s=60, cap_s=60, budget=3, window_s=60, immediate=1)
    async with supervised(on_exit=ended.append, policy=policy) as supervisor:
        first = await supervisor.start(agent_config(conversation_seed=seed))
        assert first.pid is not None
        await until(lambda: conversation_of(supervisor) == ["hello", f"I was {first.pid}"])
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: is_ready_again(supervisor, 1))
        second = supervisor.status("demo")
        assert second.pid not in (None, first.pid)
        assert (second.agent_id, second.uid) == (first.agent_id, first.uid)
        assert second.last_exit == ended[0]
        assert (ended[0].exit_reason, ended[0].is_restarted) == (ExitReason.CRASHED, True)
        await until(
            lambda: (
                conversation_of(supervisor)
                == ["hello", f"I was {first.pid}", f"I was {second.pid}"]
            )
        )
        with pytest.raises(AlreadyRunningError):
            await supervisor.start(agent_config())
        record = await supervisor.stop("demo")
        assert (record.exit_reason, record.exit_code) == (ExitReason.STOPPED, 0)
        assert not record.is_restarted
        assert is_gone(first.pid)
        assert is_gone(second.pid)


@pytest.mark.asyncio
@pytest.mark.parametrize("is_stopped", [False, True])
async def test_a_hung_agent_is_killed_with_its_stacks_and_replaced(is_stopped: bool) -> None:
    ended: list[ExitRecord] = []
    limits = HealthLimits(silent_warning_s=1.0, silent_limit_s=2.5)
    script = "ready" if is_stopped else "hang_once"
    async with supervised(on_exit=ended.append, policy=QUICKLY, limits=limits) as supervisor:
        first = await supervisor.start(agent_config(script=script))
        assert first.pid is not None
        await until(lambda: supervisor.status("demo").heartbeat_age_s is not None)
        if is_stopped:
            os.kill(first.pid, signal.SIGSTOP)
        await until(lambda: is_ready_again(supervisor, 1))
        assert is_gone(first.pid)
        assert (ended[0].exit_reason, ended[0].stopped_by) == (
            ExitReason.UNRESPONSIVE,
            StopStep.KILL,
        )
        assert ended[0].error is not None
        assert "has not answered" in ended[0].error
        if not is_stopped:
            assert ended[0].stacks is not None
            threads, _, tasks = ended[0].stacks.partition("Task ")
            assert "in _hang" in threads
            assert "scripted_agent.py" in tasks
            assert "in run" in tasks


@pytest.mark.asyncio
async def test_a_stalled_server_restarts_no_agent() -> None:
    """As one that was stopped or starved: what it did not hear may have been said."""
    ended: list[ExitRecord] = []
    limits = HealthLimits(silent_warning_s=1.0, silent_limit_s=2.0)
    async with supervised(on_exit=ended.append, limits=limits) as supervisor:
        first = await supervisor.start(agent_config())
        await until(lambda: supervisor.status("demo").vitals is not None)
        time.sleep(4.0)  # noqa: ASYNC251 - the point of it
        before = supervisor.status("demo").vitals
        assert before is not None

        def has_answered_again() -> bool:
            vitals = supervisor.status("demo").vitals
            assert vitals is not None
            return vitals.media.packets_sent >= before.media.packets_sent + 150

        await until(has_answered_again)
        assert (supervisor.status("demo").pid, ended) == (first.pid, [])


@pytest.mark.asyncio
async def test_a_memory_hog_is_replaced_before_it_takes_everything() -> None:
    ended: list[ExitRecord] = []
    # More than an agent needs to become ready: before that it would not be replaced.
    limits = HealthLimits(memory_bytes=HOG_BYTES / 2)
    async with supervised(on_exit=ended.append, policy=QUICKLY, limits=limits) as supervisor:
        await supervisor.start(agent_config(script="hog"))
        await until(lambda: ended)
        assert ended[0].exit_reason is ExitReason.OUT_OF_MEMORY
        assert ended[0].is_restarted


@pytest.mark.asyncio
async def test_a_crash_loop_is_given_up() -> None:
    ended: list[ExitRecord] = []
    async with supervised(on_exit=ended.append, policy=QUICKLY) as supervisor:
        await supervisor.start(agent_config(script="crash"))
        await until(lambda: supervisor.status("demo").state is AgentState.FATAL)
        assert [one.is_restarted for one in ended] == [True, True, True, False]
        assert ended[-1].error is not None
        assert "4 times" in ended[-1].error
        assert all(is_gone(one.pid) for one in ended)
        assert supervisor.list() == []
        assert (await supervisor.start(agent_config())).state is AgentState.READY


@pytest.mark.asyncio
async def test_a_provider_that_refuses_the_key_ends_it_at_once() -> None:
    ended: list[ExitRecord] = []
    async with supervised(on_exit=ended.append, policy=QUICKLY) as supervisor:
        first = await supervisor.start(agent_config(script="refused_later"))
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: supervisor.status("demo").state is AgentState.FATAL)
        assert [one.exit_reason for one in ended] == [ExitReason.CRASHED, ExitReason.START_FAILED]


class _States(CallObserver):
    """State of the agent after each step, and of its call's record."""

    def __init__(self) -> None:
        self.states: list[AgentState] = []
        self.stored: list[AgentState] = []
        self.recorder = Recorder(self._put, on_end=lambda _: None)

    def _put(self, change: Change) -> None:
        if isinstance(change, PutCall):
            self.stored.append(change.record.state)

    def handle_state(self, config: AgentConfig, state: AgentState, *, at_ms: int) -> None:
        self.states.append(state)


@pytest.mark.asyncio
async def test_every_step_over_all_processes_is_published_and_stored_once() -> None:
    seen = _States()
    async with supervised(policy=QUICKLY, observers=[seen, seen.recorder]) as supervisor:
        first = await supervisor.start(agent_config())
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: is_ready_again(supervisor, 1))
        await supervisor.stop("demo")
    start = [AgentState.STARTING, AgentState.JOINING, AgentState.CONNECTING, AgentState.READY]
    end = [AgentState.STOPPING, AgentState.EXITED]
    assert seen.states == [*start, AgentState.BACKOFF, *start, *end]
    assert [state for state, _ in itertools.groupby(seen.stored)] == seen.states


@pytest.mark.asyncio
async def test_a_stop_during_the_backoff_ends_it() -> None:
    policy = RestartPolicy(first_s=30, cap_s=30, budget=3)
    async with supervised(policy=policy) as supervisor:
        first = await supervisor.start(agent_config())
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: supervisor.status("demo").state is AgentState.BACKOFF)
        assert supervisor.status("demo").pid is None
        async with asyncio.timeout(5):
            record = await supervisor.stop("demo")
        assert (record.exit_reason, record.is_restarted) == (ExitReason.STOPPED, False)
        assert supervisor.status("demo").state is AgentState.EXITED
        assert supervisor.list() == []


@pytest.mark.asyncio
async def test_an_agent_that_leaves_by_itself_stays_away() -> None:
    ended: list[ExitRecord] = []
    async with supervised(on_exit=ended.append, policy=QUICKLY) as supervisor:
        await supervisor.start(agent_config(script="leave"))
        await until(lambda: not supervisor.list())
        assert [(one.exit_reason, one.is_restarted) for one in ended] == [
            (ExitReason.USER_LEFT, False)
        ]


@pytest.mark.asyncio
async def test_what_a_call_has_spent_stays_spent() -> None:
    def is_spent(tokens: int) -> bool:
        vitals = supervisor.status("demo").vitals
        return vitals is not None and vitals.tokens == tokens

    async with supervised(policy=QUICKLY) as supervisor:
        await supervisor.start(agent_config(limits=CallLimits(max_tokens=100)))
        for tokens in (10, 20, 30):
            await until(functools.partial(is_spent, tokens))
            pid = supervisor.status("demo").pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        await until(functools.partial(is_spent, 40))
