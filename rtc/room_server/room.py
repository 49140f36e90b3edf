"""One room: who is in it, and what each frame of a member makes the others hear. Pure.

Every method decides and returns deliveries; it never sends. A refused frame raises `SignalError`
and changes nothing.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

from line.participants import Role
from rtc.identifiers import MAX_UID
from rtc.room_server.resume_secrets import ResumeSecrets
from rtc.room_server.tokens import UidClaim
from rtc.signaling.display_names import marked_name, name_key, shown_name
from rtc.signaling.protocol import (
    Candidate,
    Chat,
    ClientFrame,
    Description,
    Join,
    Leave,
    LeaveReason,
    MemberInfo,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    Mute,
    PeerClosed,
    Ping,
    Pong,
    Refuse,
    RelayedCandidate,
    RelayedChat,
    RelayedDescription,
    RelayedRefusal,
    ServerFrame,
    SignalError,
)

MAX_MEMBERS = 32
PLACES_FOR_AGENTS = 4


@dataclass(frozen=True)
class Member:
    """A participant. `via` is set for a one-request caller: the agent holding its connection.

    `number` is of this stay in the room and of no other, unlike `uid` and `instance`, which others
    choose. `resume_secret` is for the member alone. `team` None: it may be in any team's room.
    """

    uid: int
    name: str
    role: Role
    instance: str
    number: int
    resume_secret: str = field(repr=False)
    is_muted: bool = False
    via: int | None = None
    team: str | None = None

    def info(self) -> MemberInfo:
        """As the others see it."""
        return MemberInfo(
            uid=self.uid,
            name=self.name,
            role=self.role,
            is_muted=self.is_muted,
            instance=self.instance,
            via=self.via,
        )


@dataclass(frozen=True)
class Delivery:
    """`frame` goes to the member `uid`."""

    uid: int
    frame: ServerFrame


@dataclass(frozen=True)
class JoinOutcome:
    """is_resumed: the same participant came back; is_replaced: it took over another's uid."""

    member: Member
    is_resumed: bool
    is_replaced: bool
    deliveries: list[Delivery] = field(default_factory=list)


def _random_uid() -> int:
    return 1 + secrets.randbelow(MAX_UID)


class Room:
    """The members of one channel, in the order in which they joined."""

    def __init__(
        self,
        channel: str,
        *,
        max_members: int = MAX_MEMBERS,
        resume_secrets: ResumeSecrets | None = None,
        random_uid: Callable[[], int] = _random_uid,
    ) -> None:
        self.channel = channel
        self.members: dict[int, Member] = {}
        self._max_members = max_members
        self._resume_secrets = resume_secrets or ResumeSecrets()
        self._random_uid = random_uid
        self._numbers = itertools.count(1)

    def join(
        self,
        wanted: Join,
        *,
        claim: UidClaim = UidClaim.FREE,
        team: str | None = None,
        via: int | None = None,
    ) -> JoinOutcome:
        """Take a newcomer in, resume it, or let it replace who has its uid, as far as it may.

        The secret of the place resumes it, or replaces its holder when `instance` is another. Without
        it, a uid in use is only for those whose `claim` is OWN.

        Raises:
            SignalError: room_full, uid_taken, forbidden.
        """
        if None not in (team, self.team) and team != self.team:
            raise SignalError("forbidden", "the room token is for calls of another team", "join")
        old = self.members.get(wanted.uid) if wanted.uid is not None else None
        is_proven = self._is_proven(wanted, old)
        _check_uid(wanted, old, claim, is_proven=is_proven)
        if old is not None and is_proven and old.instance == wanted.instance:
            return JoinOutcome(old, is_resumed=True, is_replaced=False)
        if old is None and len(self.members) >= self._places(wanted.role):
            raise SignalError("room_full", f"the room has {len(self.members)} members", "join")
        deliveries = [] if old is None else self.leave(old.uid, "replaced")
        newcomer = self._newcomer(wanted, old, is_proven=is_proven, via=via)
        member = replace(newcomer, team=team)
        if member.role == "agent":
            deliveries += self._mark_namesakes(member)
        deliveries += self._to_all(MemberJoined(member=member.info()))
        self.members[member.uid] = member
        return JoinOutcome(member, False, old is not None, deliveries)

    @property
    def team(self) -> str | None:
        """The team whose members are here; None: of no particular one."""
        teams = (member.team for member in self.members.values() if member.team is not None)
        return next(teams, None)

    def _places(self, role: Role) -> int:
        """For members in all, some of them for agents alone: people do not keep an agent out."""
        return self._max_members + (PLACES_FOR_AGENTS if role == "agent" else 0)

    def has_place_of(self, wanted: Join) -> bool:
        """True if a member comes back to the place that it still has, and proves it."""
        old = None if wanted.uid is None else self.members.get(wanted.uid)
        return old is not None and self._is_proven(wanted, old)

    def _is_proven(self, wanted: Join, old: Member | None) -> bool:
        """True if the place is the newcomer's own, or was before its connection was lost."""
        if wanted.uid is None or wanted.resume_secret is None:
            return False
        if old is None:
            role, uid = wanted.role, wanted.uid
            return self._resume_secrets.knows(wanted.resume_secret, self.channel, role, uid)
        is_same = secrets.compare_digest(wanted.resume_secret, old.resume_secret)
        return is_same and old.role == wanted.role and old.via is None

    def _newcomer(
        self, wanted: Join, old: Member | None, *, is_proven: bool, via: int | None
    ) -> Member:
        uid = wanted.uid or self._free_uid()
        instance = wanted.instance
        if instance is None or (old is not None and old.instance == instance):
            # The others take the same word for the same participant, whose connections last.
            instance = secrets.token_hex(8)
        secret = wanted.resume_secret if is_proven else None
        return Member(
            uid=uid,
            name=self._name_of(wanted, uid),
            role=wanted.role,
            instance=instance,
            number=next(self._numbers),
            # Kept over a reload of the page, whose answer may be lost on its way.
            resume_secret=secret or self._resume_secrets.make(self.channel, wanted.role, uid),
            via=via,
        )

    def _name_of(self, wanted: Join, uid: int) -> str:
        name = shown_name(wanted.name)
        agents = {name_key(one.name) for one in self.members.values() if one.role == "agent"}
        is_taken = wanted.role != "agent" and name_key(name) in agents - {""}
        return marked_name(name, uid) if is_taken else name

    def _mark_namesakes(self, agent: Member) -> list[Delivery]:
        """People who are called like `agent`, which comes after them."""
        deliveries: list[Delivery] = []
        for one in list(self.members.values()):
            if one.role != "agent" and name_key(one.name) == name_key(agent.name) != "":
                marked = replace(one, name=marked_name(one.name, one.uid))
                self.members[one.uid] = marked
                deliveries += self._to_all(MemberUpdated(member=marked.info()), but=one.uid)
        return deliveries

    def leave(self, uid: int, reason: LeaveReason) -> list[Delivery]:
        """Take `uid` out, with the one-request callers that only it could reach. Idempotent."""
        if self.members.pop(uid, None) is None:
            return []
        callers = [member.uid for member in self.members.values() if member.via == uid]
        for caller in callers:
            del self.members[caller]
        deliveries = self._to_all(MemberLeft(uid=uid, reason=reason))
        for caller in callers:
            deliveries += self._to_all(MemberLeft(uid=caller, reason="closed"))
        return deliveries

    def handle(self, sender: int, frame: ClientFrame, *, now_ms: int) -> list[Delivery]:
        """React to a frame of the member `sender`; now_ms: Unix time for the stamp of a chat.

        Raises:
            SignalError: already_joined, unknown_member, not_allowed.
        """
        match frame:
            case Join():
                raise SignalError("already_joined", "you are in the room already", "join")
            case Leave():
                return self.leave(sender, "left")
            case Mute():
                return self._mute(sender, is_muted=frame.is_muted)
            case Description() | Candidate() | Refuse():
                return [self._relay(sender, frame)]
            case Chat():
                return self._chat(sender, frame, now_ms)
            case Ping():
                return [Delivery(sender, Pong())]
            case PeerClosed():
                return self._peer_closed(sender, frame)
            case _:
                assert_never(frame)

    def others(self, uid: int) -> list[MemberInfo]:
        """Everybody but `uid`, in the order in which they joined."""
        return [member.info() for member in self.members.values() if member.uid != uid]

    def first_agent(self) -> Member | None:
        """The agent that has been here longest."""
        return next((m for m in self.members.values() if m.role == "agent"), None)

    def _free_uid(self) -> int:
        while (uid := self._random_uid()) in self.members:
            pass
        return uid

    def _to_all(self, frame: ServerFrame, *, but: int | None = None) -> list[Delivery]:
        return [Delivery(uid, frame) for uid in self.members if uid != but]

    def _mute(self, sender: int, *, is_muted: bool) -> list[Delivery]:
        if self.members[sender].is_muted == is_muted:
            return []
        member = replace(self.members[sender], is_muted=is_muted)
        self.members[sender] = member
        return self._to_all(MemberUpdated(member=member.info()), but=sender)

    def _relay(self, sender: int, frame: Description | Candidate | Refuse) -> Delivery:
        to = self.members.get(frame.to)
        if to is None or to.uid == sender:
            raise SignalError("unknown_member", f"no other member has uid {frame.to}", frame.type)
        if to.via not in (None, sender):
            raise SignalError(
                "not_allowed", "that member is reached by its agent alone", frame.type
            )
        if isinstance(frame, Description):
            return Delivery(
                to.uid,
                RelayedDescription(
                    sender=sender,
                    connection_id=frame.connection_id,
                    sdp_type=frame.sdp_type,
                    sdp=frame.sdp,
                ),
            )
        if isinstance(frame, Refuse):
            return Delivery(
                to.uid,
                RelayedRefusal(
                    sender=sender,
                    connection_id=frame.connection_id,
                    code=frame.code,
                    message=frame.message,
                ),
            )
        return Delivery(
            to.uid,
            RelayedCandidate(
                sender=sender,
                connection_id=frame.connection_id,
                candidate=frame.candidate,
                sdp_mid=frame.sdp_mid,
                sdp_m_line_index=frame.sdp_m_line_index,
            ),
        )

    def _chat(self, sender: int, frame: Chat, now_ms: int) -> list[Delivery]:
        if self.members[sender].role == "listener":
            raise SignalError("not_allowed", "a listener writes nothing", frame.type)
        relayed = RelayedChat(
            sender=sender,
            text=frame.text,
            message_id=frame.message_id or secrets.token_hex(8),
            sent_at_ms=now_ms,
        )
        return self._to_all(relayed, but=sender)

    def _peer_closed(self, sender: int, frame: PeerClosed) -> list[Delivery]:
        caller = self.members.get(frame.uid)
        if caller is None:
            raise SignalError("unknown_member", f"no member has uid {frame.uid}", frame.type)
        if caller.via != sender:
            raise SignalError("not_allowed", f"{frame.uid} is no caller of yours", frame.type)
        return self.leave(frame.uid, "closed")


def _check_uid(wanted: Join, old: Member | None, claim: UidClaim, *, is_proven: bool) -> None:
    """Check that a newcomer may have the uid that it names.

    Raises:
        SignalError: uid_taken, forbidden.
    """
    if wanted.uid is None or is_proven:
        return
    if claim is UidClaim.NONE:
        text = "the room token names no uid: leave `uid` out, or show the `resume_secret` of your place"
        raise SignalError("forbidden", text, "join")
    if old is None:
        return
    # Agents go before people, or a person could bar an agent by taking its uid first.
    if claim is not UidClaim.OWN or (old.role == "agent" and wanted.role != "agent"):
        text = "this uid is in use: only its owner may take its place"
        raise SignalError("uid_taken", text, "join")
