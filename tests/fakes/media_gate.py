"""The network before one participant: media for it goes through a gate that can be shut.

The participant binds to an inner address and advertises the outer one, as behind a 1:1 NAT with a
range of open ports. Others cannot be reached from inside but where they came from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Any

from aioice import stun

from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions

Address = tuple[str, int]

_MAX_DATAGRAM_BYTES = 65_535
# How a STUN binding request begins.
_CHECK = b"\0\1"


def own_address(number: int) -> str:
    """A loopback address that no other test process on this machine uses."""
    pid = os.getpid()
    return f"127.{1 + pid % 254}.{pid // 254 % 254}.{number}"


class MediaGate:
    """Forwards between `outer` and `inner`, port by port. Open it with `async with`."""

    def __init__(self, inner: str, outer: str, ports: tuple[int, int]) -> None:
        self.inner, self.outer, self.ports = inner, outer, ports
        self.lost = 0
        self._public: dict[int, socket.socket] = {}
        # One socket for each stranger at each port; the participant sees its address.
        self._private: dict[tuple[int, Address], socket.socket] = {}
        self._is_shut_in = False
        self._is_shut_out = False
        # The ICE user name of each connection, by the ways on which its checks came.
        self._names: dict[tuple[int, Address], str] = {}
        # For which connections it is shut; None: for all.
        self._shut_names: frozenset[str] | None = None

    @property
    def media(self) -> dict[str, Any]:
        """Settings of the participant behind it."""
        return {
            "bind_address": self.inner,
            "ports": self.ports,
            "advertised_address": self.outer,
        }

    @property
    def options(self) -> MediaOptions:
        """The same, for a channel."""
        return MediaOptions(has_loopback=False, network=MediaNetwork(**self.media))

    def shut(
        self, *, inwards: bool = True, outwards: bool = True, present_only: bool = False
    ) -> None:
        """From now on datagrams are lost. present_only: those of the connections of now, on whichever
        way; a new one gets through, also at a port that one of them had.
        """
        self._is_shut_in, self._is_shut_out = inwards, outwards
        self._shut_names = frozenset(self._names.values()) if present_only else None

    def open(self) -> None:
        """Everything gets through again."""
        self._is_shut_in = self._is_shut_out = False

    async def __aenter__(self) -> MediaGate:
        first, last = self.ports
        for port in range(first, last + 1):
            public = self._public[port] = _socket(self.outer, port)
            self._read(public, self._handle_outer, port, public)
        return self

    async def __aexit__(self, *_: object) -> None:
        for sock in (*self._public.values(), *self._private.values()):
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def _read(self, sock: socket.socket, *call: Any) -> None:
        asyncio.get_running_loop().add_reader(sock, *call)

    def _handle_outer(self, port: int, public: socket.socket) -> None:
        datagram, stranger = public.recvfrom(_MAX_DATAGRAM_BYTES)
        if (private := self._private.get((port, stranger))) is None:
            private = self._private[port, stranger] = _socket(self.outer, 0)
            self._read(private, self._handle_inner, port, stranger, private)
        if (name := _read_name(datagram)) is not None:
            self._names[port, stranger] = name
        if not self._loses((port, stranger), is_shut=self._is_shut_in):
            _send(private, datagram, (self.inner, port))

    def _handle_inner(self, port: int, stranger: Address, private: socket.socket) -> None:
        datagram, _ = private.recvfrom(_MAX_DATAGRAM_BYTES)
        if not self._loses((port, stranger), is_shut=self._is_shut_out):
            _send(self._public[port], datagram, stranger)

    def _loses(self, path: tuple[int, Address], *, is_shut: bool) -> bool:
        is_meant = self._shut_names is None or self._names.get(path) in self._shut_names
        is_lost = is_shut and is_meant
        self.lost += is_lost
        return is_lost


def _read_name(datagram: bytes) -> str | None:
    """The ICE user name in a connectivity check; None: this is none."""
    if datagram[:2] != _CHECK:
        return None
    name = stun.parse_message(datagram).attributes.get("USERNAME")
    return None if name is None else str(name)


def _socket(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, port))
    return sock


def _send(sock: socket.socket, datagram: bytes, address: Address) -> None:
    # A full buffer or a closed port is a lost datagram.
    with contextlib.suppress(OSError):
        sock.sendto(datagram, address)
