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

from rtc.delivery_budget import DeliveryBudget
from rtc.room import Delivery, Member, Room
from rtc.room_socket import CLOSE_REPLACED, Outlet, SocketOutlet
from rtc.signals import (
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
from rtc.tokens import UidClaim
from rtc.turn import IceServers
from utils import wall_clock_ms

CLOSE_GONE: Final = 1000

logger = logging.getLogger(__name__)


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
        self._outlets: dict[int, Outlet] = {}
        # Members whose socket broke and who may still come back, each with its deadline.
        self._absent: dict[int, asyncio.TimerHandle] = {}

    def join(
        self, wanted: Join, outlet: Outlet, *, claim: UidClaim, via: int | None = None
    ) -> Member:
        """Take a participant in; its frames go to `outlet`.

        Raises:
            SignalError: room_full, uid_taken, forbidden.
        """
        outcome = self.room.join(wanted, claim=claim, via=via)
        member = outcome.member
        old = self._outlets.pop(member.uid, None)
        self._expect_no_more(member.uid)
        # Those who left with the old one, and those who hear of the newcomer.
        self._deliver(outcome.deliveries)
        self._budget.charge(len(outcome.deliveries))
        self._budget.retain([one.number for one in self.room.members.values()])
        self._outlets[member.uid] = outlet
        outlet.deliver(self._welcome(member, is_resumed=outcome.is_resumed))
        if old is not None:
            _hand_over(old, outlet, is_resumed=outcome.is_resumed)
        self._sweep()
        logger.info("room %s: %s %d joined", self.room.channel, member.role, member.uid)
        return member

    def leave(self, uid: int, reason: LeaveReason, *, number: int | None = None) -> None:
        """Take `uid` out and tell the others. Idempotent.

        number: of the stay that ends; whoever has the uid by then in another one is left alone.
        """
        member = self.room.members.get(uid)
        if member is None or number not in (None, member.number):
            return
        logger.info("room %s: %d left (%s)", self.room.channel, uid, reason)
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

    def has(self, member: Member, outlet: Outlet) -> bool:
        """Whether `member` is here by `outlet`."""
        return self._outlets.get(member.uid) is outlet

    def lose(self, member: Member, outlet: Outlet) -> None:
        """The socket of a member broke without `leave`: give it a moment to come back."""
        if not self.has(member, outlet):
            return
        leave = partial(self.leave, member.uid, "vanished", number=member.number)
        loop = asyncio.get_running_loop()
        self._absent[member.uid] = loop.call_later(self._resume_grace_s, leave)

    def refresh_credentials(self) -> None:
        """New ones for everybody, for connections to come."""
        for uid, outlet in list(self._outlets.items()):
            outlet.deliver(FreshIceServers(ice_servers=self._ice_servers.for_participant(uid)))

    def close(self, code: int) -> None:
        """Close every outlet and wait for nobody any more."""
        for timer in self._absent.values():
            timer.cancel()
        self._absent.clear()
        for outlet in self._outlets.values():
            outlet.close(code)
        self._outlets.clear()

    def _count_deliveries(self, frame: ClientFrame) -> int:
        """How many frames `frame` would make us send."""
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
                if (outlet := self._outlets.get(delivery.uid)) is not None:
                    text = text or serialize(delivery.frame)
                    outlet.deliver(delivery.frame, text)

    def _sweep(self) -> None:
        """Close the outlets of those who are no longer members."""
        if len(self._outlets) > len(self.room.members):
            for uid in [uid for uid in self._outlets if uid not in self.room.members]:
                self._expect_no_more(uid)
                self._outlets.pop(uid).close(CLOSE_GONE)
        if not self.room.members:
            self._on_empty()

    def _expect_no_more(self, uid: int) -> None:
        if (timer := self._absent.pop(uid, None)) is not None:
            timer.cancel()


def _hand_over(old: Outlet, new: Outlet, *, is_resumed: bool) -> None:
    if is_resumed and isinstance(old, SocketOutlet):
        for frame in old.undelivered():
            new.deliver(frame)
    else:
        old.deliver(ErrorFrame(code="replaced", message="your uid joined anew elsewhere"))
    old.close(CLOSE_REPLACED)
