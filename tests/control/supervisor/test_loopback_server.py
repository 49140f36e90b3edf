from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from control.supervisor import loopback_server
from control.supervisor.loopback_server import LoopbackServer, ServerState
from control.supervisor.restart import RestartBudget, RestartPolicy
from conversation.lifecycle import AgentStartError
from logs import LineHandler
from logs.lines import TextFormatter
from logs.secrets import Secrets
from tests.deadlines import DEADLINE_S
from tests.fakes.outputs import KINDS, bad_output
from tests.processes.conftest import is_gone, until

QUICK = RestartPolicy(first_s=0.01, cap_s=0.01, budget=2, window_s=60)


@asynccontextmanager
async def model(script: str, policy: RestartPolicy = QUICK) -> AsyncIterator[LoopbackServer]:
    command = (sys.executable, "-m", "tests.control.supervisor.server_stand_in", "{fd}", script)
    server = LoopbackServer("local model", command, policy=policy)
    try:
        yield server
    finally:
        await server.stop()
        await server.stop()
        assert server.pid is None


def state_of(server: LoopbackServer) -> ServerState:
    return server.state


@pytest.mark.asyncio
async def test_it_is_started_on_demand_and_gone_after_stop() -> None:
    async with model("ready") as server:
        assert server.state is ServerState.OFF
        assert server.pid is None
        await asyncio.gather(server.wait_ready(DEADLINE_S), server.wait_ready(DEADLINE_S))
        assert state_of(server) is ServerState.READY
        pid = server.pid
        assert pid is not None
        assert os.getsid(pid) != os.getsid(0)
    assert is_gone(pid)


@pytest.mark.asyncio
async def test_a_killed_child_is_replaced_behind_the_same_port() -> None:
    async with model("ready") as server:
        await server.wait_ready(DEADLINE_S)
        first = server.pid
        assert first is not None
        url = f"{server.uri}/healthz"
        os.kill(first, signal.SIGKILL)
        await until(lambda: server.pid != first)
        # No process accepts now; the request waits for the next child instead of being refused.
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert response.status == 200
        await server.wait_ready(DEADLINE_S)
        assert server.pid not in (None, first)


@pytest.mark.asyncio
async def test_a_child_that_cannot_run_is_given_up_with_its_last_words() -> None:
    async with model("crash") as server:
        with pytest.raises(AgentStartError, match="speech packages are missing") as caught:
            await server.wait_ready(DEADLINE_S)
        assert (caught.value.phase, caught.value.code) == ("model", "model_failed")
        assert server.state is ServerState.FAILED


@pytest.mark.asyncio
async def test_waiting_for_a_model_that_loads_has_an_end() -> None:
    async with model("loading") as server:
        with pytest.raises(AgentStartError) as caught:
            await server.wait_ready(1.0)
        assert (caught.value.phase, caught.value.code) == ("model", "model_timeout")
        assert server.state is ServerState.STARTING


@pytest.mark.asyncio
async def test_a_child_deaf_to_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback_server, "_TERMINATE_S", 0.2)
    async with model("deaf") as server:
        await server.wait_ready(DEADLINE_S)
        pid = server.pid
    assert is_gone(pid)


@pytest.mark.asyncio
async def test_a_child_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback_server, "_CHECK_INTERVAL_S", 0.05)
    monkeypatch.setattr(loopback_server, "_HEALTH_TIMEOUT_S", 2.0)
    monkeypatch.setattr(loopback_server, "_MAX_ANSWER_AGE_S", 0.5)
    async with model("ready") as server:
        await server.wait_ready(DEADLINE_S)
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        # Reported before it is restarted.
        await until(lambda: state_of(server) is ServerState.SILENT)
        await until(lambda: server.pid not in (None, first))
        assert is_gone(first)
        await server.wait_ready(DEADLINE_S)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", KINDS)
async def test_it_is_looked_after_whatever_became_of_the_log(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    with bad_output(kind) as output:
        handler = LineHandler(TextFormatter({}, has_colours=False), Secrets(), fd=output.fd)
        monkeypatch.setattr(root, "handlers", [*root.handlers, handler])
        await talks_and_is_replaced()
        output.release()
        assert handler.writer.flush(DEADLINE_S)
        assert handler.writer.lost
        handler.writer.close(DEADLINE_S)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("defect")])
async def test_it_is_looked_after_whatever_becomes_of_a_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(line: str) -> str:
        raise error

    monkeypatch.setattr(loopback_server, "forward_line", fail)
    await talks_and_is_replaced()


async def talks_and_is_replaced() -> None:
    """It says more than a pipe holds, lives, and is followed by another one when it is killed."""
    async with model("talk") as server:
        await server.wait_ready(DEADLINE_S)
        url = f"{server.uri}/healthz"
        async with aiohttp.ClientSession() as http:
            for _ in range(100):
                async with http.get(url) as response:
                    assert response.status == 200
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: state_of(server) is not ServerState.READY)
        await server.wait_ready(DEADLINE_S)
        assert server.pid not in (None, first)


@pytest.mark.asyncio
async def test_it_is_not_called_ready_once_its_process_has_ended() -> None:
    async with model("ready") as server:
        await server.wait_ready(DEADLINE_S)
        process = server._process
        assert process is not None
        process.kill()
        await process.wait()
        # Before the supervision could notice.
        assert state_of(server) is ServerState.BACKOFF


@pytest.mark.asyncio
async def test_a_defect_of_ours_ends_a_child_not_its_supervision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults = [RuntimeError("a defect"), MemoryError()]
    real = LoopbackServer._spawn

    async def spawn(self: LoopbackServer) -> asyncio.subprocess.Process:
        if faults:
            raise faults.pop()
        return await real(self)

    monkeypatch.setattr(LoopbackServer, "_spawn", spawn)
    async with model("ready") as server:
        await server.wait_ready(DEADLINE_S)


@pytest.mark.asyncio
async def test_what_failed_long_ago_is_tried_again() -> None:
    async with model("crash") as server:
        with pytest.raises(AgentStartError):
            await server.wait_ready(DEADLINE_S)
        with pytest.raises(AgentStartError):
            await server.wait_ready(DEADLINE_S)
        server._failed_at_s -= QUICK.window_s
        server._budget = RestartBudget(QUICK)
        server.start()
        assert state_of(server) is ServerState.STARTING


@pytest.mark.asyncio
async def test_kill_does_not_wait() -> None:
    async with model("deaf") as server:
        await server.wait_ready(DEADLINE_S)
        server.kill()


@pytest.mark.asyncio
async def test_a_start_waits_for_a_model_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback_server, "_CHECK_INTERVAL_S", 0.05)
    monkeypatch.setattr(loopback_server, "_MAX_ANSWER_AGE_S", 0.5)
    async with model("ready") as server:
        await server.wait_ready(DEADLINE_S)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: state_of(server) is ServerState.SILENT)
        with pytest.raises(AgentStartError, match="silent"):
            await server.wait_ready(0.2)
        os.kill(pid, signal.SIGCONT)
        await server.wait_ready(DEADLINE_S)
        assert server.pid == pid


@pytest.mark.asyncio
async def test_a_failed_model_is_restarted_without_a_request() -> None:
    policy = RestartPolicy(first_s=0.01, cap_s=0.01, budget=1, window_s=1.0)
    async with model("crash", policy) as server:
        server.start()
        await until(lambda: state_of(server) is ServerState.FAILED)
        server._command[-1] = "ready"
        await until(lambda: state_of(server) is ServerState.READY)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [RuntimeError("a defect"), OSError("no pipe"), ValueError()])
async def test_a_helper_that_fails_costs_no_supervision(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(loopback_server, "_CHECK_INTERVAL_S", 0.05)
    failures = []

    async def fail(*_: object) -> bool:
        failures.append(error)
        raise error

    async with model("ready") as server:
        await server.wait_ready(DEADLINE_S)
        first = server.pid
        assert first is not None
        monkeypatch.setattr(LoopbackServer, "_forward_stderr", fail)
        healthy = loopback_server._is_healthy
        monkeypatch.setattr(loopback_server, "_is_healthy", fail)
        await until(lambda: len(failures) >= 2)
        monkeypatch.setattr(loopback_server, "_is_healthy", healthy)
        os.kill(first, signal.SIGKILL)
        await until(lambda: state_of(server) is not ServerState.READY)
        await server.wait_ready(DEADLINE_S)
        assert server.pid not in (None, first)


@pytest.mark.asyncio
async def test_a_stopped_child_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback_server, "_TERMINATE_S", 0.2)
    async with model("ready") as server:
        await server.wait_ready(DEADLINE_S)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
    assert is_gone(pid)
