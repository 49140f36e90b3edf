"""Outputs whose reader is stuck, gone, or a full disk, as a program finds them at its start."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

KINDS = ("stuck pipe", "stuck socket", "broken pipe", "broken socket", "full disk")


@dataclass
class BadOutput:
    """fd: blocking, and takes not a byte; release: ends the wait of whoever is stuck in it."""

    fd: int
    release: Callable[[], None]


@contextmanager
def bad_output(kind: str) -> Iterator[BadOutput]:
    """Open until the end of the block; whoever writes from a thread has to end before it."""
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(contextlib.ExitStack())
        fd = _OPENERS[kind](stack, reader)
        yield BadOutput(fd, reader.close)
        reader.close()


def fill(fd: int) -> None:
    """Write to a pipe until it takes no more, without changing what others share."""
    own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(own, bytes(4_096))
    os.close(own)


def is_blocking(fd: int) -> bool:
    """As the program that gave it left it."""
    return not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK


def _pipe(stack: contextlib.ExitStack, reading: contextlib.ExitStack) -> int:
    reader, writer = os.pipe()
    stack.callback(os.close, writer)
    reading.callback(os.close, reader)
    fill(writer)
    return writer


def _broken_pipe(stack: contextlib.ExitStack, reading: contextlib.ExitStack) -> int:
    reader, writer = os.pipe()
    stack.callback(os.close, writer)
    os.close(reader)
    return writer


def _socket(stack: contextlib.ExitStack, reading: contextlib.ExitStack) -> int:
    ours, theirs = socket.socketpair()
    stack.enter_context(theirs)
    reading.enter_context(ours)
    for size in (4_096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                theirs.send(bytes(size), socket.MSG_DONTWAIT)
    return theirs.fileno()


def _broken_socket(stack: contextlib.ExitStack, reading: contextlib.ExitStack) -> int:
    ours, theirs = socket.socketpair()
    stack.enter_context(theirs)
    ours.close()
    return theirs.fileno()


def _full_disk(stack: contextlib.ExitStack, reading: contextlib.ExitStack) -> int:
    fd = os.open("/dev/full", os.O_WRONLY)
    stack.callback(os.close, fd)
    return fd


_OPENERS: dict[str, Callable[[contextlib.ExitStack, contextlib.ExitStack], int]] = {
    "stuck pipe": _pipe,
    "stuck socket": _socket,
    "broken pipe": _broken_pipe,
    "broken socket": _broken_socket,
    "full disk": _full_disk,
}
