"""Agents that are lost and come back: real processes, killed, stopped, hung and crashing."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import time

import pytest

from control.placement import AlreadyRunningError, ExitRecord
from control.processes.ladder import Rung
from control.processes.watch import WatchLimits
from control.supervision.restart import RestartPolicy
from control.supervision.supervisor import Supervisor
from conversation.lifecycle import AgentState, ExitReason
from conversation.limits import CallLimits
from conversation.remembered import ConversationSeed, RememberedText
from tests.processes.conftest import agent_config, is_gone, supervised, until

QUICKLY = RestartPolicy(first_s=0.05, cap_s=0.2, budget=3, window_s=60, immediate=1)


def is_ready_again(supervisor: Supervisor, restarts: int) -> bool:
    status = supervisor.status("demo")
    return status.restarts == restarts and status.state is AgentState.READY


def told(supervisor: Supervisor) -> list[str]:
    """What the supervisor would tell the next process of the channel."""
    entries = supervisor._agents["demo"]._process.conversation.seed().entries
    return [entry.text for entry in entries if isinstance(entry, RememberedText)]


@pytest.mark.asyncio
async def test_a_killed_agent_is_back_at_once_with_its_conversation() -> None:
    ended: list[ExitRecord] = []
    seed = ConversationSeed(entries=(RememberedText(number=0, role="user", text="hello"),))
    # Any pause before the first restart would be longer than is waited for here.
    policy = RestartPolicy(first_s=60, cap_s=60, budget=3, window_s=60, immediate=1)
    async with supervised(on_exit=ended.append, policy=policy) as supervisor:
        first = await supervisor.start(agent_config(conversation_seed=seed))
        assert first.pid is not None
        await until(lambda: told(supervisor) == ["hello", f"I was {first.pid}"])
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: is_ready_again(supervisor, 1))
        second = supervisor.status("demo")
        assert second.pid not in (None, first.pid)
        assert (second.agent_id, second.uid) == (first.agent_id, first.uid)
        assert second.last_exit == ended[0]
        assert (ended[0].exit_reason, ended[0].is_restarted) == (ExitReason.CRASHED, True)
        await until(
            lambda: told(supervisor) == ["hello", f"I was {first.pid}", f"I was {second.pid}"]
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
    limits = WatchLimits(silent_warning_s=1.0, silent_limit_s=2.5)
    script = "ready" if is_stopped else "hang_once"
    async with supervised(on_exit=ended.append, policy=QUICKLY, limits=limits) as supervisor:
        first = await supervisor.start(agent_config(script=script))
        assert first.pid is not None
        await until(lambda: supervisor.status("demo").heartbeat_age_s is not None)
        if is_stopped:
            os.kill(first.pid, signal.SIGSTOP)
        await until(lambda: is_ready_again(supervisor, 1))
        assert is_gone(first.pid)
        assert (ended[0].exit_reason, ended[0].stopped_by) == (ExitReason.UNRESPONSIVE, Rung.KILL)
        assert ended[0].error is not None
        assert "has not answered" in ended[0].error
        if not is_stopped:
            assert ended[0].stacks is not None
            threads, _, tasks = ended[0].stacks.partition("Task ")
            assert "in _hang" in threads
            assert "scripted_agent.py" in tasks
            assert "in run" in tasks


@pytest.mark.asyncio
async def test_a_server_that_was_held_up_blames_nobody() -> None:
    """As one that was stopped or starved: what it did not hear may have been said."""
    ended: list[ExitRecord] = []
    limits = WatchLimits(silent_warning_s=1.0, silent_limit_s=2.0)
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
    limits = WatchLimits(memory_bytes=1024 * 1024)
    async with supervised(on_exit=ended.append, policy=QUICKLY, limits=limits) as supervisor:
        await supervisor.start(agent_config())
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
