"""All clients of the bridge in one call: an audience of the agent's voice, and participants of its line."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bridge.adoption import Adoption, BridgeRefusedError
from bridge.dialects import DIALECTS
from bridge.participant import BridgeParticipant, ParticipantCallbacks, Place
from line.emitter import Emitter
from line.errors import LineError
from line.frames import BatchHandler
from line.line import LINE_EVENTS
from line.participants import ChatMessage, RemoteUser
from line.playout.buffer import PlayoutFrame
from line.playout.listener_delay import ListenerDelay
from line.playout.pacer import Slot
from line.statistics import UserStatistics

MAX_SESSIONS: Final = 32
"""As many as a room has members. Sessions without a connection go first."""
CLOSE_TIMEOUT_S: Final = 1.0

_log = logging.getLogger("bridge")


class BridgeParticipants:
    """`adopt` each connection; `close` once."""

    def __init__(self, place: Place, *, keep_s: float, is_taken: Callable[[int], bool]) -> None:
        """
        keep_s: how long a session that lost its connection may be resumed
        is_taken: whether somebody in the room has this uid
        """
        self.emitter = Emitter(LINE_EVENTS)
        self._place = place
        self._keep_s = keep_s
        self._is_taken = is_taken
        self._is_muted = False
        self._is_closed = False
        self._sessions: dict[str, BridgeParticipant] = {}
        self._users: dict[int, RemoteUser] = {}
        self._forgetting: dict[str, asyncio.TimerHandle] = {}
        self._callbacks = ParticipantCallbacks(
            on_joined=self._handle_joined,
            on_left=self._handle_left,
            on_event=lambda text, uid: self.emitter.emit("event", text, uid),
        )

    # -- coming and going ------------------------------------------------------------------------

    @property
    def users(self) -> Mapping[int, RemoteUser]:
        """Clients that take part, by uid; a live view."""
        return MappingProxyType(self._users)

    async def adopt(self, sock: socket.socket, adoption: Adoption) -> None:
        """Take over a connection; `sock` is ours from now on.

        Raises:
            BridgeRefusedError: it is not taken, and `sock` is closed here.
        """
        try:
            participant, is_resumed = self._admit(adoption)
            await participant.connect(sock, adoption, is_resumed=is_resumed)
        except BridgeRefusedError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise BridgeRefusedError("session_gone", "the client is gone") from error

    def _admit(self, adoption: Adoption) -> tuple[BridgeParticipant, bool]:
        """Return the participant of this connection, and whether its session goes on."""
        if self._is_closed:
            raise BridgeRefusedError("not_ready", "the agent is leaving")
        if adoption.dialect not in DIALECTS:
            raise BridgeRefusedError("invalid_config", "no such dialect")
        known = self._sessions.get(adoption.session_id)
        if known is not None:
            self._stop_forgetting(adoption.session_id)
            return known, True
        self._free_uid(adoption)
        self._make_room()
        participant = BridgeParticipant(adoption, self._place, self._callbacks)
        self._sessions[adoption.session_id] = participant
        # It began in a process that was lost: its events are gone, its numbers go on.
        return participant, adoption.last_seq is not None

    def _free_uid(self, adoption: Adoption) -> None:
        if self._is_taken(adoption.uid):
            raise BridgeRefusedError("uid_taken", f"uid {adoption.uid} is in the room")
        for other in list(self._sessions.values()):
            if other.uid != adoption.uid:
                continue
            if other.is_present and not adoption.may_replace:
                raise BridgeRefusedError("uid_taken", f"uid {adoption.uid} is in use")
            self._forget(other, "replaced")

    def _make_room(self) -> None:
        if len(self._sessions) < MAX_SESSIONS:
            return
        absent = next((one for one in self._sessions.values() if not one.is_present), None)
        if absent is None:
            raise BridgeRefusedError("room_full", f"the call has {MAX_SESSIONS} clients")
        self._forget(absent, "replaced")

    def drop(self, uid: int) -> None:
        """Somebody in the room took this uid. No effect if no client has it."""
        for one in list(self._sessions.values()):
            if one.uid == uid:
                self._forget(one, "replaced")

    def _forget(self, participant: BridgeParticipant, code: str) -> None:
        self._sessions.pop(participant.session_id, None)
        self._stop_forgetting(participant.session_id)
        participant.end(code, code)

    def _stop_forgetting(self, session_id: str) -> None:
        if (timer := self._forgetting.pop(session_id, None)) is not None:
            timer.cancel()

    def _handle_joined(self, participant: BridgeParticipant) -> None:
        self._users[participant.uid] = participant.user
        self.emitter.emit("user_joined", participant.user)
        self.emitter.emit("user_connected", participant.uid)

    def _handle_left(self, participant: BridgeParticipant, reason: str) -> None:
        self._users.pop(participant.uid, None)
        session_id = participant.session_id
        if reason != "vanished":
            self._sessions.pop(session_id, None)
        elif session_id in self._sessions:
            self._forgetting[session_id] = asyncio.get_running_loop().call_later(
                self._keep_s, self._sessions.pop, session_id, None
            )
        self.emitter.emit("user_left", participant.user, reason)

    async def close(self) -> None:
        """Tell all clients that the call is over, and close. Idempotent, bounded in time."""
        self._is_closed = True
        sessions = list(self._sessions.values())
        for participant in sessions:
            self._stop_forgetting(participant.session_id)
            participant.finish("call_ended")
        self._sessions.clear()
        await self.emitter.close()

    # -- what they say ---------------------------------------------------------------------------

    def has(self, uid: int) -> bool:
        """True if this uid is a client that takes part."""
        return uid in self._users

    def knows(self, uid: int) -> bool:
        """True if this uid is a client that takes part or may come back."""
        return any(one.uid == uid for one in self._sessions.values())

    def subscribe_audio(self, uid: int) -> None:
        """Begin to listen."""
        self._of(uid).audio.subscribe()

    async def deliver_audio(self, uid: int, handle: BatchHandler) -> None:
        """See `Line.deliver_audio`."""
        await self._of(uid).audio.deliver(handle)

    def hold_silence(self, uid: int, max_frames: int) -> None:
        """See `Line.hold_silence`."""
        self._of(uid).audio.hold_silence(max_frames)

    def _of(self, uid: int) -> BridgeParticipant:
        for participant in self._sessions.values():
            if participant.uid == uid and participant.is_present:
                return participant
        raise LineError("unknown_member", f"no participant with uid {uid} is in the channel")

    # -- what they get ---------------------------------------------------------------------------

    def set_muted(self, is_muted: bool) -> None:
        """Stop or resume the agent's voice."""
        self._is_muted = is_muted

    @property
    def codec_s(self) -> float:
        """Part of `Audience`: of the slowest codec."""
        return max((one.codec_s for one in self._sessions.values()), default=0.0)

    def delays(self) -> Mapping[int, ListenerDelay]:
        """Part of `Audience`."""
        return {one.uid: one.delay for one in self._sessions.values() if one.is_connected}

    def play(self, frame: PlayoutFrame, slot: Slot) -> None:
        """Part of `Audience`."""
        del slot
        if not self._is_muted:
            for participant in self._sessions.values():
                participant.play(frame)

    def send_event(self, text: str, uid: int | None) -> bool:
        """Send to one client or to all; false if one that takes part could not be reached. Clients that
        may come back get it then.
        """
        wanted = [one for one in self._sessions.values() if uid in (None, one.uid)]
        sent = [one.send_event(text) or not one.is_present for one in wanted]
        return all(sent)

    def send_chat(self, chat: ChatMessage) -> None:
        """Send a message of the agent to all."""
        for participant in self._sessions.values():
            participant.send_chat(chat)

    def statistics(self) -> dict[int, UserStatistics]:
        """Return the statistics of each client that takes part."""
        return {one.uid: one.statistics() for one in self._sessions.values() if one.is_present}
