"""Hook of a bad network into one connection: between its socket and everything that reads or writes.

`tests/rtc/aiortc_hooks/test_impaired_path.py` fails when what this relies on changes.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pylibsrtp
from aioice import ice
from aiortc import RTCPeerConnection

from rtc.aiortc_hooks.run_sync import run_without_suspending
from rtc.bad_network import BadNetwork

OUT, IN = 0, 1


def impair_path(connection: RTCPeerConnection, inner: ice.Connection, network: BadNetwork) -> None:
    """Let media of `connection` pass through `network`, both ways. Call after all other hooks.

    Raises:
        RuntimeError: this aiortc is built otherwise than the one we know.
    """
    transport: Any = connection.getTransceivers()[0].receiver.transport.transport
    if getattr(transport, "_send", None) is None:
        raise RuntimeError("unknown aiortc: RTCIceTransport has no _send")
    send, take = transport._send, inner.data_received  # noqa: SLF001

    async def send_through(data: bytes) -> None:
        if not network.is_affected(data):
            await send(data)
            return

        def deliver() -> None:
            # A delayed packet may find the connection closed.
            with contextlib.suppress(ConnectionError, pylibsrtp.Error):
                run_without_suspending(send(data))

        network.carry(OUT, data, deliver)

    def take_through(data: bytes, component: int) -> None:
        if network.is_affected(data):
            network.carry(IN, data, lambda: take(data, component))
        else:
            take(data, component)

    transport._send = send_through  # noqa: SLF001
    vars(inner)["data_received"] = take_through
