"""Outputs whose reader is stuck, gone, or a full disk, as a program finds them at its start."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

KINDS = ("stuck pipe", "stuck socket", "broken pipe", "broken socket", "full disk")


@contextmanager
def bad_output(kind: str) -> Iterator[int]:
    """A blocking descriptor that takes not a byte."""
    with contextlib.ExitStack() as stack:
        yield _OPENERS[kind](stack)


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


def _pipe(stack: contextlib.ExitStack, *, is_read: bool) -> int:
    reader, writer = os.pipe()
    stack.callback(os.close, writer)
    if is_read:
        stack.callback(os.close, reader)
        fill(writer)
    else:
        os.close(reader)
    return writer


def _socket(stack: contextlib.ExitStack, *, is_read: bool) -> int:
    ours, theirs = socket.socketpair()
    stack.enter_context(theirs)
    if is_read:
        stack.enter_context(ours)
        with contextlib.suppress(BlockingIOError):
            while True:
                theirs.send(bytes(4_096), socket.MSG_DONTWAIT)
        with contextlib.suppress(BlockingIOError):
            while True:
                theirs.send(b"\n", socket.MSG_DONTWAIT)
    else:
        ours.close()
    return theirs.fileno()


def _full_disk(stack: contextlib.ExitStack) -> int:
    fd = os.open("/dev/full", os.O_WRONLY)
    stack.callback(os.close, fd)
    return fd


_OPENERS: dict[str, Callable[[contextlib.ExitStack], int]] = {
    "stuck pipe": lambda stack: _pipe(stack, is_read=True),
    "stuck socket": lambda stack: _socket(stack, is_read=True),
    "broken pipe": lambda stack: _pipe(stack, is_read=False),
    "broken socket": lambda stack: _socket(stack, is_read=False),
    "full disk": _full_disk,
}
