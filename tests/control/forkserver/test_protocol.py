"""Packets between server and forkserver, over a real socket pair."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from control.forkserver.protocol import (
    READY,
    Answer,
    Request,
    RequestKind,
    close_all,
    receive_answer,
    receive_request,
    send_answer,
    send_request,
)

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    server, forkserver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with server, forkserver:
        yield server, forkserver


def test_a_request_arrives_with_copies_of_its_descriptors(ends: Ends) -> None:
    server, forkserver = ends
    reading, writing = os.pipe()
    send_request(server, Request(7, RequestKind.FORK, "module:Name", (reading, writing)))
    close_all((reading, writing))
    received = receive_request(forkserver)
    assert received is not None
    assert (received.number, received.kind, received.entry) == (7, RequestKind.FORK, "module:Name")
    own_reading, own_writing = received.descriptors
    os.write(own_writing, b"through")
    assert os.read(own_reading, 16) == b"through"
    assert not os.get_inheritable(own_reading)
    close_all(received.descriptors)


@pytest.mark.parametrize("kind", [RequestKind.PING, RequestKind.TEST_FORK])
def test_a_request_without_descriptors_arrives_as_sent(ends: Ends, kind: RequestKind) -> None:
    server, forkserver = ends
    send_request(server, Request(1, kind))
    assert receive_request(forkserver) == Request(1, kind, "", [])


@pytest.mark.parametrize("answer", [READY, Answer(5, pid=123), Answer(6, errno=11)])
def test_an_answer_arrives_as_sent(ends: Ends, answer: Answer) -> None:
    server, forkserver = ends
    send_answer(forkserver, answer)
    assert receive_answer(server) == answer


def test_each_side_notices_that_the_other_is_gone(ends: Ends) -> None:
    server, forkserver = ends
    server.close()
    assert receive_request(forkserver) is None
    with pytest.raises(OSError, match="Broken pipe"):
        send_answer(forkserver, READY)
    forkserver.close()
    other, gone = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with other:
        gone.close()
        assert receive_answer(other) is None


def send_many(server: socket.socket) -> None:
    for number in range(100_000):
        send_request(server, Request(number, RequestKind.PING))


def test_a_full_queue_raises_instead_of_waiting(ends: Ends) -> None:
    server, _ = ends
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        send_many(server)
