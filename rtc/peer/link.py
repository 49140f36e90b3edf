"""The lasting link to one member: makes its peer connection, and a new one when that dies.

aiortc has no ICE restart, so a dead connection is replaced. Which side offers, and what happens
when both do, is section 3 of `docs/signaling.md`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.options import MediaOptions
from rtc.peer.offer_rate import OfferRate
from rtc.peer.peer import MAX_EARLY_CANDIDATES, Peer, PeerCallbacks, PeerError, new_connection_id
from rtc.signaling.protocol import (
    MAX_REFUSAL_CHARACTERS,
    ClientFrame,
    Description,
    IceServer,
    MemberInfo,
    PeerClosed,
    Refuse,
    RelayedCandidate,
    RelayedDescription,
    RelayedRefusal,
    SdpType,
)
from rtc.unexpected_errors import describe_unexpected
from utils import OwnedTasks, cancel_and_wait

CONNECT_TIMEOUT_S: Final = 15.0
PATH_TIMEOUT_S: Final = 6.0
ANSWERER_PATIENCE_S: Final = 0.5
OVERLAP_S: Final = 0.5
REPEAT_AFTER_S: Final = 2.0
SHORT_LIFE_S: Final = 10.0
_BACKOFF_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)

_Attempt = Callable[[], Coroutine[Any, Any, None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LinkCallbacks:
    """Callbacks of a link to its channel. Called on the loop; must not raise or block."""

    send: Callable[[ClientFrame], None]
    on_connected: Callable[[int], None]
    on_disconnected: Callable[[int], None]
    on_packet: Callable[[int, RtpPacket], int | None]
    on_event: Callable[[int, str], None]
    on_event_refused: Callable[[int, str], None]
    """With what is wrong with an event that could not be one."""
    on_refused: Callable[[int, str], None]
    """With why a member does not use our description."""


class PeerLink:
    """Own one per member that we reach ourselves; `close` when the member is gone.

    `peer` is the connection in use. While its successor is negotiated it stays: the path may heal,
    and audio then goes on without a negotiation.
    """

    def __init__(
        self,
        member: MemberInfo,
        *,
        own_uid: int,
        ice_servers: Callable[[], Sequence[IceServer]],
        media: MediaOptions,
        callbacks: LinkCallbacks,
        offer_rate: OfferRate,
    ) -> None:
        """ice_servers: asked for each new connection, since credentials expire."""
        self.member = member
        self.peer: Peer | None = None
        self._own_uid = own_uid
        self._ice_servers = ice_servers
        self._media = media
        self._callbacks = callbacks
        self._offer_rate = offer_rate
        self._is_offerer = False
        # Connections in a row that ended soon after they were made.
        self._short_lives = 0
        # Being negotiated, to take the place of `peer`.
        self._next: Peer | None = None
        # Whose packets count: the newest connection that has brought any.
        self._source: Peer | None = None
        # Set while our own offer waits for its answer.
        self._answer: asyncio.Future[str] | None = None
        self._offered: Description | None = None
        # Candidates of an offer that we have not begun to answer yet; the oldest give way.
        self._early: deque[RelayedCandidate] = deque(maxlen=MAX_EARLY_CANDIDATES)
        self._attempts: asyncio.Task[None] | None = None
        self._attempt: asyncio.Task[None] | None = None
        # What is to be attempted next: the latest wish takes the place of the others.
        self._wanted: _Attempt | None = None
        # Our latest answer, for an offer that comes again because the answer was lost.
        self._reply: Description | None = None
        self._hang_ups: set[asyncio.Task[None]] = set()
        self._tasks = OwnedTasks(_log)

    def start_offering(self) -> None:
        """Call the member, and again whenever the connection dies."""
        self._is_offerer = True
        self._start_attempt(self._offer_until_connected)

    def handle_description(self, frame: RelayedDescription) -> None:
        """React to an offer or an answer of the member."""
        known = [peer for peer in (self.peer, self._next) if peer is not None]
        is_known = any(peer.connection_id == frame.connection_id for peer in known)
        if frame.sdp_type == "answer":
            is_ours = self._next is not None and self._next.connection_id == frame.connection_id
            if is_ours and self._answer is not None and not self._answer.done():
                self._answer.set_result(frame.sdp)
            return
        if self._reply is not None and self._reply.connection_id == frame.connection_id:
            self._callbacks.send(self._reply)
        elif self._offered is not None and self._own_uid < self.member.uid:
            # Ours counts, and may not have arrived.
            self._callbacks.send(self._offered)
        elif not is_known and self._may_answer(frame):
            self._start_attempt(lambda: self._answer_then_offer(frame.connection_id, frame.sdp))

    def handle_refusal(self, frame: RelayedRefusal) -> None:
        """React to a member that does not use our description."""
        is_ours = self._next is not None and self._next.connection_id == frame.connection_id
        if is_ours and self._answer is not None and not self._answer.done():
            self._answer.set_exception(PeerError(f"it was refused ({frame.code}): {frame.message}"))
            self._callbacks.on_refused(self.member.uid, frame.message)

    def _may_answer(self, frame: RelayedDescription) -> bool:
        wait_s = self._offer_rate.wait_s(self.member.uid, asyncio.get_running_loop().time())
        if wait_s > 0:
            message = f"too many offers; the next one may come in {max(wait_s, 0.1):.1f} s"
            self._refuse(frame.connection_id, "too_many_offers", message)
        return wait_s <= 0

    def _refuse(self, connection_id: str, code: str, message: str) -> None:
        self._callbacks.send(
            Refuse(
                to=self.member.uid,
                connection_id=connection_id,
                code=code,
                message=message[:MAX_REFUSAL_CHARACTERS],
            )
        )
        if self.member.via is not None and self.peer is None and self._attempts is None:
            self._callbacks.send(PeerClosed(uid=self.member.uid))

    def handle_candidate(self, frame: RelayedCandidate) -> None:
        """React to a trickled candidate of the member."""
        for peer in (self._next, self.peer):
            if peer is not None and peer.connection_id == frame.connection_id:
                self._tasks.start(peer.add_candidate(frame), name="candidate")
                return
        self._early.append(frame)

    async def close(self) -> None:
        """Hang up. Idempotent."""
        self._wanted = None
        if self._attempts is not None:
            await cancel_and_wait(self._attempts)
        if self.peer is not None:
            self._hang_up(self.peer)
            self.peer = None
        # Each ends by its own deadline; cancelled halfway it would leave sockets behind.
        if self._hang_ups:
            await asyncio.wait(set(self._hang_ups))
        await self._tasks.close()

    # -- a connection comes to be ----------------------------------------------------------------

    def _start_attempt(self, run: _Attempt) -> None:
        """Of several attempts only the latest goes on; one may be over before it began."""
        self._wanted = run
        if self._attempt is not None:
            self._attempt.cancel()
        if self._attempts is None or self._attempts.done():
            name = f"link to {self.member.uid}"
            self._attempts = self._tasks.start(self._run_attempts(), name=name)

    async def _run_attempts(self) -> None:
        """One after the other: none begins before the one that it replaces has ended."""
        while (wanted := self._wanted) is not None:
            self._wanted = None
            self._attempt = self._tasks.start(wanted(), name=f"attempt for {self.member.uid}")
            try:
                await asyncio.wait([self._attempt])
            except asyncio.CancelledError:
                await cancel_and_wait(self._attempt)
                raise
            finally:
                self._attempt = None

    async def _offer_until_connected(self, patience_s: float = 0.0) -> None:
        await asyncio.sleep(patience_s)
        failures = 0
        while self.peer is None or not self.peer.is_path_well:
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            if await self._is_connected(new_connection_id(), self._offer):
                return
            failures += 1

    async def _answer_then_offer(self, connection_id: str, sdp: str) -> None:
        async def reply(peer: Peer) -> None:
            try:
                self._reply = self._description(peer, "answer", await peer.answer(sdp))
            except PeerError as error:
                self._refuse(connection_id, error.code, str(error))
                raise
            self._callbacks.send(self._reply)

        if await self._is_connected(connection_id, reply):
            return
        if self.member.via is not None:
            self._callbacks.send(PeerClosed(uid=self.member.uid))
        else:
            await self._offer_until_connected(ANSWERER_PATIENCE_S)

    async def _is_connected(
        self, connection_id: str, negotiate: Callable[[Peer], Coroutine[Any, Any, None]]
    ) -> bool:
        peer = None
        try:
            peer = self._next = self._create_peer(connection_id)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._add_early_candidates(peer)
                await negotiate(peer)
                # Addresses that just changed may have been signalled wrongly: negotiate again.
                async with asyncio.timeout(PATH_TIMEOUT_S):
                    await peer.has_path.wait()
                await peer.wait_connected()
            self._adopt(peer)
        except PeerError as error:
            _log.warning("no media connection to %d: %s", self.member.uid, error)
        except TimeoutError:
            _log.warning("no media connection to %d: no path in time", self.member.uid)
        except Exception as error:  # noqa: BLE001 - costs this attempt, never the link
            text = describe_unexpected(error)
            _log.error("no media connection to %d: %s", self.member.uid, text)
        finally:
            self._next = None
            if peer is not None and self.peer is not peer:
                self._source, self._reply = self.peer, None
                # The next attempt does not wait for its goodbye.
                self._hang_up(peer)
        return peer is not None and self.peer is peer

    def _create_peer(self, connection_id: str) -> Peer:
        uid, callbacks = self.member.uid, self._callbacks
        peer = Peer(
            connection_id,
            self._ice_servers(),
            self._media,
            PeerCallbacks(
                on_packet=lambda packet: self._handle_packet(peer, packet),
                on_event=lambda text: callbacks.on_event(uid, text),
                on_event_refused=lambda reason: callbacks.on_event_refused(uid, reason),
                on_path_dead=lambda: self._handle_path_dead(peer),
            ),
        )
        return peer

    async def _add_early_candidates(self, peer: Peer) -> None:
        early = [frame for frame in self._early if frame.connection_id == peer.connection_id]
        self._early.clear()
        for frame in early:
            await peer.add_candidate(frame)

    async def _offer(self, peer: Peer) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._offered = self._description(peer, "offer", await peer.offer())
            while not self._answer.done():
                self._callbacks.send(self._offered)
                # A socket to the room that died unnoticed may have swallowed it, or its answer.
                await asyncio.wait([self._answer], timeout=REPEAT_AFTER_S)
            answer = self._answer.result()
        finally:
            self._answer = self._offered = None
        try:
            await peer.accept(answer)
        except PeerError as error:
            self._refuse(peer.connection_id, error.code, str(error))
            raise

    def _description(self, peer: Peer, sdp_type: SdpType, sdp: str) -> Description:
        return Description(
            to=self.member.uid, connection_id=peer.connection_id, sdp_type=sdp_type, sdp=sdp
        )

    # -- and is watched --------------------------------------------------------------------------

    def _adopt(self, peer: Peer) -> None:
        old, self.peer = self.peer, peer
        self._source = peer
        if old is not None:
            _log.info("media to %d goes on over a new connection", self.member.uid)
            # A moment later, so that the other side has turned to the new one as well.
            self._hang_up(old, after_s=OVERLAP_S)
        self._tasks.start(self._watch(peer), name=f"watch of {self.member.uid}")
        self._callbacks.on_connected(self.member.uid)

    async def _watch(self, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await peer.ended.wait()
        is_short = loop.time() - begun_s < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if is_short else 0
        if self.peer is not peer:
            return
        self.peer = None
        _log.info("media to %d ended (%s)", self.member.uid, peer.state)
        self._callbacks.on_disconnected(self.member.uid)
        self._hang_up(peer)
        if self.member.via is not None:
            self._callbacks.send(PeerClosed(uid=self.member.uid))
        else:
            self._replace()

    def _handle_path_dead(self, peer: Peer) -> None:
        if self.peer is peer and self.member.via is None:
            _log.info("no answer from %d any longer", self.member.uid)
            self._replace()

    def _replace(self) -> None:
        """Ask for a successor, unless one is on its way."""
        is_idle = self._attempt is None or self._attempt.done()
        if self._wanted is None and is_idle:
            patience_s = 0.0 if self._is_offerer else ANSWERER_PATIENCE_S
            # One that ends each time soon after it is made would be made again without a pause.
            patience_s = max(patience_s, _BACKOFF_S[min(self._short_lives, len(_BACKOFF_S) - 1)])
            self._start_attempt(lambda: self._offer_until_connected(patience_s))

    def _hang_up(self, peer: Peer, after_s: float = 0.0) -> None:
        async def close() -> None:
            await asyncio.sleep(after_s)
            await peer.close()

        task = self._tasks.start(close(), name=f"hang up on {self.member.uid}")
        self._hang_ups.add(task)
        task.add_done_callback(self._hang_ups.discard)

    def _handle_packet(self, peer: Peer, packet: RtpPacket) -> int | None:
        if peer is self._next or self._source is None:
            self._source = peer
        if peer is not self._source:
            return None
        return self._callbacks.on_packet(self.member.uid, packet)
