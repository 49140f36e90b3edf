"""What reaches into aiortc; its paths are `ice_adapter`. A test fails loudly when they change.

- A receiver hands us each depayloaded packet on arrival: its own buffer would add 80 ms and its
  decoder a thread per peer.
- Loopback addresses become host candidates where the room is on this machine.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aioice.ice
from aiortc import RTCPeerConnection, RTCRtpCodecCapability, RTCRtpReceiver, RTCRtpTransceiver

_LOOPBACK: Final = "127.0.0.1"
_should_use_loopback: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "should_use_loopback", default=False
)


@dataclass(frozen=True)
class RtpPacket:
    """One received packet; `payload` is Opus, `timestamp` counts 1/48000 s."""

    ssrc: int
    sequence_number: int
    timestamp: int
    payload: bytes


class _PacketTap:
    """Stands where aiortc has its jitter buffer: passes packets on and never returns a frame."""

    def __init__(self, on_packet: Callable[[RtpPacket], None]) -> None:
        self._on_packet = on_packet

    def add(self, packet: Any) -> tuple[bool, None]:
        self._on_packet(
            RtpPacket(packet.ssrc, packet.sequence_number, packet.timestamp, packet._data)  # noqa: SLF001
        )
        return False, None


def tap_receiver(receiver: RTCRtpReceiver, on_packet: Callable[[RtpPacket], None]) -> None:
    """Pass every packet of `receiver` to `on_packet`. Call before the connection starts.

    Raises:
        RuntimeError: this aiortc is built otherwise than the one we know.
    """
    names = ("_RTCRtpReceiver__jitter_buffer", "_RTCRtpReceiver__decoder_queue")
    if missing := [name for name in names if not hasattr(receiver, name)]:
        raise RuntimeError(f"unknown aiortc: RTCRtpReceiver has no {', '.join(missing)}")
    setattr(receiver, names[0], _PacketTap(on_packet))
    # The end mark that waits already lets the decoder thread end as soon as it starts.
    getattr(receiver, names[1]).put(None)


def prefer_opus(transceiver: RTCRtpTransceiver) -> None:
    """Negotiate Opus only."""
    transceiver.setCodecPreferences(
        [RTCRtpCodecCapability(mimeType="audio/opus", clockRate=48_000, channels=2)]
    )


def use_loopback_candidates() -> None:
    """From now on, peer connections that this context opens offer 127.0.0.1 too."""
    if aioice.ice.get_host_addresses is not _host_addresses:
        aioice.ice.get_host_addresses = _host_addresses
    _should_use_loopback.set(True)


async def close_connection(connection: RTCPeerConnection) -> None:
    """Close, and wait for a handshake under way to notice: aiortc leaves it running for a moment."""
    transports = {t.receiver.transport.transport for t in connection.getTransceivers()}
    await connection.close()
    for transport in transports:
        if (started := getattr(transport, "_RTCIceTransport__start")) is not None:  # noqa: B009
            await started.wait()


_original_host_addresses = aioice.ice.get_host_addresses


def _host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    addresses = _original_host_addresses(use_ipv4, use_ipv6)
    if use_ipv4 and (_should_use_loopback.get() or not addresses):
        return [_LOOPBACK, *addresses]
    return addresses
