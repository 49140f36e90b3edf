"""What comes from the network, through the handlers of a connection and not only their parsers.

Each `feed_...` takes bytes as the other side could make them come, and raises what ends more than
the input. A connection is used for many inputs, as in a call.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Final

from aiortc.rtcdtlstransport import State
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from google_crc32c import value as crc32c

from rtc.aiortc_hooks.rtp_fast_path import MediaProtocol
from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions
from rtc.peer.peer import Peer, PeerCallbacks, PeerError

_OPUS: Final = RTCRtpCodecParameters(
    mimeType="audio/opus", clockRate=48_000, channels=2, payloadType=96
)
_ON_LOOPBACK: Final = MediaOptions(network=MediaNetwork(bind_address="127.0.0.1"))
_INPUTS_PER_CONNECTION: Final = 200
_PORT: Final = 5000


def _peer() -> Peer:
    def ignore(*_: object) -> None:
        pass

    return Peer("fuzzed", (), _ON_LOOPBACK, PeerCallbacks(ignore, ignore, ignore, ignore))


class _Wire:
    """Stands in for a socket: takes what is sent."""

    def sendto(self, _data: bytes, _address: Any = None) -> None:
        """Nobody gets it."""


class _Connection:
    """A connection that believes it is up."""

    dtls: Any
    sctp: Any
    protocol: Any

    def __init__(self) -> None:
        self.peer = _peer()
        self.used = 0

    async def open(self) -> None:
        """Have a data channel and a voice, and nobody at the other end."""
        await self.peer.offer()
        receiver: Any = self.peer._pc.getTransceivers()[0].receiver
        receiver._RTCRtpReceiver__codecs = {96: _OPUS}
        self.dtls = receiver.transport
        parameters = RTCRtpReceiveParameters(codecs=[_OPUS])
        self.dtls._register_rtp_receiver(receiver, parameters)
        self.dtls._register_rtp_sender(self.peer._pc.getTransceivers()[0].sender, parameters)
        self.dtls._send_data = self._take
        self.sctp = self.peer._pc.sctp
        self.sctp._remote_port = _PORT
        self.sctp._last_received_tsn, self.sctp._ssthresh = 0, 1 << 20
        self.sctp._data_channel_id = 0
        self.sctp._set_state(self.sctp.State.ESTABLISHED)
        ice: Any = self.dtls.transport._connection
        self.protocol = MediaProtocol(ice)
        self.protocol.transport = _Wire()
        self.protocol.local_candidate = ice.local_candidates[0]

    async def _take(self, _data: bytes) -> None:
        if self.dtls._state is State.CLOSED:
            raise ConnectionError


class _Lab:
    """One loop, and a connection that is replaced now and then."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: _Connection | None = None

    def run(self, use: Any) -> None:
        """Use a connection, and let whatever that brought about come to its end."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # Tasks and callbacks of aiortc that fail are defects too.
            self._loop.set_exception_handler(self._note)
        self._failures: list[dict[str, Any]] = []
        self._loop.run_until_complete(self._use(use))
        assert not self._failures, self._failures

    def close(self) -> None:
        """Leave no socket and no loop. Idempotent; a later use begins anew."""
        if self._loop is not None:
            if self._connection is not None:
                self._loop.run_until_complete(self._connection.peer.close())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
        self._loop = self._connection = None

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._failures.append(context)

    async def _use(self, use: Any) -> None:
        connection = self._connection
        is_over = connection is not None and connection.peer.ended.is_set()
        if connection is None or is_over or connection.used >= _INPUTS_PER_CONNECTION:
            if connection is not None:
                await connection.peer.close()
            connection = self._connection = _Connection()
            await connection.open()
        connection.used += 1
        async with asyncio.timeout(2):
            await use(connection)
            await asyncio.sleep(0)


_LAB: Final = _Lab()
close: Final = _LAB.close


def feed_rtp(data: bytes) -> None:
    """A packet as it is after decryption."""
    _LAB.run(lambda connection: connection.dtls._handle_rtp_data(data, 0))


def feed_rtcp(data: bytes) -> None:
    """The same of reports; some are about our own stream."""

    async def use(connection: _Connection) -> None:
        ssrc = connection.peer._pc.getTransceivers()[0].sender._ssrc
        ours = struct.pack("!L", ssrc)
        await connection.dtls._handle_rtcp_data(data.replace(b"OURS", ours))

    _LAB.run(use)


def feed_datagram(data: bytes) -> None:
    """Anything, from anybody, before it is known to be anything."""

    async def use(connection: _Connection) -> None:
        connection.protocol.datagram_received(data, ("127.0.0.1", 5))

    _LAB.run(use)


def feed_sctp(data: bytes) -> None:
    """The chunks of a packet whose head and checksum are sound."""

    async def use(connection: _Connection) -> None:
        tag = connection.sctp._local_verification_tag
        head = struct.pack("!HHL", _PORT, _PORT, tag)
        checksum = struct.pack("<L", crc32c(head + bytes(4) + data))
        await connection.sctp._handle_data(head + checksum + data)

    _LAB.run(use)


def feed_offer(data: bytes) -> None:
    """An offer, answered or refused as one that the other side made wrong.

    Raises:
        PeerError: it is refused.
    """

    async def use(_: _Connection) -> None:
        peer = _peer()
        try:
            await peer.answer(data.decode(errors="replace"))
        except PeerError as error:
            if error.code != "invalid":
                raise AssertionError("refused for a reason that nobody expected") from error
            raise
        finally:
            await peer.close()

    _LAB.run(use)
