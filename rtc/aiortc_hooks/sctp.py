"""Limits on what the other side sends over its data channels: what reaches into aiortc's SCTP.

A message is bounded while it is put together, not when it is whole; packets, pieces, streams and
channels are bounded in number and pace. What comes too fast is dropped, which SCTP's own congestion
control answers by sending more slowly. A packet that cannot be read costs that packet. A message
that goes far beyond what our description allows (`a=max-message-size`) ends the connection.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpTransport
from aiortc.rtcsctptransport import LOCAL_MAX_MESSAGE_SIZE, DataChunk

from rtc.aiortc_hooks.sctp_packets import PacketError, count_data_chunks
from rtc.unexpected_errors import log_unexpected
from utils import TokenBucket

MAX_HELD_BYTES: Final = 4 * LOCAL_MAX_MESSAGE_SIZE
"""Of messages that are not whole, or wait for a lost one: the window that aiortc announces."""
MAX_HELD_PIECES: Final = 1024
MAX_STREAMS: Final = 64
MAX_CHANNELS: Final = MAX_STREAMS
"""Far more than `event_channels` uses: it closes those beyond, which costs the call nothing."""
MAX_AHEAD: Final = 512
"""Pieces received beyond a gap."""

PACKETS_PER_S = 1000.0
PIECES_PER_S: Final = 2000.0
_BURST_S: Final = 2.0
_MAX_BROKEN: Final = 64

_HOOKS: Final = (
    "_handle_data",
    "_receive_data_chunk",
    "_get_inbound_stream",
    "_receive",
    "_send_chunk",
)
_STATE: Final = ("_advertised_rwnd", "_inbound_streams", "_sack_misordered", "_data_channels")
_DCEP, _STRING, _BINARY = 50, 51, 53
_DCEP_OPEN: Final = 3

_log = logging.getLogger(__name__)


class _ExcessError(Exception):
    """More than a connection may ask of us; ends it."""


class _Guard:
    """Stands in for five methods of one transport."""

    def __init__(self, sctp: RTCSctpTransport, on_end: Callable[[str], None]) -> None:
        self._sctp: Any = sctp
        self._on_end = on_end
        self._is_over = False
        self._broken = 0
        self._window_bytes = self._sctp._advertised_rwnd  # noqa: SLF001
        self._packets = TokenBucket(PACKETS_PER_S, int(_BURST_S * PACKETS_PER_S))
        self._pieces = TokenBucket(PIECES_PER_S, int(_BURST_S * PIECES_PER_S))
        self._aiortc = {name: getattr(sctp, name) for name in _HOOKS}

    async def handle_data(self, packet: bytes) -> None:
        """Take a packet; never raises."""
        if self._is_over or not self._packets.allow(time.monotonic()):
            return
        try:
            count_data_chunks(packet)
            await self._aiortc["_handle_data"](packet)
        except _ExcessError as excess:
            self._end(str(excess))
        except ConnectionError:
            # It is closing; the state watcher handles that.
            pass
        except PacketError as error:
            _log.debug("a data channel packet was ignored: %s", error)
            self._count_broken()
        except Exception as error:  # noqa: BLE001 - aiortc's are as varied as the bytes
            log_unexpected(_log, "a data channel packet", error)
            self._count_broken()

    def _count_broken(self) -> None:
        self._broken += 1
        if self._broken > _MAX_BROKEN:
            self._end(f"over {_MAX_BROKEN} data channel packets that cannot be read")

    async def receive_data_chunk(self, chunk: DataChunk) -> None:
        """Take a piece of a message, or leave it for the other side to send again."""
        sctp = self._sctp
        is_next = chunk.tsn == (sctp._last_received_tsn + 1) % 2**32  # noqa: SLF001
        is_too_far = not is_next and len(sctp._sack_misordered) >= MAX_AHEAD  # noqa: SLF001
        if is_too_far or not self._pieces.allow(time.monotonic()):
            return
        await self._aiortc["_receive_data_chunk"](chunk)
        if self._window_bytes - sctp._advertised_rwnd > MAX_HELD_BYTES:  # noqa: SLF001
            raise _ExcessError(f"over {MAX_HELD_BYTES} bytes of messages that are not whole")
        streams = sctp._inbound_streams.values()  # noqa: SLF001
        if sum(len(stream.reassembly) for stream in streams) > MAX_HELD_PIECES:
            raise _ExcessError(f"over {MAX_HELD_PIECES} pieces of messages that are not whole")

    def get_inbound_stream(self, stream_id: int) -> Any:
        """The stream that a piece belongs to."""
        streams = self._sctp._inbound_streams  # noqa: SLF001
        if stream_id not in streams and len(streams) >= MAX_STREAMS:
            raise _ExcessError(f"over {MAX_STREAMS} data channel streams")
        return self._aiortc["_get_inbound_stream"](stream_id)

    async def receive(self, stream_id: int, protocol: int, data: bytes) -> None:
        """Take a whole message."""
        channels = self._sctp._data_channels  # noqa: SLF001
        if protocol == _DCEP and data[:1] == bytes([_DCEP_OPEN]):
            if stream_id in channels:
                return
            if len(channels) >= MAX_CHANNELS:
                raise _ExcessError(f"over {MAX_CHANNELS} data channels")
        elif stream_id not in channels and protocol in (_STRING, _BINARY):
            self._open_agreed(stream_id)
        if protocol == _STRING and not _is_text(data):
            # So that it is refused as what it is.
            protocol = _BINARY
        await self._aiortc["_receive"](stream_id, protocol, data)

    def _open_agreed(self, stream_id: int) -> None:
        """A channel that was agreed upon elsewhere and never announced (`negotiated`)."""
        if len(self._sctp._data_channels) >= MAX_CHANNELS:  # noqa: SLF001
            raise _ExcessError(f"over {MAX_CHANNELS} data channels")
        parameters = RTCDataChannelParameters(negotiated=True, id=stream_id)
        self._sctp.emit("datachannel", RTCDataChannel(self._sctp, parameters))

    async def send_chunk(self, chunk: Any) -> None:
        """Send, unless the connection is closing: some of aiortc's timers do not look."""
        try:
            await self._aiortc["_send_chunk"](chunk)
        except ConnectionError as error:
            _log.debug("a data channel packet was not sent: %s", error)

    def _end(self, reason: str) -> None:
        self._is_over = True
        for stream in self._sctp._inbound_streams.values():  # noqa: SLF001
            stream.reassembly.clear()
        self._on_end(reason)


def limit_sctp(sctp: RTCSctpTransport, on_end: Callable[[str], None]) -> None:
    """Bound what `sctp` takes; on_end: the connection is to be closed, and why. Call before it starts.

    Raises:
        RuntimeError: this aiortc is built otherwise than the one we know.
    """
    if missing := [name for name in (*_HOOKS, *_STATE) if not hasattr(sctp, name)]:
        raise RuntimeError(f"unknown aiortc: RTCSctpTransport has no {', '.join(missing)}")
    guard = _Guard(sctp, on_end)
    hooks = (
        guard.handle_data,
        guard.receive_data_chunk,
        guard.get_inbound_stream,
        guard.receive,
        guard.send_chunk,
    )
    for name, hook in zip(_HOOKS, hooks, strict=True):
        setattr(sctp, name, hook)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
