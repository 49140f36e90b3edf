"""A room with its members' outlets: carries out what `room.Room` decides.

Owns the outlets and the moment of grace of members whose socket broke; counts what it sends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Final

from rtc.room_server.delivery_budget import DeliveryBudget
from rtc.room_server.ice_servers import IceServers
from rtc.room_server.room import Delivery, Member, Room
from rtc.room_server.socket import CLOSE_REPLACED, FrameSink, SocketSink
from rtc.room_server.tokens import Permit
from rtc.signaling.protocol import (
    Candidate,
    Chat,
    ClientFrame,
    Description,
    ErrorFrame,
    FreshIceServers,
    Join,
    Joined,
    LeaveReason,
    Mute,
    Ping,
    Refuse,
    SignalError,
    serialize,
)
from utils import wall_clock_ms

CLOSE_GONE: Final = 1000

_log = logging.getLogger(__name__)


class LiveRoom:
    """One channel's room. Empty at first, and again when `on_empty` is called."""

    def __init__(
        self,
        room: Room,
        ice_servers: IceServers,
        *,
        resume_grace_s: float,
        on_empty: Callable[[], None],
    ) -> None:
        self.room = room
        self._ice_servers = ice_servers
        self._resume_grace_s = resume_grace_s
        self._on_empty = on_empty
        self._budget = DeliveryBudget()
        self._sinks: dict[int, FrameSink] = {}
        # Members whose socket broke and who may still come back, each with its deadline.
        self._absent: dict[int, asyncio.TimerHandle] = {}

    def join(
        self, wanted: Join, sink: FrameSink, *, permit: Permit, via: int | None = None
    ) -> Member:
        """Take a participant in; its frames go to `sink`.

        Raises:
            SignalError: room_full, uid_taken, forbidden.
        """
        outcome = self.room.join(wanted, claim=permit.claim, team=permit.team, via=via)
        member = outcome.member
        old = self._sinks.pop(member.uid, None)
        self._expect_no_more(member.uid)
        # Those who left with the old one, and those who hear of the newcomer.
        self._deliver(outcome.deliveries)
        self._budget.charge(len(outcome.deliveries))
        self._budget.retain([one.number for one in self.room.members.values()])
        self._sinks[member.uid] = sink
        sink.deliver(self._welcome(member, is_resumed=outcome.is_resumed))
        if old is not None:
            _hand_over(old, sink, is_resumed=outcome.is_resumed)
        self._sweep()
        _log.info("room %s: %s %d joined", self.room.channel, member.role, member.uid)
        return member

    def leave(self, uid: int, reason: LeaveReason, *, number: int | None = None) -> None:
        """Remove `uid` and notify the others. Idempotent.

        number: of the membership that ends; a later one with the same uid is left alone.
        """
        member = self.room.members.get(uid)
        if member is None or number not in (None, member.number):
            return
        _log.info("room %s: %d left (%s)", self.room.channel, uid, reason)
        self._deliver(self.room.leave(uid, reason))
        self._sweep()

    def handle_frame(self, member: Member, frame: ClientFrame) -> None:
        """React to a frame of `member`.

        Raises:
            SignalError: it is refused, or more than its member may make the room send.
        """
        cost = 0 if member.role == "agent" else self._count_deliveries(frame)
        if cost and not self._budget.allow(member.number, cost, time.monotonic()):
            text = "the members of this room send too much for it; this frame was dropped"
            raise SignalError("rate_limited", text, frame.type)
        self._deliver(self.room.handle(member.uid, frame, now_ms=wall_clock_ms()))
        self._sweep()

    def deliver(self, delivery: Delivery) -> None:
        """Send one frame that no member sent."""
        self._deliver([delivery])

    def has(self, member: Member, sink: FrameSink) -> bool:
        """True if `member` is connected through `sink`."""
        return self._sinks.get(member.uid) is sink

    def lose(self, member: Member, sink: FrameSink) -> None:
        """The socket of a member broke without `leave`: give it a moment to come back."""
        if not self.has(member, sink):
            return
        leave = partial(self.leave, member.uid, "vanished", number=member.number)
        loop = asyncio.get_running_loop()
        self._absent[member.uid] = loop.call_later(self._resume_grace_s, leave)

    def refresh_credentials(self) -> None:
        """New ones for everybody, for connections to come."""
        for uid, sink in list(self._sinks.items()):
            sink.deliver(FreshIceServers(ice_servers=self._ice_servers.for_participant(uid)))

    def close(self, code: int) -> None:
        """Close every outlet; no member is waited for after that."""
        for timer in self._absent.values():
            timer.cancel()
        self._absent.clear()
        for sink in self._sinks.values():
            sink.close(code)
        self._sinks.clear()

    def _count_deliveries(self, frame: ClientFrame) -> int:
        """Return the number of frames that `frame` would cause."""
        if isinstance(frame, Mute | Chat):
            return len(self.room.members) - 1
        return int(isinstance(frame, Description | Candidate | Refuse | Ping))

    def _welcome(self, member: Member, *, is_resumed: bool) -> Joined:
        return Joined(
            channel=self.room.channel,
            uid=member.uid,
            instance=member.instance,
            resume_secret=member.resume_secret,
            is_resumed=is_resumed,
            members=tuple(self.room.others(member.uid)),
            ice_servers=self._ice_servers.for_participant(member.uid),
            is_relay_only=self._ice_servers.is_relay_only,
        )

    def _deliver(self, deliveries: Sequence[Delivery]) -> None:
        # What goes to all is one frame, written down once.
        for _, same in groupby(deliveries, key=lambda delivery: id(delivery.frame)):
            text = None
            for delivery in same:
                if (sink := self._sinks.get(delivery.uid)) is not None:
                    text = text or serialize(delivery.frame)
                    sink.deliver(delivery.frame, text)

    def _sweep(self) -> None:
        """Close the outlets of those who are no longer members."""
        if len(self._sinks) > len(self.room.members):
            for uid in [uid for uid in self._sinks if uid not in self.room.members]:
                self._expect_no_more(uid)
                self._sinks.pop(uid).close(CLOSE_GONE)
        if not self.room.members:
            self._on_empty()

    def _expect_no_more(self, uid: int) -> None:
        if (timer := self._absent.pop(uid, None)) is not None:
            timer.cancel()


def _hand_over(old: FrameSink, new: FrameSink, *, is_resumed: bool) -> None:
    if is_resumed and isinstance(old, SocketSink):
        for frame in old.undelivered():
            new.deliver(frame)
    else:
        old.deliver(ErrorFrame(code="replaced", message="your uid has joined again elsewhere"))
    old.close(CLOSE_REPLACED)
