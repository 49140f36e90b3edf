"""Fast path of received RTP: decrypted and handed on in the loop iteration in which it arrives.

aioice puts every datagram into a queue, and a task of aiortc takes it out in the loop's next round;
fifty times a second that is a good part of what listening costs. Only RTP goes the short way, and only
while nothing waits on the long one. While the reader says so, packets that their sender calls silent are
kept unopened for a moment, and opened in batches: waking up with cold caches for each is what costs.
`tests/rtc/aiortc_hooks/test_rtp_fast_path.py` fails when what this relies
on changes.

Datagrams are a stranger's until they are decrypted, and may be anything afterwards: one that cannot be
read is left out, whoever sent it, and neither way collects them without bound.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

import pylibsrtp
from aioice import ice
from aiortc import RTCRtpReceiver
from aiortc.rtcdtlstransport import State
from aiortc.rtp import is_rtcp

from line.timing import HOLD_PACKETS, HOLD_S
from rtc.aiortc_hooks.receiver import PacketSink, RtpPacket
from rtc.aiortc_hooks.reception_statistics import ReceptionStatistics
from rtc.aiortc_hooks.rtp_parser import parse_rtp, stated_level
from rtc.aiortc_hooks.run_sync import run_without_suspending
from rtc.aiortc_hooks.srtp import fast_unprotect
from rtc.unexpected_errors import log_unexpected

MAX_WAITING: Final = 256
"""Datagrams on the long way."""
MAX_SOURCES: Final = 8
"""Streams (SSRC) in one connection: each has a state of its own in what decrypts and counts them."""

_HOOKS: Final = ("_handle_rtp_data", "_handle_rtcp_data", "_recv_next")
_NAMES: Final = ("_rx_srtp", "_state", "_rtp_router", "_rtp_header_extensions_map", *_HOOKS)
_EXTENSION_IDS: Final = "_HeaderExtensionsMap__ids"
# The last packet of a batch may be late.
_HELD_TIMEOUT_S: Final = HOLD_S + 0.02
_STREAMS: Final = "_RTCRtpReceiver__remote_streams"
_PAYLOAD_TYPE: Final = 0x7F
_FIRST_OF_RTP: Final = range(128, 192)

_log = logging.getLogger(__name__)


class _Stream(NamedTuple):
    """A stream (SSRC) that aiortc has handed to our receiver, and so is known to be its voice.

    level_id: of the header extension in which it states its audio level; -1: it does not
    """

    payload_type: int
    statistics: ReceptionStatistics
    level_id: int


class RtpFastPath:
    """Stands in for `data_received` of an aioice connection, and for `_HOOKS` of its transport.

    The first packet of each stream is routed by aiortc. Those after it are parsed, counted and handed on
    here; aiortc would take several times as long over each.
    """

    def __init__(
        self,
        inner: ice.Connection,
        receiver: RTCRtpReceiver,
        on_packet: PacketSink,
    ) -> None:
        self._receiver: Any = receiver
        self._dtls: Any = receiver.transport
        self._on_packet = on_packet
        self._waiting = inner._queue  # noqa: SLF001
        self._take_long_way = inner.data_received
        self._handle_rtp = self._dtls._handle_rtp_data  # noqa: SLF001
        self._handle_rtcp = self._dtls._handle_rtcp_data  # noqa: SLF001
        self._recv_next = self._dtls._recv_next  # noqa: SLF001
        self._counted = getattr(receiver, _STREAMS)
        self._receivers: Any = self._dtls._rtp_router.ssrc_table  # noqa: SLF001
        self._decrypt: Callable[[bytes], bytes] | None = None
        # By SSRC as packets carry it; None: aiortc's way.
        self._streams: dict[bytes, _Stream | None] = {}
        self._loop = asyncio.get_running_loop()
        # What the reader said last (see `PacketSink`), and what waits by that: datagrams as they came.
        self._silent_from: int | None = None
        self._held: list[tuple[bytes, float]] = []
        self._held_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes, component: int) -> None:
        """Take a datagram that is no STUN."""
        if not data:
            # aiortc would close the connection over it, and any sender may forge one.
            return
        is_voice = data[0] in _FIRST_OF_RTP and not is_rtcp(data)
        if not is_voice or not self._is_free:
            if is_voice and self._held:
                self._open_held()
            if self._waiting.qsize() < MAX_WAITING:
                self._take_long_way(data, component)
            return
        stream = self._streams.get(data[8:12])
        if stream is not None and (silent_from := self._silent_from) is not None:
            stated = stated_level(data, stream.level_id)
            if stated is not None and stated >= silent_from:
                self._hold(data)
                return
        if self._held:
            self._open_held(has_next=True)
        self._open(data, self._loop.time())

    def _hold(self, data: bytes) -> None:
        """Let a silent packet wait for those after it, if not for long."""
        self._held.append((data, self._loop.time()))
        if len(self._held) >= HOLD_PACKETS:
            self._open_held()
        elif self._held_timer is None:
            self._held_timer = self._loop.call_later(_HELD_TIMEOUT_S, self._open_held)

    def _open_held(self, *, has_next: bool = False) -> None:
        """Open what waits, each as of the time at which it came; has_next: another packet follows."""
        if self._held_timer is not None:
            self._held_timer.cancel()
            self._held_timer = None
        held, self._held = self._held, []
        if self._dtls._state is State.CONNECTED:  # noqa: SLF001
            for count, (data, arrived_s) in enumerate(held, 1):
                self._open(data, arrived_s, is_silent=True, has_next=has_next or count < len(held))

    def _open(
        self, data: bytes, arrived_s: float, *, is_silent: bool = False, has_next: bool = False
    ) -> None:
        """Decrypt a packet, and hand on what is in it."""
        source = data[8:12]
        stream = self._streams.get(source)
        if stream is None and self._is_excess(source):
            return
        try:
            decrypt = self._decrypt or self._find_decrypt()
            plain = decrypt(data)
            if stream is not None and plain[1] & _PAYLOAD_TYPE == stream.payload_type:
                packet = parse_rtp(plain, arrived_s, is_silent, has_next)
                self._handle_voice(packet, stream, arrived_s)
            else:
                # The time of arrival is for video alone.
                run_without_suspending(self._handle_rtp(plain, arrival_time_ms=0))
                self._remember(source, plain)
        except (pylibsrtp.Error, ValueError):
            # Forged, repeated, too old, or no RTP: aiortc leaves it out too.
            return
        except Exception as error:  # noqa: BLE001 - aiortc's are as varied as the bytes
            log_unexpected(_log, "an RTP packet", error)

    @property
    def _is_free(self) -> bool:
        return self._dtls._state is State.CONNECTED and self._waiting.empty()  # noqa: SLF001

    def _is_excess(self, source: bytes) -> bool:
        return source not in self._streams and len(self._streams) >= MAX_SOURCES

    def _find_decrypt(self) -> Callable[[bytes], bytes]:
        self._decrypt = decrypt = fast_unprotect(self._dtls._rx_srtp)  # noqa: SLF001
        return decrypt

    def _handle_voice(self, packet: RtpPacket, stream: _Stream, arrived_s: float) -> None:
        # A receiver that was stopped is routed nothing any more, one that is disabled drops it.
        receiver = self._receiver
        if self._receivers.get(packet.ssrc) is not receiver or not receiver._enabled:  # noqa: SLF001
            return
        stream.statistics.count(packet.sequence_number, packet.timestamp, arrived_s)
        try:
            self._silent_from = self._on_packet(packet)
        except Exception as error:  # noqa: BLE001 - whatever a packet brings about costs that packet
            log_unexpected(_log, "a voice packet", error)

    def _remember(self, source: bytes, plain: bytes) -> None:
        """Remember a stream; from its next packet on it goes the short way if it is our receiver's."""
        ssrc = int.from_bytes(source)
        counted = self._counted.get(ssrc)
        if counted is None or self._receivers.get(ssrc) is not self._receiver:
            self._streams[source] = None
            return
        if not isinstance(counted, ReceptionStatistics):
            counted = self._counted[ssrc] = ReceptionStatistics(counted, time.monotonic())
        level_id = getattr(self._dtls._rtp_header_extensions_map, _EXTENSION_IDS).audio_level  # noqa: SLF001
        self._streams[source] = _Stream(plain[1] & _PAYLOAD_TYPE, counted, level_id or -1)

    async def handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        """Take an RTP packet that came the long way."""
        source = data[8:12]
        if not self._is_excess(source):
            self._streams.setdefault(source, None)
            await _leave_out("an RTP packet", self._handle_rtp(data, arrival_time_ms))

    async def handle_rtcp_data(self, data: bytes) -> None:
        """Take an RTCP packet."""
        await _leave_out("an RTCP packet", self._handle_rtcp(data))

    async def recv_next(self) -> None:
        """Take the next datagram of the long way.

        Raises:
            ConnectionError: the connection is closed, or cannot go on after what came.
        """
        try:
            await self._recv_next()
        except ConnectionError:
            raise
        except Exception as error:
            log_unexpected(_log, "a datagram", error)
            raise ConnectionError("a datagram could not be handled") from error


class MediaProtocol(ice.StunProtocol):
    """A socket of aioice that does not try to read RTP as STUN, and fail, first."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram of any kind, from any sender."""
        if isinstance(data, bytes) and data and data[0] in _FIRST_OF_RTP:
            self.receiver.data_received(data, self.local_candidate.component)
            return
        try:
            super().datagram_received(data, addr)
        except Exception as error:  # noqa: BLE001 - aioice's are as varied as the bytes
            log_unexpected(_log, "a STUN message", error)


def shorten_way_of_media(
    inner: ice.Connection, receiver: RTCRtpReceiver, on_packet: PacketSink
) -> None:
    """Hand RTP of `receiver` that `inner` receives to `on_packet` at once.

    Raises:
        RuntimeError: this aiortc is built otherwise than the one we know.
    """
    dtls = getattr(receiver, "transport", None)
    missing = [name for name in _NAMES if not hasattr(dtls, name)]
    missing += [name for name in (_STREAMS, "_enabled") if not hasattr(receiver, name)]
    if missing:
        raise RuntimeError(f"unknown aiortc: there is no {', '.join(missing)}")
    fast_path = RtpFastPath(inner, receiver, on_packet)
    vars(inner)["data_received"] = fast_path.data_received
    hooks = (fast_path.handle_rtp_data, fast_path.handle_rtcp_data, fast_path.recv_next)
    for name, hook in zip(_HOOKS, hooks, strict=True):
        setattr(dtls, name, hook)


async def _leave_out(what: str, handling: Coroutine[Any, Any, None]) -> None:
    try:
        await handling
    except Exception as error:  # noqa: BLE001 - aiortc's are as varied as the bytes
        log_unexpected(_log, what, error)
