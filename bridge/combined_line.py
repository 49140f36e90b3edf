"""`CombinedLine`: a room and the clients of the bridge as one line."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from bridge.participants import BridgeParticipants
from line.frames import BatchHandler
from line.line import MAX_EVENT_BYTES, Line, PlayoutProgress
from line.participants import ChatMessage, RemoteUser
from line.playout.audience import Audience
from line.playout.buffer import PlayoutPosition
from line.sounds.clip import Clip
from line.statistics import LineStatistics
from line.timing import HOLD_PACKETS


class Room(Line, Protocol):
    """A line whose playout takes further audiences."""

    def add_audience(self, audience: Audience) -> None:
        """Have `audience` hear what the agent says, too. Before `connect`."""
        ...


class _Users(Mapping[int, RemoteUser]):
    """Live view of several mappings of users."""

    def __init__(self, *parts: Mapping[int, RemoteUser]) -> None:
        self._parts = parts

    def __getitem__(self, uid: int) -> RemoteUser:
        for part in self._parts:
            if uid in part:
                return part[uid]
        raise KeyError(uid)

    def __iter__(self) -> Iterator[int]:
        for part in self._parts:
            yield from part

    def __len__(self) -> int:
        return sum(map(len, self._parts))


class CombinedLine:
    """The room's line, with the clients of `bridge` as further participants."""

    def __init__(self, room: Room, bridge: BridgeParticipants) -> None:
        self._room = room
        self._bridge = bridge
        self._users = _Users(room.remote_users, bridge.users)
        # Before all other listeners: they see one participant of a uid at a time.
        room.on("user_joined", lambda user: bridge.drop(user.uid))
        room.add_audience(bridge)

    @property
    def uid(self) -> int:
        """See `Line`."""
        return self._room.uid

    @property
    def remote_users(self) -> Mapping[int, RemoteUser]:
        """See `Line`."""
        return self._users

    async def connect(self) -> None:
        """See `Line`."""
        await self._room.connect()

    async def disconnect(self) -> None:
        """See `Line`."""
        await self._bridge.close()
        await self._room.disconnect()

    def on(self, name: str, listener: Callable[..., Any]) -> None:
        """See `Line`."""
        self._room.on(name, listener)
        self._bridge.emitter.on(name, listener)

    async def subscribe_audio(self, uid: int) -> None:
        """See `Line`."""
        if self._bridge.has(uid):
            self._bridge.subscribe_audio(uid)
        else:
            await self._room.subscribe_audio(uid)

    async def deliver_audio(self, uid: int, handle: BatchHandler) -> None:
        """See `Line`."""
        deliver = self._bridge.deliver_audio if self._bridge.has(uid) else self._room.deliver_audio
        await deliver(uid, handle)

    def hold_silence(self, uid: int, after_s: float | None, max_frames: int = HOLD_PACKETS) -> None:
        """See `Line`."""
        if self._bridge.has(uid):
            self._bridge.hold_silence(uid, max_frames)
        else:
            self._room.hold_silence(uid, after_s, max_frames)

    def push_audio_frame(self, pcm: bytes, *, key: Hashable = None) -> None:
        """See `Line`."""
        self._room.push_audio_frame(pcm, key=key)

    def finish_audio(self, key: Hashable) -> None:
        """See `Line`."""
        self._room.finish_audio(key)

    def clear_sender_audio_buffer(self) -> list[PlayoutPosition]:
        """See `Line`."""
        return self._room.clear_sender_audio_buffer()

    def pause_playout(self) -> None:
        """See `Line`."""
        self._room.pause_playout()

    def resume_playout(self) -> None:
        """See `Line`."""
        self._room.resume_playout()

    def playout_position(self) -> PlayoutPosition | None:
        """See `Line`."""
        return self._room.playout_position()

    @property
    def outgoing(self) -> PlayoutProgress:
        """See `Line`."""
        return self._room.outgoing

    def set_background(self, clip: Clip | None, *, duck_db: float = 0.0) -> bool:
        """See `Line`."""
        return self._room.set_background(clip, duck_db=duck_db)

    def play_sound(self, clip: Clip) -> bool:
        """See `Line`."""
        return self._room.play_sound(clip)

    def stop_sound(self) -> None:
        """See `Line`."""
        self._room.stop_sound()

    def set_muted(self, is_muted: bool) -> None:
        """See `Line`."""
        self._room.set_muted(is_muted)
        self._bridge.set_muted(is_muted)

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        """See `Line`."""
        if len(text.encode()) > MAX_EVENT_BYTES:
            raise ValueError(f"an event is at most {MAX_EVENT_BYTES} bytes")
        if uid is not None:
            if self._bridge.knows(uid):
                return self._bridge.send_event(text, uid)
            return self._room.send_event(text, uid=uid)
        is_sent = self._bridge.send_event(text, None)
        is_nobody_in_room = not self._room.remote_users and bool(self._bridge.users)
        return (self._room.send_event(text) or is_nobody_in_room) and is_sent

    async def send_chat(self, message: ChatMessage) -> None:
        """See `Line`."""
        await self._room.send_chat(message)
        self._bridge.send_chat(message)

    def statistics(self) -> LineStatistics:
        """See `Line`."""
        statistics = self._room.statistics()
        if clients := self._bridge.statistics():
            statistics = replace(statistics, users={**statistics.users, **clients})
        return statistics
