"""Ports that stay free while nobody listens at them."""

from __future__ import annotations

import os
import random
import socket

# Below those that the kernel gives to whoever asks for any.
_PORTS = range(12_000, 28_000)
_random = random.Random(os.getpid())


def lasting_port(host: str = "127.0.0.1") -> int:
    """A port of TCP and UDP that nobody gets by chance: a server can leave it, and come back."""
    while True:
        port = _random.choice(_PORTS)
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
