"""`run_server`: one control server from its listening socket to its stop by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Iterator
from typing import Final

from config.settings import Settings
from control.child.entry import DEFAULT_ENTRY
from control.child.environment import scrub_environment
from control.machine.prctl import make_undumpable
from control.readiness import require_startable
from control.server import BACKLOG, ControlServer, ServerError
from control.service_manager import ServiceManager
from control.supervisor.stop_sequence import DEFAULT_DEADLINES, Deadlines
from logs import say
from utils import run_unless

LOADING_S: Final = 20.0
"""Time for the local model to load before the terminal shows what the server waits for."""

# Between two looks at the readiness during the start.
_POLL_S: Final = 0.1

FORCED_EXIT_S: Final = 10
"""Deadline for the exit after a second signal; then SIGALRM ends the process."""

_log = logging.getLogger("control.server")


def open_listener(host: str, port: int) -> socket.socket:
    """Return a bound, listening socket.

    Raises:
        ServerError: the address cannot be used.
    """
    try:
        host.encode("idna")
    except UnicodeError as error:
        # `socket` would raise a TypeError for it.
        raise ServerError(f"cannot listen on {host!a}: not a host name") from error
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} on {host} is in use: stop that program or choose another port"
        else:
            text = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise ServerError(text) from error
    except OverflowError as error:
        raise ServerError(f"port {port} is out of range: 0 to 65535") from error


@contextlib.contextmanager
def _recorded_signals() -> Iterator[asyncio.Queue[signal.Signals]]:
    """Queue SIGTERM and SIGINT as they arrive; the handler does nothing else."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, signals.put_nowait, number)
    try:
        yield signals
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def run_server(
    settings: Settings,
    host: str,
    port: int,
    *,
    agent_entry: str = DEFAULT_ENTRY,
    deadlines: Deadlines = DEFAULT_DEADLINES,
    should_reload: bool = False,
) -> None:
    """Serve until a signal.

    SIGTERM drains: calls may go on for `drain_deadline_s`, then agents speak their goodbye and stop.
    SIGINT stops agents gracefully now. A second signal kills all processes.

    Prints one line with the URL when it is ready, and before that what it waits for if that takes
    long. The process's environment is scrubbed for good: `settings` has all that is needed, and no
    child may inherit a secret. A service manager that asked for it is told of start, readiness and stop.

    should_reload: load the owner's app again when its files change; wait for a broken one to be mended

    Raises:
        AppFailedError: the owner's app cannot be loaded.
        ConfigError: `host` needs credentials that are not configured, or something that the settings
            name cannot be used.
        ServerError: the address is in use, or no processes can be started.
    """
    require_startable(settings, host)
    manager = ServiceManager.from_environment(os.environ)
    # Inherited as ignored from some parents; the kernel would then discard the exit codes of children.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    scrub_environment()
    try:
        make_undumpable()
    except OSError as error:
        _log.warning("other processes of this user may read the server's memory: %s", error)
    with open_listener(host, port) as listener, _recorded_signals() as signals:
        server = ControlServer(
            settings,
            listener,
            agent_entry=agent_entry,
            deadlines=deadlines,
            should_reload=should_reload,
        )
        first = None
        try:
            first = await _serve(server, signals, manager)
        finally:
            manager.notify(STOPPING=1, STATUS=_stop_text(settings, first))
            await _stop(server, signals, should_drain=first is signal.SIGTERM)


async def _serve(
    server: ControlServer, signals: asyncio.Queue[signal.Signals], manager: ServiceManager
) -> signal.Signals:
    """Start and serve until the first signal, which may come during the start; return it."""
    async with asyncio.TaskGroup() as group:
        first = group.create_task(signals.get())
        watchdog = group.create_task(manager.feed_watchdog())
        await run_unless(first, server.start())
        if not first.done():
            manager.notify(READY=1, STATUS="serving, not ready for agents yet")
            await run_unless(first, _announce_ready(server, manager))
        _log.info("%s: stopping", (await first).name)
        watchdog.cancel()
    return first.result()


def _stop_text(settings: Settings, first: signal.Signals | None) -> str:
    if first is signal.SIGTERM:
        return f"draining: calls may go on for {settings.drain_deadline_s:g} s"
    return "stopping"


async def _announce_ready(server: ControlServer, manager: ServiceManager) -> None:
    """Print the URL when the server is ready; if that takes longer than `LOADING_S` or a problem
    needs an administrator, print what is missing first.
    """
    loop = asyncio.get_running_loop()
    loading_deadline_s = loop.time() + LOADING_S
    while server.is_loading and loop.time() < loading_deadline_s:  # noqa: ASYNC110 - readiness has many sources and no event
        await asyncio.sleep(_POLL_S)
    if problems := server.readiness().problems:
        say(f"Parley is not ready: {server.url}")
        for problem in problems:
            say(f"  {problem}")
    while server.readiness().problems:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)
    say(f"Parley is ready: {server.url}")
    manager.notify(STATUS=f"ready: {server.url}")


async def _stop(
    server: ControlServer, signals: asyncio.Queue[signal.Signals], *, should_drain: bool
) -> None:
    """Stop the server; on another signal kill all of its processes."""
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(server.stop(should_drain=should_drain))
        second_signal = group.create_task(signals.get())
        await asyncio.wait({stopping, second_signal}, return_when=asyncio.FIRST_COMPLETED)
        if second_signal.done():
            _log.warning("%s while stopping: killing all processes", second_signal.result().name)
            # If anything hangs from here on, SIGALRM ends this process, and the death signal its children.
            signal.alarm(FORCED_EXIT_S)
            server.supervisor.kill_all()
            if server.webhooks is not None:
                server.webhooks.give_up()
            if server.model is not None:
                server.model.kill()
        second_signal.cancel()
