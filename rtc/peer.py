"""One peer connection to one member: audio both ways and the data channel `events`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.sdp import candidate_from_sdp

from rtc.aiortc_adapter import RtpPacket, close_connection, prefer_opus, tap_receiver
from rtc.flight import ListenerDelay
from rtc.ice_adapter import adapt_ice
from rtc.media_shortcut import shorten_way_of_media
from rtc.options import MediaOptions
from rtc.path_probe import PathProber
from rtc.path_watch import PathHealth
from rtc.sdp import announce_opus_settings, check_description, has_data_channel
from rtc.sender_adapter import feed_sender
from rtc.sender_track import OpusTrack
from rtc.signals import IceServer, RelayedCandidate
from utils import OwnedTasks

EVENTS_LABEL: Final = "events"
MAX_EVENT_BYTES: Final = 60 * 1024
MAX_BUFFERED_BYTES: Final = 1024 * 1024
MAX_EARLY_CANDIDATES: Final = 64
CLOSE_TIMEOUT_S: Final = 5.0

logger = logging.getLogger(__name__)


class PeerError(Exception):
    """A description that cannot be used, or a connection that could not be made."""


@dataclass(frozen=True)
class PeerCallbacks:
    """Called on the loop; must not raise or block."""

    on_packet: Callable[[RtpPacket], None]
    on_event: Callable[[str], None]
    on_path_dead: Callable[[], None]


def new_connection_id() -> str:
    """A random id for an offer."""
    return secrets.token_hex(8)


class Peer:
    """Offer or answer once, then `connected`, then some day `ended`. Never reused."""

    def __init__(
        self,
        connection_id: str,
        ice_servers: Sequence[IceServer],
        media: MediaOptions,
        callbacks: PeerCallbacks,
    ) -> None:
        self.connection_id = connection_id
        self.track = OpusTrack()
        # How much later than here our voice is heard there.
        self.delay = ListenerDelay()
        self.is_path_well = True
        # Datagrams get through, or it has ended.
        self.has_path = asyncio.Event()
        # Media flows and the data channel, if there is one, is open.
        self.connected = asyncio.Event()
        # The connection failed, or the other side closed it.
        self.ended = asyncio.Event()
        # One of the two has happened.
        self._settled = asyncio.Event()
        self.events_dropped = 0
        self._callbacks = callbacks
        self._events: RTCDataChannel | None = None
        # Candidates that came before the description they belong to; None once it is there.
        self._early: list[RelayedCandidate] | None = []
        self._has_data_channel = True
        self._tasks = OwnedTasks(logger)
        self._is_probed = False
        self._pc = self._create_connection()
        transceiver = self._pc.addTransceiver(self.track, "sendrecv")
        prefer_opus(transceiver)
        tap_receiver(transceiver.receiver, callbacks.on_packet)
        feed_sender(transceiver.sender, self.track, self.delay.handle_report)
        ice = adapt_ice(self._pc, media, ice_servers)
        shorten_way_of_media(ice, transceiver.receiver.transport)
        self._prober = PathProber(ice, self._handle_health)

    def _create_connection(self) -> RTCPeerConnection:
        # Our own gathering asks the servers; aiortc would take one of them, and a public one of none.
        pc = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        pc.on("iceconnectionstatechange", self._note_path)
        pc.on("connectionstatechange", self._update)
        pc.on("datachannel", self._attach)
        return pc

    @property
    def state(self) -> str:
        """The W3C connection state."""
        return str(self._pc.connectionState)

    async def offer(self) -> str:
        """Our complete offer."""
        self._attach(self._pc.createDataChannel(EVENTS_LABEL))
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return announce_opus_settings(self._pc.localDescription.sdp)

    async def answer(self, offer: str) -> str:
        """Our complete answer to `offer`.

        Raises:
            PeerError: the offer cannot be used.
        """
        await self._set_remote("offer", offer)
        self._has_data_channel = has_data_channel(offer)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return announce_opus_settings(self._pc.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """Take the other side's answer to our offer.

        Raises:
            PeerError: the answer cannot be used.
        """
        self._has_data_channel = has_data_channel(answer)
        await self._set_remote("answer", answer)

    async def _set_remote(self, sdp_type: str, sdp: str) -> None:
        try:
            description = RTCSessionDescription(sdp=check_description(sdp), type=sdp_type)
            await self._pc.setRemoteDescription(description)
        except (InvalidAccessError, InvalidStateError, OperationError) as error:
            raise PeerError(f"the {sdp_type} does not fit: {error}") from error
        except Exception as error:
            # aiortc's parser raises whatever comes to hand on malformed text.
            raise PeerError(f"the {sdp_type} cannot be read: {error!r}") from error
        early, self._early = self._early or [], None
        for frame in early:
            await self.add_candidate(frame)

    async def wait_connected(self) -> None:
        """Until media flows and events may be sent.

        Raises:
            PeerError: it came to nothing.
        """
        await self._settled.wait()
        if not self.connected.is_set():
            raise PeerError(f"no path to the other side ({self.state})")

    async def add_candidate(self, frame: RelayedCandidate) -> None:
        """Take a trickled candidate; mDNS and unreadable ones are ignored."""
        text = frame.candidate.removeprefix("candidate:")
        if self._early is not None:
            self._early = [*self._early, frame][:MAX_EARLY_CANDIDATES]
            return
        if not text or ".local " in text or self.ended.is_set():
            return
        try:
            candidate = candidate_from_sdp(text)
            candidate.sdpMid = frame.sdp_mid
            candidate.sdpMLineIndex = frame.sdp_m_line_index
            await self._pc.addIceCandidate(candidate)
        except Exception as error:  # noqa: BLE001 - the parser's errors are as varied as the text
            logger.debug("candidate ignored: %r", error)

    def send_event(self, text: str) -> bool:
        """Send over the data channel; False (and counted) when it is not open or congested."""
        events = self._events
        is_open = events is not None and events.readyState == "open"
        if events is None or not is_open or events.bufferedAmount > MAX_BUFFERED_BYTES:
            self.events_dropped += 1
            return False
        events.send(text)
        return True

    async def close(self) -> None:
        """Close everything. Idempotent; gives up after `CLOSE_TIMEOUT_S`."""
        self._end()
        self.track.stop()
        await self._tasks.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await close_connection(self._pc)
        except TimeoutError:
            logger.warning("a peer connection did not close within %.0f s", CLOSE_TIMEOUT_S)

    def _attach(self, channel: RTCDataChannel) -> None:
        if channel.label != EVENTS_LABEL or self._events is not None:
            return
        self._events = channel
        channel.on("message", self._handle_message)
        channel.on("open", self._update)
        channel.on("close", self._update)
        self._update()

    def _handle_message(self, message: str | bytes) -> None:
        if isinstance(message, str) and len(message.encode()) <= MAX_EVENT_BYTES:
            self._callbacks.on_event(message)
        else:
            logger.debug("an event was ignored: binary or over %d bytes", MAX_EVENT_BYTES)

    def _handle_health(self, health: PathHealth) -> None:
        logger.debug("path of %s is %s", self.connection_id, health.value)
        self.is_path_well = health is PathHealth.WELL
        if health is PathHealth.DEAD and self.connected.is_set():
            self._callbacks.on_path_dead()
        elif health is not PathHealth.WELL:
            self._end()

    def _end(self) -> None:
        self.is_path_well = False
        self.has_path.set()
        self.ended.set()
        self._settled.set()

    def _note_path(self) -> None:
        if self._pc.iceConnectionState == "completed":
            self.has_path.set()

    def _update(self) -> None:
        state = self._pc.connectionState
        if state in ("failed", "closed"):
            self._end()
        elif state == "connected" and not (self._is_probed or self.ended.is_set()):
            self._is_probed = True
            self._tasks.start(self._prober.run(), name=f"path of {self.connection_id}")
        is_open = self._events is not None and self._events.readyState == "open"
        if state == "connected" and (is_open or not self._has_data_channel):
            self.connected.set()
            self._settled.set()
