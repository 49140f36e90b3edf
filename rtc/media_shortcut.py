"""Received media without detours: decrypted and handed on in the step of the loop in which it came.

aioice puts every datagram into a queue, and a task of aiortc takes it out in the loop's next round;
fifty times a second that is a good part of what listening costs. Only RTP goes the short way, and only
while nothing waits on the long one. `tests/rtc/test_media_shortcut.py` fails when what this relies
on changes.
"""

from __future__ import annotations

from typing import Any

import pylibsrtp
from aioice import ice
from aiortc import RTCDtlsTransport
from aiortc.rtcdtlstransport import State
from aiortc.rtp import is_rtcp

from rtc.at_once import run_at_once

_NAMES = ("_rx_srtp", "_handle_rtp_data", "_state")
_FIRST_OF_RTP = range(128, 192)


class MediaShortcut:
    """Stands in for `data_received` of an aioice connection."""

    def __init__(self, inner: ice.Connection, dtls: RTCDtlsTransport) -> None:
        self._dtls: Any = dtls
        self._waiting = inner._queue  # noqa: SLF001
        self._take_long_way = inner.data_received

    def data_received(self, data: bytes, component: int) -> None:
        """Take a datagram that is no STUN."""
        if not data:
            # aiortc would close the connection over it, and anybody may send one.
            return
        if data[0] not in _FIRST_OF_RTP or is_rtcp(data) or not self._is_free:
            self._take_long_way(data, component)
            return
        try:
            plain = self._dtls._rx_srtp.unprotect(data)  # noqa: SLF001
        except pylibsrtp.Error:
            # Forged, repeated, or too old: aiortc leaves it out too.
            return
        # The time of arrival is for video alone.
        run_at_once(self._dtls._handle_rtp_data(plain, arrival_time_ms=0))  # noqa: SLF001

    @property
    def _is_free(self) -> bool:
        return self._dtls._state is State.CONNECTED and self._waiting.empty()  # noqa: SLF001


class MediaProtocol(ice.StunProtocol):
    """A socket of aioice that does not try to read RTP as STUN, and fail, first."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram of any kind."""
        if isinstance(data, bytes) and data and data[0] in _FIRST_OF_RTP:
            self.receiver.data_received(data, self.local_candidate.component)
        else:
            super().datagram_received(data, addr)


def shorten_way_of_media(inner: ice.Connection, dtls: RTCDtlsTransport) -> None:
    """Hand RTP that `inner` receives to the receivers of `dtls` at once.

    Raises:
        RuntimeError: this aiortc is built otherwise than the one we know.
    """
    if missing := [name for name in _NAMES if not hasattr(dtls, name)]:
        raise RuntimeError(f"unknown aiortc: RTCDtlsTransport has no {', '.join(missing)}")
    vars(inner)["data_received"] = MediaShortcut(inner, dtls).data_received
