"""Hooks into aiortc's receiver and transports. A test fails when aiortc changes them.

A receiver hands us each depayloaded packet on arrival: its own buffer would add 80 ms and its decoder
a thread per peer. For aioice see `rtc.aiortc_hooks.ice`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from aiortc import RTCPeerConnection, RTCRtpCodecCapability, RTCRtpReceiver, RTCRtpTransceiver

from rtc.unexpected_errors import describe_unexpected, log_unexpected

_CONNECT: Final = "_RTCPeerConnection__connect"

_log = logging.getLogger(__name__)


class RtpPacket(NamedTuple):
    """One received packet; `payload` is Opus, `timestamp` counts 1/48000 s.

    arrived_s: loop time at which it came, if that was not just now
    is_silent: its sender says so, and who took the packets before it wanted none of such at once
    has_next: another one follows in the same step
    """

    ssrc: int
    sequence_number: int
    timestamp: int
    payload: bytes
    arrived_s: float | None = None
    is_silent: bool = False
    has_next: bool = False


PacketSink = Callable[[RtpPacket], int | None]
"""Takes a packet. Returns the audio level (RFC 6464) from which on the next packets are silence that may
wait for a moment before they are opened; None: each is wanted at once."""


class _PacketTap:
    """Stands where aiortc has its jitter buffer: passes packets on and never returns a frame."""

    def __init__(self, on_packet: PacketSink) -> None:
        self._on_packet = on_packet

    def add(self, packet: Any) -> tuple[bool, None]:
        try:
            self._on_packet(
                RtpPacket(packet.ssrc, packet.sequence_number, packet.timestamp, packet._data)  # noqa: SLF001
            )
        except Exception as error:  # noqa: BLE001 - whatever a packet brings about costs that packet
            log_unexpected(_log, "a voice packet", error)
        return False, None


def tap_receiver(receiver: RTCRtpReceiver, on_packet: PacketSink) -> None:
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


def set_payload_type(transceiver: RTCRtpTransceiver, payload_type: int) -> None:
    """Use the number that the other side gave to Opus: aiortc keeps to 96 and up."""
    for codec in transceiver._codecs:  # noqa: SLF001
        codec.payloadType = payload_type


def watch_connecting(connection: RTCPeerConnection, on_failed: Callable[[], None]) -> None:
    """Call `on_failed` when a handshake raises: aiortc runs it in a task without an owner.

    Raises:
        RuntimeError: this aiortc is built otherwise than the one we know.
    """
    if (connect := getattr(connection, _CONNECT, None)) is None:
        raise RuntimeError(f"unknown aiortc: RTCPeerConnection has no {_CONNECT}")

    async def watched() -> None:
        try:
            await connect()
        except Exception as error:  # noqa: BLE001 - the other side's bytes bring about any of them
            _log.warning("a connection could not be made: %s", describe_unexpected(error))
            on_failed()

    setattr(connection, _CONNECT, watched)


async def close_connection(connection: RTCPeerConnection) -> None:
    """Close, and wait for a handshake under way to notice: aiortc leaves it running for a moment."""
    transports = {t.receiver.transport.transport for t in connection.getTransceivers()}
    if (closed := getattr(connection, "_RTCPeerConnection__isClosed")) is None:  # noqa: B009
        await connection.close()
    else:
        # aiortc closes it already, the other side having gone. Who gives up to wait for that must not
        # cancel what it waits for: aiortc would not report that it is closed.
        await asyncio.wait([closed])
    for transport in transports:
        if (started := getattr(transport, "_RTCIceTransport__start")) is not None:  # noqa: B009
            await started.wait()
    # A handshake that succeeded while it closed has started them after they had been stopped.
    for transceiver in connection.getTransceivers():
        await transceiver.stop()
