"""Where we step into aioice: our gathering and our path checks in the place of its own.

`tests/rtc/test_ice_adapter.py` fails loudly when a new aioice changes beneath.
"""

from __future__ import annotations

from collections.abc import Sequence

from aioice import ice
from aiortc import RTCPeerConnection

from rtc.ice_gathering import IceGatherer
from rtc.options import MediaOptions
from rtc.signals import IceServer

_NAMES = ("get_component_candidates", "query_consent", "build_request", "_nominated", "_protocols")


def adapt_ice(
    connection: RTCPeerConnection, media: MediaOptions, ice_servers: Sequence[IceServer]
) -> ice.Connection:
    """Gather by `media`, leave the watching of the path to `path_probe`; what is to be watched.

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
    return inner


async def _leave_consent_to_us() -> None:
    """aioice wants a task of its own; ours has an owner that ends it."""
