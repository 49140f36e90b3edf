"""Members of the room, and a link to each of them that has no link of its own to us.

Turns the room's frames into links and participants, section 3 and 4 of `docs/signaling.md`: the
later joiner offers; one who comes back with the same instance keeps its link; one who is missing
after a rejoin gets a moment to come back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, assert_never

from line.participants import RemoteUser
from rtc.options import MediaOptions
from rtc.peer.link import LinkCallbacks, PeerLink
from rtc.peer.offer_rate import OfferRate
from rtc.signaling.protocol import (
    ErrorFrame,
    FreshIceServers,
    IceServer,
    Joined,
    LeaveReason,
    MemberInfo,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    Pong,
    RelayedCandidate,
    RelayedChat,
    RelayedDescription,
    RelayedRefusal,
    ServerFrame,
)
from utils import OwnedTasks

MISSING_GRACE_S: Final = 5.0

_log = logging.getLogger(__name__)


def remote_user(member: MemberInfo) -> RemoteUser:
    """A member as the users of a channel see it."""
    return RemoteUser(member.uid, member.name, member.role, member.is_muted)


class Mesh:
    """All links of one participation. `close` hangs up everywhere."""

    def __init__(
        self,
        callbacks: LinkCallbacks,
        media: MediaOptions,
        *,
        on_joined: Callable[[RemoteUser], None],
        on_left: Callable[[RemoteUser, LeaveReason], None],
        on_updated: Callable[[RemoteUser], None],
        on_chat: Callable[[RelayedChat], None],
    ) -> None:
        # All but listeners, who have links only: they hear, and are not there for anyone else.
        self.users: dict[int, RemoteUser] = {}
        self.links: dict[int, PeerLink] = {}
        self._callbacks = callbacks
        self._media = media
        self._on_joined = on_joined
        self._on_left = on_left
        self._on_updated = on_updated
        self._on_chat = on_chat
        self._members: dict[int, MemberInfo] = {}
        self._missing: dict[int, asyncio.TimerHandle] = {}
        self._joined: Joined | None = None
        self._offer_rate = OfferRate()
        self._tasks = OwnedTasks(_log)
        self._hang_ups: set[asyncio.Task[None]] = set()

    def handle_frame(self, frame: ServerFrame) -> None:
        """React to what the room says."""
        match frame:
            case Joined():
                self._handle_joined(frame)
            case MemberJoined(member=member):
                self._enter(member, is_newcomer=True)
            case MemberLeft(uid=uid, reason=reason):
                self._leave(uid, reason)
            case MemberUpdated(member=member):
                self._update(member)
            case RelayedDescription() | RelayedCandidate() | RelayedRefusal():
                self._pass_to_link(frame)
            case RelayedChat():
                self._on_chat(frame)
            case FreshIceServers():
                self._handle_ice_servers(frame)
            case Pong():
                pass
            case ErrorFrame():
                # A member that has just left is no error.
                level = logging.DEBUG if frame.code == "unknown_member" else logging.WARNING
                _log.log(level, "the room refused a frame (%s): %s", frame.code, frame.message)
            case _:
                assert_never(frame)

    def _pass_to_link(self, frame: RelayedDescription | RelayedCandidate | RelayedRefusal) -> None:
        if (link := self.links.get(frame.sender)) is None:
            return
        match frame:
            case RelayedDescription():
                link.handle_description(frame)
            case RelayedCandidate():
                link.handle_candidate(frame)
            case RelayedRefusal():
                link.handle_refusal(frame)

    async def close(self) -> None:
        """Hang up everywhere. Idempotent."""
        for timer in self._missing.values():
            timer.cancel()
        self._missing.clear()
        links = list(self.links.values())
        self.links.clear()
        # One after the other would add up the time that each goodbye takes.
        await asyncio.gather(*(link.close() for link in links))
        # Those under way end by themselves; cancelled halfway they would leave sockets behind.
        if self._hang_ups:
            await asyncio.wait(set(self._hang_ups))
        await self._tasks.close()
        self.users.clear()

    def _handle_joined(self, joined: Joined) -> None:
        self._joined = joined
        present = {member.uid for member in joined.members}
        for uid in [uid for uid in self._members if uid not in present]:
            self._expect(uid)
        for member in joined.members:
            self._enter(member, is_newcomer=False)

    def _handle_ice_servers(self, fresh: FreshIceServers) -> None:
        if self._joined is not None:
            update = {"ice_servers": fresh.ice_servers}
            self._joined = self._joined.model_copy(update=update)

    def _expect(self, uid: int) -> None:
        if uid not in self._missing:
            loop = asyncio.get_running_loop()
            self._missing[uid] = loop.call_later(MISSING_GRACE_S, self._leave, uid, "vanished")

    def _enter(self, member: MemberInfo, *, is_newcomer: bool) -> None:
        """is_newcomer: it came after us, so it offers."""
        known = self._members.get(member.uid)
        if known is not None and known.instance == member.instance:
            self._forget_missing(member.uid)
            self._update(member)
            return
        if known is not None:
            self._leave(member.uid, "replaced")
        self._members[member.uid] = member
        link = self._create_link(member)
        if member.role != "listener":
            self.users[member.uid] = remote_user(member)
            self._on_joined(self.users[member.uid])
        if link is not None and not is_newcomer:
            link.start_offering()

    def _current_ice_servers(self) -> tuple[IceServer, ...]:
        """The latest, whose credentials are the freshest."""
        return () if self._joined is None else self._joined.ice_servers

    def _create_link(self, member: MemberInfo) -> PeerLink | None:
        assert self._joined is not None
        if member.via not in (None, self._joined.uid):
            return None
        link = PeerLink(
            member,
            own_uid=self._joined.uid,
            ice_servers=self._current_ice_servers,
            media=self._media.relay_only() if self._joined.is_relay_only else self._media,
            callbacks=self._callbacks,
            offer_rate=self._offer_rate,
        )
        self.links[member.uid] = link
        return link

    def _update(self, member: MemberInfo) -> None:
        user = remote_user(member)
        if member.uid in self.users and self.users[member.uid] != user:
            self._members[member.uid] = member
            self.users[member.uid] = user
            self._on_updated(user)

    def _leave(self, uid: int, reason: LeaveReason) -> None:
        self._forget_missing(uid)
        if (link := self.links.pop(uid, None)) is not None:
            task = self._tasks.start(link.close(), name=f"hang up on {uid}")
            self._hang_ups.add(task)
            task.add_done_callback(self._hang_ups.discard)
        self._members.pop(uid, None)
        if (user := self.users.pop(uid, None)) is not None:
            self._on_left(user, reason)

    def _forget_missing(self, uid: int) -> None:
        if (timer := self._missing.pop(uid, None)) is not None:
            timer.cancel()
