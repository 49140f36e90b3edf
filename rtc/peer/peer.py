"""One peer connection to one member: audio both ways and events over data channels.

The boundary to aiortc for everything that the other side sends: its mistakes become a `PeerError`,
and so do unexpected exceptions, with one line in the log. Neither costs more than this peer.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from line.playout.listener_delay import ListenerDelay
from rtc.aiortc_hooks.ice import adapt_ice
from rtc.aiortc_hooks.impaired_path import impair_path
from rtc.aiortc_hooks.path_monitor import PathHealth
from rtc.aiortc_hooks.path_probe import PathProber
from rtc.aiortc_hooks.receiver import (
    PacketSink,
    close_connection,
    prefer_opus,
    set_payload_type,
    tap_receiver,
    watch_connecting,
)
from rtc.aiortc_hooks.receiver_reports import ReceiverReport
from rtc.aiortc_hooks.rtp_fast_path import shorten_way_of_media
from rtc.aiortc_hooks.sctp import limit_sctp
from rtc.aiortc_hooks.sender import feed_sender
from rtc.aiortc_hooks.track import OpusTrack
from rtc.options import MediaOptions
from rtc.peer.event_channels import EVENTS_LABEL, EventCallbacks, EventChannels
from rtc.signaling.candidates import MAX_REMOTE_CANDIDATES, read_candidate
from rtc.signaling.protocol import MAX_SDP_CHARACTERS, IceServer, RelayedCandidate
from rtc.signaling.sdp import (
    AUDIO_MID,
    DATA_MID,
    DescriptionError,
    RemoteDescription,
    read_answer,
    read_offer,
)
from rtc.signaling.sdp_answer import announce_opus_settings, compose_answer
from rtc.unexpected_errors import describe_unexpected
from utils import OwnedTasks

__all__ = ["MAX_EARLY_CANDIDATES", "Peer", "PeerCallbacks", "PeerError"]

MAX_EARLY_CANDIDATES: Final = 64
CHANNEL_PATIENCE_S: Final = 1.0
"""Wait of a connection that is up for the announced data channel, before media flows."""
CLOSE_TIMEOUT_S: Final = 5.0

_log = logging.getLogger(__name__)


PeerErrorCode = Literal["invalid", "failed"]


class PeerError(Exception):
    """A description that cannot be used, or a connection that could not be made.

    The text is for the other side. `code`: invalid (its description), failed (anything else).
    """

    def __init__(self, message: str, code: PeerErrorCode = "failed") -> None:
        super().__init__(message)
        self.code: PeerErrorCode = code


@dataclass(frozen=True)
class PeerCallbacks:
    """Called on the loop; must not raise or block."""

    on_packet: PacketSink
    on_event: Callable[[str], None]
    on_event_refused: Callable[[str], None]
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
        # Media flows, and mostly a data channel is open; it may also be late, or never come.
        self.connected = asyncio.Event()
        # The connection failed, or the other side closed it.
        self.ended = asyncio.Event()
        # One of the two has happened.
        self._settled = asyncio.Event()
        self.events = EventChannels(
            EventCallbacks(callbacks.on_event, callbacks.on_event_refused, self._update)
        )
        self._patience: asyncio.TimerHandle | None = None
        self._callbacks = callbacks
        # Candidates that came before the description they belong to; None once it is there.
        self._early: list[RelayedCandidate] | None = []
        self._candidates_taken = 0
        # Of the section whose candidates count.
        self._candidate_mids: tuple[str, ...] = ()
        self._candidate_index = 0
        self._tasks = OwnedTasks(_log)
        self._is_probed = False
        self._pc = self._create_connection()
        transceiver = self._pc.addTransceiver(self.track, "sendrecv")
        prefer_opus(transceiver)
        tap_receiver(transceiver.receiver, callbacks.on_packet)
        feed_sender(transceiver.sender, self.track, self._handle_report)
        ice = adapt_ice(self._pc, media, ice_servers)
        shorten_way_of_media(ice, transceiver.receiver, callbacks.on_packet)
        if media.bad_network is not None:
            impair_path(self._pc, ice, media.bad_network)
        self._prober = PathProber(ice, self._handle_health)

    def _handle_report(self, report: ReceiverReport) -> None:
        self.delay.handle_jitter(report.jitter_s)
        if report.round_trip_s is not None:
            self.delay.handle_round_trip(report.round_trip_s)

    def _create_connection(self) -> RTCPeerConnection:
        # Our own gathering asks the servers; aiortc would take one of them, and a public one of none.
        pc = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        pc.on("iceconnectionstatechange", self._note_path)
        pc.on("connectionstatechange", self._update)
        pc.on("datachannel", self.events.attach)
        watch_connecting(pc, self._end)
        return pc

    @property
    def state(self) -> str:
        """The W3C connection state."""
        return str(self._pc.connectionState)

    @property
    def events_dropped(self) -> int:
        """The number of events that could not be sent."""
        return self.events.dropped

    async def offer(self) -> str:
        """Our complete offer.

        Raises:
            PeerError: there is no address or another thing that it takes.
        """
        with _boundary("our offer"):
            self.events.attach(self._pc.createDataChannel(EVENTS_LABEL))
            self._limit_data_channels()
            await self._pc.setLocalDescription(await self._pc.createOffer())
            return announce_opus_settings(self._local_sdp())

    async def answer(self, offer: str) -> str:
        """Our complete answer to `offer`.

        Raises:
            PeerError: the offer cannot be used.
        """
        with _boundary("the offer"):
            remote = read_offer(offer)
            await self._set_remote("offer", remote, remote.to_sdp())
            set_payload_type(self._pc.getTransceivers()[0], remote.payload_type)
            self._limit_data_channels()
            await self._pc.setLocalDescription(await self._pc.createAnswer())
            answer = compose_answer(remote, self._local_sdp())
            if len(answer) > MAX_SDP_CHARACTERS:
                raise PeerError("the offer has more than an answer has room for", "invalid")
        await self._take_early_candidates()
        return answer

    async def accept(self, answer: str) -> None:
        """Take the other side's answer to our offer.

        Raises:
            PeerError: the answer cannot be used.
        """
        with _boundary("the answer"):
            remote = read_answer(answer)
            ours = (AUDIO_MID, DATA_MID)
            await self._set_remote("answer", remote, remote.to_sdp(mids=ours, has_data=True))
        await self._take_early_candidates()

    async def _set_remote(self, sdp_type: str, remote: RemoteDescription, sdp: str) -> None:
        self.events.is_expected = remote.data is not None
        self._candidates_taken = len(remote.transport.candidates)
        self._candidate_mids = tuple(mid for mid in (remote.transport_section.mid,) if mid)
        self._candidate_index = remote.transport_section.index
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp=sdp, type=sdp_type))

    def _local_sdp(self) -> str:
        sdp = str(self._pc.localDescription.sdp)
        if "a=candidate:" not in sdp:
            raise PeerError("this side has no address for media at present")
        return sdp

    def _limit_data_channels(self) -> None:
        if (sctp := self._pc.sctp) is not None:
            limit_sctp(sctp, self._give_up)

    def hang_up(self) -> None:
        """End the connection for all who wait for it; `close` frees it. Idempotent."""
        self._end()

    def _give_up(self, reason: str) -> None:
        _log.warning("connection %s is closed: %s", self.connection_id, reason)
        self._end()

    async def wait_connected(self) -> None:
        """Until media flows and events may be sent.

        Raises:
            PeerError: it came to nothing.
        """
        await self._settled.wait()
        if not self.connected.is_set():
            raise PeerError(f"no path to the other side ({self.state})")

    async def _take_early_candidates(self) -> None:
        early, self._early = self._early or [], None
        for frame in early:
            await self.add_candidate(frame)

    async def add_candidate(self, frame: RelayedCandidate) -> None:
        """Take a trickled candidate; those of no use to us are ignored (`candidates`)."""
        if self._early is not None:
            self._early = [*self._early, frame][:MAX_EARLY_CANDIDATES]
            return
        candidate = read_candidate(frame.candidate)
        is_enough = self._candidates_taken >= MAX_REMOTE_CANDIDATES
        if candidate is None or is_enough or self.ended.is_set() or not self._is_ours(frame):
            return
        self._candidates_taken += 1
        try:
            ice = self._pc.getTransceivers()[0].receiver.transport.transport
            await ice.addRemoteCandidate(candidate_from_sdp(candidate.to_sdp()))
        except Exception as error:  # noqa: BLE001 - aiortc's are as varied as the moment
            _log.debug("a candidate was ignored: %s", describe_unexpected(error))

    def _is_ours(self, frame: RelayedCandidate) -> bool:
        """True if it is for the section of our transport; clients name it by mid or by index."""
        if frame.sdp_mid and self._candidate_mids:
            return frame.sdp_mid in self._candidate_mids
        return frame.sdp_m_line_index in (None, self._candidate_index)

    def send_event(self, text: str) -> bool:
        """Send over the data channels; False (and counted) when none is there or all are congested."""
        if self.ended.is_set():
            self.events.dropped += 1
            return False
        return self.events.send(text)

    async def close(self) -> None:
        """Close everything. Idempotent; gives up after `CLOSE_TIMEOUT_S`."""
        self._end()
        self.events.close()
        if self._patience is not None:
            self._patience.cancel()
        self.track.stop()
        await self._tasks.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await close_connection(self._pc)
        except TimeoutError:
            _log.warning("a peer connection did not close within %.0f s", CLOSE_TIMEOUT_S)

    def _handle_health(self, health: PathHealth) -> None:
        _log.debug("path of %s is %s", self.connection_id, health.value)
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
        if state != "connected" or self.ended.is_set():
            return
        if self.events.is_open or not self.events.is_expected:
            self._begin_media()
        elif self._patience is None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(CHANNEL_PATIENCE_S, self._begin_media)

    def _begin_media(self) -> None:
        if not self.ended.is_set():
            self.connected.set()
            self._settled.set()


@contextmanager
def _boundary(what: str) -> Iterator[None]:
    """Make whatever is raised by reading and using `what` a `PeerError`."""
    try:
        yield
    except PeerError:
        raise
    except DescriptionError as error:
        raise PeerError(f"{what} cannot be used: {error}", "invalid") from error
    except Exception as error:
        _log.error("%s could not be used: %s", what, describe_unexpected(error))
        raise PeerError(f"{what} could not be used") from error
