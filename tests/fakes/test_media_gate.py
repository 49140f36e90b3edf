"""The gate before a participant's media: what a shut one loses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass

import pytest
from aioice import stun

from tests.deadlines import DEADLINE_S
from tests.fakes.media_gate import Address, MediaGate, own_address

PORT = 29_340


@dataclass
class Inside:
    """The participant behind the gate, at its only port."""

    sock: socket.socket
    gate: MediaGate

    async def hears(self, stranger: socket.socket, datagram: bytes) -> Address:
        """It is what comes next; where from."""
        await _send(stranger, datagram, (self.gate.outer, PORT))
        heard, came_from = await _receive(self.sock)
        assert heard == datagram
        return came_from

    async def answers(self, stranger: socket.socket, to: Address, datagram: bytes) -> None:
        """It is what `stranger` gets next."""
        await _send(self.sock, datagram, to)
        assert (await _receive(stranger))[0] == datagram


def _check(user_name: str) -> bytes:
    """A connectivity check of the connection with that ICE user name."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = user_name
    return bytes(message)


def _bound(address: Address) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(address)
    return sock


async def _send(sock: socket.socket, datagram: bytes, to: Address) -> None:
    await asyncio.get_running_loop().sock_sendto(sock, datagram, to)


async def _receive(sock: socket.socket) -> tuple[bytes, Address]:
    async with asyncio.timeout(DEADLINE_S):
        datagram, came_from = await asyncio.get_running_loop().sock_recvfrom(sock, 2_000)
    return datagram, came_from


@asynccontextmanager
async def _gated() -> AsyncIterator[tuple[Inside, list[socket.socket]]]:
    """The participant and three strangers."""
    async with (
        MediaGate(own_address(2), own_address(9), (PORT, PORT)) as gate,
        AsyncExitStack() as stack,
    ):
        addresses = [(gate.inner, PORT), *[(own_address(3), 0)] * 3]
        inside, *strangers = (stack.enter_context(closing(_bound(one))) for one in addresses)
        yield Inside(inside, gate), strangers


@pytest.mark.asyncio
async def test_a_new_connection_gets_through_at_the_very_port_of_a_dead_one() -> None:
    async with _gated() as (inside, (old, second_way_of_old, new)):
        from_old = await inside.hears(old, _check("old:inside"))
        inside.gate.shut(present_only=True)
        for stranger, lost in ((old, b"sound"), (second_way_of_old, _check("old:inside"))):
            await _send(stranger, lost, (inside.gate.outer, PORT))
        await _send(inside.sock, b"an answer", from_old)
        # What was lost would come first: a socket of this machine keeps the order.
        from_new = await inside.hears(new, _check("new:inside"))
        await inside.answers(new, from_new, b"welcome")
        inside.gate.open()
        await inside.answers(old, from_old, b"back")
        assert inside.gate.lost == 3


@pytest.mark.asyncio
async def test_each_direction_is_shut_by_itself_until_the_gate_opens() -> None:
    async with _gated() as (inside, (old, new, _)):
        from_old = await inside.hears(old, b"hello")
        inside.gate.shut(outwards=False)
        for stranger in (old, new):
            await _send(stranger, b"lost", (inside.gate.outer, PORT))
        await inside.answers(old, from_old, b"still here")
        inside.gate.shut(inwards=False)
        await _send(inside.sock, b"lost", from_old)
        await inside.hears(old, b"anybody there?")
        inside.gate.open()
        await inside.answers(old, from_old, b"yes")
