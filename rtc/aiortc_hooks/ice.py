"""Hooks into aioice: our candidate gathering and our path checks in place of its own.

`tests/rtc/aiortc_hooks/test_ice.py` fails loudly when a new aioice changes beneath.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aioice import ice, stun
from aiortc import RTCPeerConnection

from rtc.aiortc_hooks.ice_gathering import IceGatherer
from rtc.options import MediaOptions
from rtc.signaling.candidates import MAX_REMOTE_CANDIDATES
from rtc.signaling.protocol import IceServer

MAX_KNOWN_ADDRESSES: Final = 2 * MAX_REMOTE_CANDIDATES
"""Of the other side: those that it named, and those that its checks came from."""

_NAMES: Final = (
    *("get_component_candidates", "query_consent", "build_request", "check_incoming"),
    *("_nominated", "_protocols", "_remote_candidates"),
)


def adapt_ice(
    connection: RTCPeerConnection, media: MediaOptions, ice_servers: Sequence[IceServer]
) -> ice.Connection:
    """Gather by `media`, leave the watching of the path to `path_probe`; what is to be watched.

    Addresses that checks come from are learnt up to `MAX_KNOWN_ADDRESSES`: each is asked back.

    Call once, after the first transceiver was added.

    Raises:
        RuntimeError: this aiortc or aioice is built otherwise than those we know.
    """
    transport = connection.getTransceivers()[0].receiver.transport.transport
    inner = getattr(transport, "_connection", None)
    if missing := [name for name in _NAMES if not hasattr(inner, name)]:
        raise RuntimeError(f"unknown aioice: Connection has no {', '.join(missing)}")
    assert isinstance(inner, ice.Connection)
    vars(inner)["get_component_candidates"] = IceGatherer(inner, media, ice_servers).gather
    vars(inner)["query_consent"] = _leave_consent_to_us
    vars(inner)["check_incoming"] = _BoundedChecks(inner).check_incoming
    return inner


class _BoundedChecks:
    """Stands in for `check_incoming`, which keeps each address that a check has come from."""

    def __init__(self, inner: ice.Connection) -> None:
        self._inner: Any = inner
        self._check_incoming = inner.check_incoming

    def check_incoming(
        self, message: stun.Message, address: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        """Take a check that was answered."""
        known = self._inner._remote_candidates  # noqa: SLF001
        if len(known) < MAX_KNOWN_ADDRESSES or any(
            (one._network_host, one.port) == address  # noqa: SLF001
            for one in known
        ):
            self._check_incoming(message, address, protocol)


async def _leave_consent_to_us() -> None:
    """aioice wants a task of its own; ours has an owner that ends it."""
