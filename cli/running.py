"""The parts that commands share: their errors, their event loop, and signals that end them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from utils import sole_cause

T = TypeVar("T")

WRONG_APP: Final = 2
"""Exit code for an owner's app that cannot be loaded."""


class CommandError(Exception):
    """A command failed; the text is what its user sees, one line if possible."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine`; unwrap an exception group that holds a single error."""
    try:
        return asyncio.run(coroutine)
    except BaseExceptionGroup as group:
        raise sole_cause(group) from group.__cause__


def listening_socket(
    options: argparse.Namespace, what: str, host: str = "127.0.0.1"
) -> socket.socket:
    """Return the socket of `--fd`, or a new one at `--port` of `host`.

    Raises:
        CommandError: the address cannot be had.
    """
    try:
        if options.fd is not None:
            return socket.socket(fileno=options.fd)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, options.port), family=family)
    except (OSError, OverflowError) as error:
        raise CommandError(f"cannot listen for the {what}: {error}") from error


def log_near_misses(options: argparse.Namespace) -> None:
    """Warn of variables that are spelled almost like settings (`main` collects them)."""
    for line in options.near_misses:
        logging.getLogger("settings").warning(line)


@contextlib.contextmanager
def stop_on_signal(stop: Callable[[], Any]) -> Iterator[None]:
    """Call `stop` on the first SIGINT or SIGTERM; a second one ends the process."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def handle() -> None:
        for other in numbers:
            loop.remove_signal_handler(other)
        stop()

    for number in numbers:
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
