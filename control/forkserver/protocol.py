"""Protocol between server and forkserver: one packet per message over a SOCK_SEQPACKET pair.

A forkserver with an app first sends what the app prints and a report about it, in `Part`s. Every one
sends `READY` once. After that, each request gets one answer with the same number.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

# Number and kind; the entry follows as text.
_REQUEST: Final = struct.Struct("!IB")
# Number, pid and errno.
_ANSWER: Final = struct.Struct("!Iii")
_MAX_REQUEST_BYTES: Final = 1024
_MAX_DESCRIPTORS: Final = 2

# Number of the first, unrequested answer.
READY_NUMBER: Final = 0
# Number of a packet that is a part, whose kind stands in place of a pid; its data follow.
_PART_NUMBER: Final = 0xFFFF_FFFF
MAX_PART_BYTES: Final = 32 * 1024

_REMEDIES: Final = {
    errno.EAGAIN: "process limit reached: RLIMIT_NPROC, or pids.max of the control group",
    errno.ENOMEM: "no memory for another process",
    errno.EMFILE: "no descriptors left: RLIMIT_NOFILE",
}


class RequestKind(IntEnum):
    """Kind of a request.

    PING: an answer only. TEST_FORK: the same forks as FORK, which exit at once. FORK: an agent
    process.
    """

    PING = 0
    TEST_FORK = 1
    FORK = 2


@dataclass(frozen=True)
class Request:
    """Request of the server.

    entry: `module:name` of the agent's class.
    descriptors: for FORK the process's end of its link and its stack file, in this order.
    """

    number: int
    kind: RequestKind
    entry: str = ""
    descriptors: Sequence[int] = ()


@dataclass(frozen=True)
class Answer:
    """Answer of the forkserver. pid: of the forked process; errno: of a failed fork, otherwise 0."""

    number: int
    pid: int = 0
    errno: int = 0


READY: Final = Answer(READY_NUMBER)


class PartKind(IntEnum):
    """Kind of a part. OUTPUT: a line that the app printed; REPORT: of the JSON text about the app."""

    OUTPUT = 0
    REPORT = 1


@dataclass(frozen=True)
class Part:
    """Unrequested data of the forkserver, at most `MAX_PART_BYTES`."""

    kind: PartKind
    data: bytes


def send_request(sock: socket.socket, request: Request) -> None:
    """Send a request with copies of its descriptors.

    Raises:
        OSError: the forkserver is gone, or its queue is full (`BlockingIOError` if `sock` is
            non-blocking).
    """
    packet = _REQUEST.pack(request.number, request.kind) + request.entry.encode()
    socket.send_fds(sock, [packet], list(request.descriptors))


def receive_request(sock: socket.socket) -> Request | None:
    """Return the next request, or None when the server is gone. The caller owns its descriptors.

    Descriptors beyond this process's limit are missing from the request.

    Raises:
        OSError: the kernel is out of memory.
    """
    packet, received, _, _ = socket.recv_fds(sock, _MAX_REQUEST_BYTES, _MAX_DESCRIPTORS)
    # Not by MSG_CMSG_CLOEXEC: `recv_fds` ignores its flags (CPython 3.11 to 3.13).
    for descriptor in received:
        os.set_inheritable(descriptor, False)
    if not packet:
        return None
    number, kind = _REQUEST.unpack_from(packet)
    return Request(number, RequestKind(kind), packet[_REQUEST.size :].decode(), received)


def close_all(descriptors: Sequence[int]) -> None:
    """Close each descriptor."""
    for descriptor in descriptors:
        os.close(descriptor)


def send_answer(sock: socket.socket, answer: Answer) -> None:
    """Send an answer.

    Raises:
        OSError: the server is gone.
    """
    sock.send(_ANSWER.pack(answer.number, answer.pid, answer.errno))


def send_report(sock: socket.socket, report: bytes) -> None:
    """Send the report about the app, in as many parts as it needs.

    Raises:
        OSError: the server is gone.
    """
    for start in range(0, len(report), MAX_PART_BYTES):
        send_part(sock, Part(PartKind.REPORT, report[start : start + MAX_PART_BYTES]))


def send_part(sock: socket.socket, part: Part) -> None:
    """Send a part; data beyond `MAX_PART_BYTES` are cut.

    Raises:
        OSError: the server is gone.
    """
    sock.send(_ANSWER.pack(_PART_NUMBER, part.kind, 0) + part.data[:MAX_PART_BYTES])


def receive_answer(sock: socket.socket) -> Answer | Part | None:
    """Return the next answer or part; None when the forkserver is gone.

    Raises:
        OSError: nothing to read (`BlockingIOError`), or the kernel is out of memory.
    """
    packet = sock.recv(_ANSWER.size + MAX_PART_BYTES)
    if not packet:
        return None
    number, pid, error_number = _ANSWER.unpack_from(packet)
    if number == _PART_NUMBER:
        return Part(PartKind(pid), packet[_ANSWER.size :])
    return Answer(number, pid, error_number)


def fork_error(number: int) -> OSError:
    """Return the error of a failed fork; its text names the limit to raise, if known."""
    text = f"cannot fork a process: {os.strerror(number)}"
    if number in _REMEDIES:
        text += f" ({_REMEDIES[number]})"
    return OSError(number, text)
