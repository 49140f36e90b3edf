"""Received media without detours: decrypted and handed on in the step of the loop in which it came.

aioice puts every datagram into a queue, and a task of aiortc takes it out in the loop's next round;
fifty times a second that is a good part of what listening costs. Only RTP goes the short way, and only
while nothing waits on the long one. `tests/rtc/test_media_shortcut.py` fails when what this relies
on changes.

Datagrams are a stranger's until they are decrypted, and may be anything afterwards: one that cannot be
read is left out, whoever sent it, and neither way collects them without bound.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any, Final

import pylibsrtp
from aioice import ice
from aiortc import RTCDtlsTransport
from aiortc.rtcdtlstransport import State
from aiortc.rtp import is_rtcp

from rtc.at_once import run_at_once
from rtc.mishaps import note_mishap

MAX_WAITING: Final = 256
"""Datagrams on the long way."""
MAX_SOURCES: Final = 8
"""Streams (SSRC) in one connection: each has a state of its own in what decrypts and counts them."""

_HOOKS: Final = ("_handle_rtp_data", "_handle_rtcp_data", "_recv_next")
_NAMES: Final = ("_rx_srtp", "_state", *_HOOKS)
_FIRST_OF_RTP: Final = range(128, 192)

logger = logging.getLogger(__name__)


class MediaShortcut:
    """Stands in for `data_received` of an aioice connection, and for `_HOOKS` of its transport."""

    def __init__(self, inner: ice.Connection, dtls: RTCDtlsTransport) -> None:
        self._dtls: Any = dtls
        self._waiting = inner._queue  # noqa: SLF001
        self._take_long_way = inner.data_received
        self._handle_rtp = self._dtls._handle_rtp_data  # noqa: SLF001
        self._handle_rtcp = self._dtls._handle_rtcp_data  # noqa: SLF001
        self._recv_next = self._dtls._recv_next  # noqa: SLF001
        self._sources: set[bytes] = set()

    def data_received(self, data: bytes, component: int) -> None:
        """Take a datagram that is no STUN."""
        if not data:
            # aiortc would close the connection over it, and anybody may send one.
            return
        if data[0] not in _FIRST_OF_RTP or is_rtcp(data) or not self._is_free:
            if self._waiting.qsize() < MAX_WAITING:
                self._take_long_way(data, component)
            return
        source = data[8:12]
        if source not in self._sources and len(self._sources) >= MAX_SOURCES:
            return
        try:
            plain = self._dtls._rx_srtp.unprotect(data)  # noqa: SLF001
            self._sources.add(source)
            # The time of arrival is for video alone.
            run_at_once(self._handle_rtp(plain, arrival_time_ms=0))
        except pylibsrtp.Error:
            # Forged, repeated, or too old: aiortc leaves it out too.
            return
        except Exception as error:  # noqa: BLE001 - aiortc's are as varied as the bytes
            note_mishap(logger, "an RTP packet", error)

    @property
    def _is_free(self) -> bool:
        return self._dtls._state is State.CONNECTED and self._waiting.empty()  # noqa: SLF001

    async def handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        """Take an RTP packet that came the long way."""
        source = data[8:12]
        if source in self._sources or len(self._sources) < MAX_SOURCES:
            self._sources.add(source)
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
            note_mishap(logger, "a datagram", error)
            raise ConnectionError("a datagram could not be handled") from error


class MediaProtocol(ice.StunProtocol):
    """A socket of aioice that does not try to read RTP as STUN, and fail, first."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram of any kind, from anybody."""
        if isinstance(data, bytes) and data and data[0] in _FIRST_OF_RTP:
            self.receiver.data_received(data, self.local_candidate.component)
            return
        try:
            super().datagram_received(data, addr)
        except Exception as error:  # noqa: BLE001 - aioice's are as varied as the bytes
            note_mishap(logger, "a STUN message", error)


def shorten_way_of_media(inner: ice.Connection, dtls: RTCDtlsTransport) -> None:
    """Hand RTP that `inner` receives to the receivers of `dtls` at once.

    Raises:
        RuntimeError: this aiortc is built otherwise than the one we know.
    """
    if missing := [name for name in _NAMES if not hasattr(dtls, name)]:
        raise RuntimeError(f"unknown aiortc: RTCDtlsTransport has no {', '.join(missing)}")
    shortcut = MediaShortcut(inner, dtls)
    vars(inner)["data_received"] = shortcut.data_received
    hooks = (shortcut.handle_rtp_data, shortcut.handle_rtcp_data, shortcut.recv_next)
    for name, hook in zip(_HOOKS, hooks, strict=True):
        setattr(dtls, name, hook)


async def _leave_out(what: str, handling: Coroutine[Any, Any, None]) -> None:
    try:
        await handling
    except Exception as error:  # noqa: BLE001 - aiortc's are as varied as the bytes
        note_mishap(logger, what, error)
