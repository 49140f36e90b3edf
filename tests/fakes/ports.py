"""Ports that stay free while nobody listens at them."""

from __future__ import annotations

import itertools
import os
import random
import re
import socket
from collections.abc import Iterator
from typing import Final

# Below those that the kernel gives to whoever asks for any.
_PORTS: Final = range(12_000, 28_000)
_LANES: Final = 8


def _lane(worker: str) -> Iterator[int]:
    """Ports of one of the processes among which tests are shared out, in an order of chance, over and over.

    Two processes never have the same one: what one of them leaves free, a server of the other would take.
    """
    number = int(re.sub(r"\D", "", worker) or 0)
    ports = [*_PORTS[number % _LANES :: _LANES]]
    random.Random(os.getpid()).shuffle(ports)
    return itertools.cycle(ports)


_ports: Final = _lane(os.environ.get("PYTEST_XDIST_WORKER", ""))


def lasting_port(host: str = "127.0.0.1") -> int:
    """A port of TCP and UDP that nobody gets by chance: a server can leave it, and come back."""
    while True:
        port = next(_ports)
        with (
            socket.socket(type=socket.SOCK_STREAM) as tcp,
            socket.socket(type=socket.SOCK_DGRAM) as udp,
        ):
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
            except OSError:
                continue
        return port
