"""`run_server`: one control server from its listening socket to its end, which a signal asks for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Iterator
from typing import Final

from config import Settings
from control.processes.child import DEFAULT_ENTRY
from control.processes.environment import scrub_environment
from control.processes.hardening import forbid_peeking
from control.processes.ladder import DEFAULT_DEADLINES, Deadlines
from control.readiness import require_startable
from control.server import BACKLOG, ControlServer, ServerError
from logs import say
from utils import run_unless

LOADING_S: Final = 20.0
"""How long the local model may load before people are told what is waited for."""

_POLL_S: Final = 0.1

HURRY_S: Final = 10
"""What a server may take to end after its second signal; then it is ended by SIGALRM."""

_log = logging.getLogger("control.server")


def open_listener(host: str, port: int) -> socket.socket:
    """A bound socket.

    Raises:
        ServerError: the address cannot be had.
    """
    try:
        host.encode("idna")
    except UnicodeError as error:
        # No resolver can be asked for it, and the socket would say so with a TypeError.
        raise ServerError(f"cannot listen on {host!a}: it is no name of a host") from error
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
    """SIGTERM and SIGINT as they come; the handler does nothing but record."""
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
) -> None:
    """Serve until a signal. SIGTERM drains: calls may go on for `drain_deadline_s`, then agents are
    ended with their goodbyes. SIGINT ends them gracefully now. A second signal ends at once.

    Prints one line with the URL when it is ready, and before that what it waits for if that takes
    long. The environment is scrubbed for good: `settings` has what matters, and no child shall inherit
    a secret.

    Raises:
        ConfigError: `host` needs credentials that are not configured, or what settings name cannot
            be used.
        ServerError: the address is taken, or no processes can be started.
    """
    require_startable(settings, host)
    # Some parents have us ignore it; then the kernel would keep no child's exit code for us.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    scrub_environment()
    forbid_peeking()
    with open_listener(host, port) as listener, _recorded_signals() as signals:
        server = ControlServer(settings, listener, agent_entry=agent_entry, deadlines=deadlines)
        first = None
        try:
            first = await _serve(server, signals)
        finally:
            await _stop(server, signals, is_patient=first is signal.SIGTERM)


async def _serve(server: ControlServer, signals: asyncio.Queue[signal.Signals]) -> signal.Signals:
    """Start and serve until the first signal, which may come at any time; returns it."""
    async with asyncio.TaskGroup() as group:
        first = group.create_task(signals.get())
        await run_unless(first, server.start())
        if not first.done():
            await run_unless(first, _say_ready(server))
        _log.info("%s: stopping", (await first).name)
    return first.result()


async def _say_ready(server: ControlServer) -> None:
    """Say where the server is, and that it is ready, when it is; if that takes longer or needs
    somebody to do something, say what is missing.
    """
    loop = asyncio.get_running_loop()
    patient_until_s = loop.time() + LOADING_S
    while server.is_loading and loop.time() < patient_until_s:  # noqa: ASYNC110 - many may change it
        await asyncio.sleep(_POLL_S)
    if problems := server.readiness().problems:
        say(f"Parley is not ready: {server.url}")
        for problem in problems:
            say(f"  {problem}")
    while server.readiness().problems:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)
    say(f"Parley is ready: {server.url}")


async def _stop(
    server: ControlServer, signals: asyncio.Queue[signal.Signals], *, is_patient: bool
) -> None:
    """Stop; should another signal come meanwhile, kill."""
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(server.stop(is_patient=is_patient))
        impatience = group.create_task(signals.get())
        await asyncio.wait({stopping, impatience}, return_when=asyncio.FIRST_COMPLETED)
        if impatience.done():
            _log.warning("%s again: ending at once", impatience.result().name)
            # Whatever hangs from here on, the kernel ends us, and with us all that is tied to us.
            signal.alarm(HURRY_S)
            server.supervisor.kill_all()
            if server.webhooks is not None:
                server.webhooks.give_up()
            if server.model is not None:
                server.model.kill()
        impatience.cancel()
