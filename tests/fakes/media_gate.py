"""The network before one participant: media for it goes through a gate that can be shut.

The participant binds to an inner address and advertises the outer one, as behind a 1:1 NAT with a
range of open ports. Others cannot be reached from inside but where they came from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import Any

from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions

Address = tuple[str, int]

_MAX_DATAGRAM_BYTES = 65_535
_IN_USE_S = 1.2


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
        self._used_at_s: dict[int, float] = {}
        self._is_shut_in = False
        self._is_shut_out = False
        # Where it is shut; None: everywhere.
        self._shut_ports: frozenset[int] | None = None

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

    def shut(self, *, inwards: bool = True, outwards: bool = True, used_only: bool = False) -> None:
        """From now on datagrams are lost. used_only: at the ports that are in use now only."""
        self._is_shut_in, self._is_shut_out = inwards, outwards
        recently_s = time.monotonic() - _IN_USE_S
        used = frozenset(port for port, at_s in self._used_at_s.items() if at_s > recently_s)
        self._shut_ports = used if used_only else None

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
        if not self._loses(port, is_shut=self._is_shut_in):
            _send(private, datagram, (self.inner, port))

    def _handle_inner(self, port: int, stranger: Address, private: socket.socket) -> None:
        datagram, _ = private.recvfrom(_MAX_DATAGRAM_BYTES)
        if not self._loses(port, is_shut=self._is_shut_out):
            _send(self._public[port], datagram, stranger)

    def _loses(self, port: int, *, is_shut: bool) -> bool:
        self._used_at_s[port] = time.monotonic()
        is_lost = is_shut and (self._shut_ports is None or port in self._shut_ports)
        self.lost += is_lost
        return is_lost


def _socket(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, port))
    return sock


def _send(sock: socket.socket, datagram: bytes, address: Address) -> None:
    # A full buffer or a closed port is a lost datagram.
    with contextlib.suppress(OSError):
        sock.sendto(datagram, address)
