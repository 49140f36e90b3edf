"""What the server and its forkserver say to each other: one packet a message, over a socket pair.

The forkserver says `READY` once. Then each request is answered by one answer of the same number.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_REQUEST: Final = struct.Struct("!IB")
_ANSWER: Final = struct.Struct("!Iii")
_MAX_REQUEST_BYTES: Final = 1024
_MAX_DESCRIPTORS: Final = 2

READY_NUMBER: Final = 0


class Wish(IntEnum):
    """What is asked for. LOOK: an answer; TRY: the forks of FORK, which
    end at once; FORK: an agent process."""

    LOOK = 0
    TRY = 1
    FORK = 2


@dataclass(frozen=True)
class Request:
    """descriptors: of FORK the process's end of its link and its file of stacks, in this order;
    entry: `module:name` of the agent's class
    """

    number: int
    wish: Wish
    entry: str = ""
    descriptors: Sequence[int] = ()


@dataclass(frozen=True)
class Answer:
    """pid: of the process that was forked; errno: why there is none, 0 for no failure"""

    number: int
    pid: int = 0
    errno: int = 0


READY: Final = Answer(READY_NUMBER)


def send_request(sock: socket.socket, request: Request) -> None:
    """Send it, with copies of its descriptors.

    Raises:
        OSError: the forkserver is gone, or takes no more (`BlockingIOError` where sock never waits).
    """
    packet = _REQUEST.pack(request.number, request.wish) + request.entry.encode()
    socket.send_fds(sock, [packet], list(request.descriptors))


def receive_request(sock: socket.socket) -> Request | None:
    """The next one; its descriptors are the caller's now. None when the server is gone.

    A descriptor that found no place in this process is missing from the request.

    Raises:
        OSError: the kernel has no memory for it.
    """
    packet, received, _, _ = socket.recv_fds(
        sock, _MAX_REQUEST_BYTES, _MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
    )
    if not packet:
        return None
    number, wish = _REQUEST.unpack_from(packet)
    return Request(number, Wish(wish), packet[_REQUEST.size :].decode(), received)


def close_all(descriptors: Sequence[int]) -> None:
    """Close each."""
    for descriptor in descriptors:
        os.close(descriptor)


def send_answer(sock: socket.socket, answer: Answer) -> None:
    """Send it.

    Raises:
        OSError: the server is gone.
    """
    sock.send(_ANSWER.pack(answer.number, answer.pid, answer.errno))


def receive_answer(sock: socket.socket) -> Answer | None:
    """The next one; None when the forkserver is gone.

    Raises:
        OSError: nothing to read (`BlockingIOError`), or no memory for it.
    """
    packet = sock.recv(_ANSWER.size)
    return Answer(*_ANSWER.unpack(packet)) if packet else None
