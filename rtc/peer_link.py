"""The lasting link to one member: makes its peer connection, and a new one when that dies.

aiortc has no ICE restart, so a dead connection is replaced. Which side offers, and what happens
when both do, is section 3 of `docs/signaling.md`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from rtc.aiortc_adapter import RtpPacket
from rtc.peer import (
    MAX_EARLY_CANDIDATES,
    Peer,
    PeerCallbacks,
    PeerError,
    new_connection_id,
)
from rtc.signals import (
    ClientFrame,
    Description,
    IceServer,
    MemberInfo,
    PeerClosed,
    RelayedCandidate,
    RelayedDescription,
)
from utils import OwnedTasks, cancel_and_wait

CONNECT_TIMEOUT_S: Final = 15.0
ANSWERER_PATIENCE_S: Final = 3.0
_BACKOFF_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LinkCallbacks:
    """What a link needs from the channel. Called on the loop; must not raise or block."""

    send: Callable[[ClientFrame], None]
    on_connected: Callable[[int], None]
    on_disconnected: Callable[[int], None]
    on_packet: Callable[[int, RtpPacket], None]
    on_event: Callable[[int, str], None]


class PeerLink:
    """Own one per member that we reach ourselves; `close` when the member is gone."""

    def __init__(
        self,
        member: MemberInfo,
        *,
        own_uid: int,
        ice_servers: Sequence[IceServer],
        callbacks: LinkCallbacks,
    ) -> None:
        self.member = member
        self.peer: Peer | None = None
        self._own_uid = own_uid
        self._ice_servers = ice_servers
        self._callbacks = callbacks
        # Set while our own offer waits for its answer.
        self._answer: asyncio.Future[str] | None = None
        # Candidates of an offer that we have not begun to answer yet; the oldest give way.
        self._early: deque[RelayedCandidate] = deque(maxlen=MAX_EARLY_CANDIDATES)
        self._task: asyncio.Task[None] | None = None
        self._tasks = OwnedTasks(logger)

    def start_offering(self) -> None:
        """Call the member, and again whenever the connection dies."""
        self._restart(self._run_as_offerer())

    def handle_description(self, frame: RelayedDescription) -> None:
        """React to an offer or an answer of the member."""
        is_known = self.peer is not None and self.peer.connection_id == frame.connection_id
        if frame.sdp_type == "answer":
            if is_known and self._answer is not None and not self._answer.done():
                self._answer.set_result(frame.sdp)
            return
        has_precedence = self._answer is not None and self._own_uid < self.member.uid
        if not is_known and not has_precedence:
            self._restart(self._run_as_answerer(frame.connection_id, frame.sdp))

    def handle_candidate(self, frame: RelayedCandidate) -> None:
        """React to a trickled candidate of the member."""
        if self.peer is not None and self.peer.connection_id == frame.connection_id:
            self._tasks.start(self.peer.add_candidate(frame), name="candidate")
        else:
            self._early.append(frame)

    async def close(self) -> None:
        """Hang up. Idempotent."""
        await self._tasks.close()

    def _restart(self, run: Coroutine[Any, Any, None]) -> None:
        self._task = self._tasks.start(
            self._run_after(self._task, run), name=f"link to {self.member.uid}"
        )

    async def _run_after(
        self, previous: asyncio.Task[None] | None, run: Coroutine[Any, Any, None]
    ) -> None:
        try:
            if previous is not None:
                await cancel_and_wait(previous)
            await run
        finally:
            run.close()

    async def _run_as_offerer(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            async with self._open_peer(new_connection_id()) as peer:
                if await self._is_connected(peer, self._offer(peer)):
                    failures = 0
                    await peer.ended.wait()
            failures += 1

    async def _run_as_answerer(self, connection_id: str, sdp: str) -> None:
        async with self._open_peer(connection_id) as peer:
            if await self._is_connected(peer, self._reply(peer, sdp)):
                await peer.ended.wait()
        if self.member.via is not None:
            self._callbacks.send(PeerClosed(uid=self.member.uid))
            return
        await asyncio.sleep(ANSWERER_PATIENCE_S)
        await self._run_as_offerer()

    @asynccontextmanager
    async def _open_peer(self, connection_id: str) -> AsyncIterator[Peer]:
        uid, callbacks = self.member.uid, self._callbacks
        peer = Peer(
            connection_id,
            self._ice_servers,
            PeerCallbacks(
                on_packet=lambda packet: callbacks.on_packet(uid, packet),
                on_event=lambda text: callbacks.on_event(uid, text),
            ),
        )
        self.peer = peer
        early = [frame for frame in self._early if frame.connection_id == connection_id]
        self._early.clear()
        try:
            for frame in early:
                await peer.add_candidate(frame)
            yield peer
        finally:
            self.peer = None
            if peer.connected.is_set():
                logger.info("media to %d ended (%s)", uid, peer.state)
                callbacks.on_disconnected(uid)
            await peer.close()

    async def _is_connected(self, peer: Peer, negotiate: Coroutine[Any, Any, None]) -> bool:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await negotiate
                await peer.connected.wait()
        except (PeerError, TimeoutError) as error:
            logger.warning("no media connection to %d: %r", self.member.uid, error)
            return False
        self._callbacks.on_connected(self.member.uid)
        return True

    async def _offer(self, peer: Peer) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._describe(peer, "offer", await peer.offer())
            answer = await self._answer
        finally:
            self._answer = None
        await peer.accept(answer)

    async def _reply(self, peer: Peer, offer: str) -> None:
        self._describe(peer, "answer", await peer.answer(offer))

    def _describe(self, peer: Peer, sdp_type: Any, sdp: str) -> None:
        self._callbacks.send(
            Description(
                to=self.member.uid,
                connection_id=peer.connection_id,
                sdp_type=sdp_type,
                sdp=sdp,
            )
        )
