"""Whole servers, ended in every way there is; each time nothing of them may be left."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from config.settings import ConfigError, Settings
from control.run import open_listener, run_server
from control.server import ServerError
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import HASTY, ROOT, ServerProcess, all_gone, server_process, until
from tests.processes.faulty_forkserver import allow, refuse
from tests.processes.test_metrics import scrape


def start_body(channel_name: str = "demo", script: str = "ready") -> dict[str, Any]:
    return {"channel_name": channel_name, "uid": 1000, "greeting": script}


async def start(server: ServerProcess, *bodies: dict[str, Any]) -> list[int]:
    """Start agents; returns their pids."""
    for body in bodies:
        status, answer = await server.post("/start_agent", body)
        assert status == 200, answer
    agents = (await server.get("/agents"))[1]["agents"]
    return [agent["pid"] for agent in agents]


async def hung(server: ServerProcess, channel_name: str) -> None:
    """Return when the agent no longer answers its supervisor."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            _, shown = await server.get(f"/agents/{channel_name}")
            if (shown["heartbeat_age_s"] or 0) > 0.5:
                return


@pytest.mark.asyncio
async def test_start_and_stop_over_http_leave_no_process(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        idle = len(server.descendants())
        (pid,) = await start(server, start_body())
        assert pid in {one.pid for one in server.descendants()}
        status, answer = await server.post("/stop_agent", {"channel_name": "demo"})
        assert (status, answer["status"]) == (200, "Agent process terminated")
        assert answer["exit_reason"] == "stopped"
        assert len(server.descendants()) == idle
        status, answer = await server.get("/agents/demo")
        assert (status, answer["state"]) == (200, "exited")


@pytest.mark.asyncio
async def test_of_fifty_concurrent_requests_exactly_one_starts(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        answers = await asyncio.gather(
            *(server.post("/start_agent", start_body()) for _ in range(50))
        )
        codes = Counter((status, answer.get("code")) for status, answer in answers)
        assert codes == {(200, None): 1, (400, "already_running"): 49}


@pytest.mark.asyncio
async def test_a_failed_start_answers_with_phase_and_cause(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        idle = len(server.descendants())
        status, answer = await server.post("/start_agent", start_body(script="fail"))
        assert (status, answer["code"]) == (502, "start_failed")
        assert answer["details"] == [
            {"msg": "the room is full", "phase": "joining", "cause": "room_full"}
        ]
        assert len(server.descendants()) == idle


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_one_signal_stops_every_agent_gracefully(
    tmp_path: Path, number: signal.Signals
) -> None:
    with server_process(tmp_path) as server:
        await start(server, start_body("one"), start_body("two"))
        family = server.descendants()
        server.signal(number)
        assert await asyncio.to_thread(server.wait) == 0
        assert not [one for one in family if psutil.pid_exists(one.pid)], "not even a zombie"
        log = server.log.read_text()
        reason = "drained" if number is signal.SIGTERM else "stopped"
        assert log.count(f"{reason}, exit code 0") == 2
        assert "Traceback" not in log


@pytest.mark.asyncio
async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    from control.supervisor.stop_sequence import DEFAULT_DEADLINES

    # With these deadlines a polite end of this agent would take ten seconds.
    with server_process(tmp_path, deadlines=DEFAULT_DEADLINES) as server:
        await start(server, start_body(script="deaf"))
        family = server.descendants()
        server.signal(signal.SIGTERM)
        await until(lambda: "SIGTERM: stopping" in server.log.read_text())
        server.signal(signal.SIGINT)
        async with asyncio.timeout(9):
            assert await asyncio.to_thread(server.wait) == 0
        await until(lambda: all_gone(family))
        assert "SIGINT while stopping" in server.log.read_text()


@pytest.mark.asyncio
async def test_kill_9_of_the_server_takes_everything_with_it(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        pids = await start(server, start_body("one"), start_body("two"), start_body("hung", "hang"))
        await hung(server, "hung")
        stopped = (await server.post("/start_agent", start_body("stopped")))[1]
        frozen = (await server.get(f"/agents/{stopped['channel_name']}"))[1]["pid"]
        os.kill(frozen, signal.SIGSTOP)
        family = server.descendants()
        assert {*pids, frozen} < {one.pid for one in family}
        server.signal(signal.SIGKILL)
        await asyncio.to_thread(server.wait)
        await until(lambda: all_gone(family))


@pytest.mark.asyncio
async def test_kill_9_of_an_agent_brings_another_process_into_its_channel(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        (pid,) = await start(server, start_body())
        os.kill(pid, signal.SIGKILL)
        shown = await restarted(server, "demo")
        assert shown["pid"] not in (None, pid)
        assert shown["last_exit"]["exit_reason"] == "crashed"
        assert shown["last_exit"]["exit_code"] == -signal.SIGKILL
        assert shown["last_exit"]["is_restarted"] is True
        status, answer = await server.post("/start_agent", start_body())
        assert (status, answer["code"]) == (400, "already_running")


async def restarted(server: ServerProcess, channel_name: str) -> dict[str, Any]:
    """The agent, once it lost a process and is ready again."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            _, shown = await server.get(f"/agents/{channel_name}")
            if (shown["restarts"], shown["state"]) == (1, "ready"):
                return shown
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_a_hung_agent_leaves_its_stacks_and_goes(tmp_path: Path) -> None:
    with server_process(tmp_path, deadlines=HASTY) as server:
        await start(server, start_body(script="hang"))
        await hung(server, "demo")
        status, answer = await server.post("/stop_agent", {"channel_name": "demo"})
        assert (status, answer["stopped_by"]) == (200, "kill")
        assert "Current thread" in server.log.read_text()


@pytest.mark.asyncio
async def test_no_child_inherits_a_secret(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        await start(server, start_body())
        for process in server.descendants():
            assert "sk-must-not-leak" not in str(process.environ()), process
        assert "sk-must-not-leak" not in server.log.read_text()


@pytest.mark.speech
@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_local_model_comes_and_goes_with_the_server(
    tmp_path: Path, number: signal.Signals
) -> None:
    with server_process(tmp_path, {"model_provider": "local"}) as server:
        status, answer = await server.post("/start_agent", start_body())
        assert status == 200, answer
        assert answer["timings_ms"]["model"] > 0
        status, ready = await server.get("/readyz")
        assert (status, ready["local_model"]) == (200, "ready")
        family = server.descendants()
        assert any("model" in one.cmdline() for one in family)
        server.signal(number)
        await asyncio.to_thread(server.wait)
        await until(lambda: all_gone(family))


def test_a_terminals_interrupt_reaches_the_server_only(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        asyncio.run(start(server, start_body()))
        own = os.getsid(server.process.pid)
        agents = [one for one in server.descendants() if os.getsid(one.pid) != own]
        assert len(agents) == 2, "the forkserver and its agent have left the terminal's session"


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} on 127.0.0.1 is in use"):
            open_listener("127.0.0.1", port)


@pytest.mark.parametrize("host", ["\u00e9" * 70, "\udce9", "nonsense value", "a..b"])
def test_a_host_that_no_resolver_takes_is_said_in_one_line(host: str) -> None:
    with pytest.raises(ServerError, match="cannot listen on"):
        open_listener(host, 0)


@pytest.mark.asyncio
async def test_an_open_server_does_not_leave_the_machine() -> None:
    with pytest.raises(ConfigError, match="API_KEYS"):
        await run_server(Settings(), "0.0.0.0", 0)


def test_the_leash_ends_an_orphan(tmp_path: Path) -> None:
    """A command on the leash of a parent that is not (any more) its own never runs."""
    marker = tmp_path / "ran"
    code = f"open({str(marker)!r}, 'w')"
    command = [sys.executable, "-m", "control.machine.prctl", "1", sys.executable, "-c", code]
    assert subprocess.run(command, cwd=ROOT, timeout=DEADLINE_S, check=False).returncode == 1
    assert not marker.exists()
    command[3] = str(os.getpid())
    assert subprocess.run(command, cwd=ROOT, timeout=DEADLINE_S, check=False).returncode == 0
    assert marker.exists()


def forkserver_of(server: ServerProcess) -> psutil.Process:
    """The process that the server's agents are forked by."""
    children = psutil.Process(server.process.pid).children()
    (found,) = (one for one in children if is_forkserver(one))
    return found


def is_forkserver(process: psutil.Process) -> bool:
    """Its forks have its command line, but not the lead of its session."""
    is_named = any("forkserver" in word for word in process.cmdline())
    return is_named and os.getsid(process.pid) == process.pid


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV])
async def test_a_lost_forkserver_costs_no_agent_and_is_followed_by_another(
    tmp_path: Path, number: signal.Signals
) -> None:
    with server_process(tmp_path) as server:
        pids = await start(server, start_body("one"), start_body("two"))
        lost = forkserver_of(server)
        lost.send_signal(number)
        # Waits for the next forkserver, if it has to.
        pids_after = await start(server, start_body("three"))
        assert pids_after[:1] + pids_after[2:] == pids
        assert not lost.is_running() or lost.status() == "zombie"
        assert forkserver_of(server).pid != lost.pid
        agents = (await server.get("/agents"))[1]["agents"]
        assert [one["restarts"] for one in agents] == [0, 0, 0]
        server.signal(signal.SIGINT)
        assert await asyncio.to_thread(server.wait) == 0


@pytest.mark.asyncio
async def test_an_agent_is_lost_while_there_is_no_forkserver(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        (pid,) = await start(server, start_body())
        os.kill(forkserver_of(server).pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        shown = await restarted(server, "demo")
        assert shown["pid"] not in (None, pid)


@pytest.mark.asyncio
async def test_a_hung_forkserver_is_reported_and_delays_no_stop(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        (pid,) = await start(server, start_body())
        hung = forkserver_of(server)
        hung.suspend()
        starting = asyncio.get_running_loop().create_task(
            server.post("/start_agent", start_body("late"))
        )
        await until_not_ready(server, "forkserver")
        async with asyncio.timeout(3):
            status, answer = await server.post("/stop_agent", {"channel_name": "late"})
        assert (status, answer["exit_reason"]) == (200, "stopped")
        assert (await starting)[1]["code"] == "stopped"
        forkserver_of(server).suspend()
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 0
        assert not psutil.pid_exists(pid)


async def until_not_ready(server: ServerProcess, word: str) -> None:
    """Until the server says that it cannot start agents, for this reason."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            status, told = await server.get("/readyz")
            if status == 503 and any(word in problem for problem in told["problems"]):
                return
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_kill_9_of_server_and_forkserver_leaves_no_agent(tmp_path: Path) -> None:
    """Agents that outlived their forkserver are the server's all the same, stuck ones too."""
    with server_process(
        tmp_path, {"local_model_uri": "ws://127.0.0.1:9", "warm_processes": 1}
    ) as server:
        await start(server, start_body("one"), start_body("hung", "hang"), start_body("stopped"))
        await hung(server, "hung")
        os.kill((await server.get("/agents/stopped"))[1]["pid"], signal.SIGSTOP)
        family = server.descendants()
        os.kill(forkserver_of(server).pid, signal.SIGKILL)
        server.signal(signal.SIGKILL)
        await asyncio.to_thread(server.wait)
        await until(lambda: all_gone(family))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("EAGAIN", "forkserver"),
        ("EAGAIN", "forker"),
        ("ENOMEM", "forkserver"),
        ("EMFILE", "forker"),
    ],
)
@pytest.mark.parametrize("warm", [0, 2])
async def test_a_fork_that_fails_costs_the_start_that_needs_it_and_nothing_else(
    tmp_path: Path, name: str, who: str, warm: int
) -> None:
    settings = {"local_model_uri": "ws://127.0.0.1:9", "warm_processes": warm}
    with server_process(tmp_path, settings) as server:
        pids = await start(server, start_body("one"), start_body("two"))
        parent = forkserver_of(server)
        refuse(tmp_path / "data", name, who)
        taken = 0
        # The pool is used up first.
        while (answered := await server.post("/start_agent", start_body(f"c{taken}")))[0] == 200:
            taken += 1
        status, answer = answered
        assert (status, answer["code"]) == (502, "start_failed")
        assert answer["details"][0]["cause"] == "no_process"
        assert os.strerror(getattr(errno, name)) in answer["error"]
        await until_not_ready(server, "forkserver")
        # A lost agent finds no process, for a while.
        os.kill(pids[0], signal.SIGKILL)
        allow(tmp_path / "data")
        await start(server, start_body("after"))
        await restarted_in_the_end(server, "one")
        agents = (await server.get("/agents"))[1]["agents"]
        assert [one["pid"] for one in agents if one["channel_name"] == "two"] == [pids[1]]
        assert forkserver_of(server).pid == parent.pid
        assert "Traceback" not in server.log.read_text()
        metrics = await scrape(server)
        assert f'parley_forks_refused_total{{errno="{name}"}}' in metrics
        assert "parley_forkserver_restarts_total 0.0" in metrics


async def restarted_in_the_end(server: ServerProcess, channel_name: str) -> None:
    """Return once the agent is ready again, however many processes it took."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            _, shown = await server.get(f"/agents/{channel_name}")
            if shown["restarts"] > 0 and shown["state"] == "ready":
                return
            await asyncio.sleep(0.05)


_HANGING = """
import asyncio, signal, sys
from types import SimpleNamespace
from control import run

async def hang(**_):
    print("stopping", flush=True)
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

async def main():
    run.FORCED_EXIT_S = 1
    supervisor = SimpleNamespace(kill_all=lambda: None)
    server = SimpleNamespace(stop=hang, supervisor=supervisor, webhooks=None, model=None)
    with run._recorded_signals() as signals:
        await run._stop(server, signals, should_drain=False)

asyncio.run(main())
"""


def test_whatever_hangs_two_signals_end_the_server() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HANGING], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == -signal.SIGALRM


def test_a_parent_that_ignores_its_children_is_no_trouble(tmp_path: Path) -> None:
    """As some service managers and shells do; what is ignored is inherited."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with server_process(tmp_path) as server:
            signal.signal(signal.SIGCHLD, before)
            asyncio.run(start(server, start_body()))
            status, answer = asyncio.run(server.post("/stop_agent", {"channel_name": "demo"}))
            assert (status, answer["exit_code"]) == (200, 0)
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
            assert "Traceback" not in server.log.read_text()
    finally:
        signal.signal(signal.SIGCHLD, before)
