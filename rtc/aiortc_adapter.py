"""Everything that reaches into aiortc and aioice. A test fails loudly when they change beneath.

- A receiver hands us each depayloaded packet on arrival: its own buffer would add 80 ms and its
  decoder a thread per peer.
- Loopback addresses become host candidates where the room is on this machine.
- mDNS candidates of browsers are ignored; the browser's checks reveal its address anyway.
"""

from __future__ import annotations

import contextvars
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aioice.ice
from aiortc import RTCRtpCodecCapability, RTCRtpReceiver, RTCRtpTransceiver

_LOOPBACK = "127.0.0.1"
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


_original_host_addresses = aioice.ice.get_host_addresses


def _host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    addresses = _original_host_addresses(use_ipv4, use_ipv6)
    if use_ipv4 and (_should_use_loopback.get() or not addresses):
        return [_LOOPBACK, *addresses]
    return addresses


_SECTION = re.compile(r"^m=(\S+)", re.MULTILINE)
_OPUS_MAP = re.compile(r"^a=rtpmap:(\d+) opus/48000/2\r\n", re.MULTILINE | re.IGNORECASE)
_MDNS = re.compile(r"^a=candidate:[^\r\n]*\.local [^\r\n]*\r?\n", re.MULTILINE)
_END = re.compile(r"^a=end-of-candidates\r?\n", re.MULTILINE)


def check_description(sdp: str) -> str:
    """A remote description without mDNS candidates.

    Raises:
        ValueError: not one audio section with Opus and at most one data channel section.
    """
    kinds = _SECTION.findall(sdp)
    if kinds.count("audio") != 1 or not set(kinds) <= {"audio", "application"} or len(kinds) > 2:
        raise ValueError("need one audio section, at most one data channel section, nothing else")
    if "opus/48000" not in sdp.lower():
        raise ValueError("need Opus in the audio section")
    stripped = _MDNS.sub("", sdp)
    # An address may still be learnt from the peer's checks, so this is not the end.
    return sdp if stripped == sdp else _END.sub("", stripped)


def has_data_channel(sdp: str) -> bool:
    """Whether a data channel section is in this description."""
    return "application" in _SECTION.findall(sdp)


def announce_opus_settings(sdp: str) -> str:
    """Our description, asking the peer for mono and in-band error correction."""
    if "useinbandfec" in sdp:
        return sdp
    return _OPUS_MAP.sub(
        lambda match: f"{match[0]}a=fmtp:{match[1]} minptime=10;useinbandfec=1;stereo=0\r\n", sdp
    )
