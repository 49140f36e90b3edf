"""`InProcessLine`: the line of an agent whose application runs in the same process, without network.

The application gets the agent's voice as it comes from the model, unpaced. What was heard of it is what
the application's playback tracker says, else what has sounded by now if it plays from arrival on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from line.audio_tap import AudioTap
from line.emitter import Emitter
from line.errors import LineError
from line.frames import BatchHandler
from line.line import LINE_EVENTS, MAX_EVENT_BYTES
from line.participants import ChatMessage, RemoteUser
from line.playout.audience import Audience
from line.playout.buffer import PlayoutFrame, PlayoutPosition
from line.playout.listener_delay import ListenerDelay
from line.playout.outgoing import Outgoing
from line.playout.pacer import Slot
from line.sounds.clip import Clip
from line.statistics import LineStatistics, UserStatistics
from line.timing import HOLD_PACKETS
from parley.in_process.ear import Ear
from parley.in_process.tracked_playout import TrackedPlayout
from realtime.playback import PlaybackTracker

MAX_CHAT_CHARACTERS: Final = 8_000


class Outlet(Protocol):
    """The application's side. Its methods must return at once and not raise."""

    def handle_audio(self, key: Hashable, pcm: bytes) -> None:
        """A piece of the agent's voice, unpaced."""
        ...

    def handle_audio_done(self, key: Hashable) -> None:
        """No more audio for `key`."""
        ...

    def handle_cleared(self, positions: list[PlayoutPosition]) -> None:
        """The agent fell silent: what is not played of these keys never will be."""
        ...

    def handle_line_event(self, text: str, uid: int | None) -> None:
        """A server event, for one participant or for all."""
        ...

    def handle_chat(self, message: ChatMessage) -> None:
        """A chat message of the agent."""
        ...

    def handle_played(self, frame: PlayoutFrame) -> None:
        """A frame that sounds now, where the clock and no tracker says so."""
        ...


class _Listeners:
    """An `Audience` of all participants: a sample sounds when it is due, unless they report else."""

    codec_s = 0.0

    def __init__(self, outlet: Outlet, is_heard: Callable[[], bool]) -> None:
        self._outlet = outlet
        self._is_heard = is_heard
        self._delays: dict[int, ListenerDelay] = {}

    def add(self, uid: int) -> None:
        """A participant joined."""
        self._delays[uid] = delay = ListenerDelay()
        delay.handle_playout(0.0, None)

    def remove(self, uid: int) -> None:
        """A participant left."""
        self._delays.pop(uid, None)

    def delays(self) -> Mapping[int, ListenerDelay]:
        """The participants, by uid."""
        return self._delays

    def play(self, frame: PlayoutFrame, slot: Slot) -> None:  # noqa: ARG002 - an Audience's form
        """Pass on a frame with sound."""
        if frame.parts and self._is_heard():
            self._outlet.handle_played(frame)


class InProcessLine:
    """A `line.line.Line`; made by a `CreateLine`. Its participants are the application's doing."""

    def __init__(
        self,
        sample_rate_hz: int,
        *,
        tap: AudioTap | None,
        outlet: Outlet,
        uid: int,
        tracker: PlaybackTracker | None = None,
    ) -> None:
        """tracker: fed by the application with what it has played; None: the clock decides"""
        self.sample_rate_hz = sample_rate_hz
        self._uid = uid
        self._tap = tap
        self._outlet = outlet
        self._tracker = tracker
        self._emitter = Emitter(LINE_EVENTS)
        self._users: dict[int, RemoteUser] = {}
        self._ears: dict[int, Ear] = {}
        self._listeners = _Listeners(outlet, lambda: not self._is_muted)
        self._voice: Outgoing | TrackedPlayout | None = None
        self._is_closed = False
        self._is_muted = False

    # -- participants ------------------------------------------------------------------------------

    def join(self, uid: int, name: str = "") -> None:
        """A person joins; before `connect`, the person is there from the beginning on."""
        if uid in self._users or uid == self._uid:
            raise ValueError(f"uid {uid} is taken")
        self._users[uid] = user = RemoteUser(uid, name, "user")
        if self._voice is not None:
            self._admit(user)

    def leave(self, uid: int, reason: str = "left") -> None:
        """A person leaves. Unknown ones are ignored."""
        if (user := self._users.pop(uid, None)) is not None:
            if (ear := self._ears.pop(uid, None)) is not None:
                ear.close()
            self._listeners.remove(uid)
            self._emitter.emit("user_left", user, reason)

    def push_user_audio(self, uid: int, pcm: bytes) -> None:
        """A person says PCM16 at the line's rate; at most as fast as real time, in the long run."""
        if (ear := self._ears.get(uid)) is not None:
            ear.push(pcm)

    async def until_heard(self, uid: int) -> None:
        """Return when the agent has taken all that this person has said so far."""
        if (ear := self._ears.get(uid)) is not None:
            await ear.until_taken()

    def push_user_event(self, uid: int, text: str) -> None:
        """A person sends a client event, as JSON."""
        if len(text.encode()) > MAX_EVENT_BYTES:
            self._emitter.emit("event_refused", f"over {MAX_EVENT_BYTES} bytes", uid)
        else:
            self._emitter.emit("event", text, uid)

    def push_user_chat(self, uid: int, text: str) -> None:
        """A person writes a chat message."""
        self._emitter.emit("message", ChatMessage(text), uid)

    def settle_playout(self) -> None:
        """Take all that the application got for heard: nothing will interrupt it any more."""
        if self._voice is None:
            return
        for position in self._voice.clear():
            self._emitter.emit("playout_done", position.key)

    # -- `Line` ------------------------------------------------------------------------------------

    @property
    def uid(self) -> int:
        """The agent's uid."""
        return self._uid

    @property
    def remote_users(self) -> Mapping[int, RemoteUser]:
        """Everybody else, by uid; a live view."""
        return MappingProxyType(self._users)

    async def connect(self) -> None:
        """Begin.

        Raises:
            LineError: code closed: it was connected before.
        """
        if self._voice is not None or self._is_closed:
            raise LineError("closed", "a line connects once; create another one")
        self._voice = self._create_voice()
        self._voice.start()
        for user in list(self._users.values()):
            self._admit(user)

    def _create_voice(self) -> Outgoing | TrackedPlayout:
        on_sent = None if self._tap is None else self._tap_sent
        if self._tracker is not None:
            return TrackedPlayout(
                self.sample_rate_hz,
                self._tracker,
                on_started=lambda key: self._emitter.emit("playout_started", key),
                on_done=lambda key: self._emitter.emit("playout_done", key),
                on_sent=on_sent,
            )
        audiences: list[Audience] = [self._listeners]
        return Outgoing(
            self.sample_rate_hz,
            audiences=audiences,
            on_started=lambda key: self._emitter.emit("playout_started", key),
            on_done=lambda key: self._emitter.emit("playout_done", key),
            on_sent=on_sent,
            dump=None,
        )

    def _tap_sent(self, pcm: bytes, at_s: float) -> None:
        if self._tap is not None and not self._is_muted:
            self._tap.handle_sent_audio(pcm, at_s)

    def _admit(self, user: RemoteUser) -> None:
        self._ears[user.uid] = Ear(user.uid, self.sample_rate_hz, self._tap)
        self._listeners.add(user.uid)
        self._emitter.emit("user_joined", user)
        self._emitter.emit("user_connected", user.uid)

    async def disconnect(self) -> None:
        """End. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        for ear in self._ears.values():
            ear.close()
        if self._voice is not None:
            await self._voice.close()
        await self._emitter.close()

    def on(self, name: str, listener: Callable[..., Any]) -> None:
        """Call `listener` on every event `name`."""
        self._emitter.on(name, listener)

    async def subscribe_audio(self, uid: int) -> None:
        """Begin to listen to `uid`.

        Raises:
            LineError: code unknown_member.
        """
        self._ear(uid)

    async def deliver_audio(self, uid: int, handle: BatchHandler) -> None:
        """Have `handle` take the frames of `uid`.

        Raises:
            LineError: code unknown_member.
        """
        await self._ear(uid).deliver(handle)

    def hold_silence(self, uid: int, after_s: float | None, max_frames: int = HOLD_PACKETS) -> None:
        """Allow silence of `uid` to come in batches; None: frame by frame."""
        if (ear := self._ears.get(uid)) is not None:
            ear.hold_silence(after_s, max_frames)

    def _ear(self, uid: int) -> Ear:
        if (ear := self._ears.get(uid)) is None:
            raise LineError("unknown_member", f"no participant with uid {uid} is on the line")
        return ear

    def push_audio_frame(self, pcm: bytes, *, key: Hashable = None) -> None:
        """Give PCM16 of any length to the application.

        Raises:
            LineError: not connected.
        """
        voice = self.outgoing
        if not self._is_muted:
            self._outlet.handle_audio(key, pcm)
        voice.push(key, pcm)

    def finish_audio(self, key: Hashable) -> None:
        """No more audio for `key`."""
        voice = self.outgoing
        self._outlet.handle_audio_done(key)
        voice.finish(key)

    def clear_sender_audio_buffer(self) -> list[PlayoutPosition]:
        """Fall silent now; where each key stood."""
        if self._voice is None:
            return []
        positions = self._voice.clear()
        self._outlet.handle_cleared(positions)
        return positions

    def pause_playout(self) -> None:
        """Pause the clock; the application gets a server event."""
        if self._voice is not None:
            self._voice.pause()

    def resume_playout(self) -> None:
        """Go on."""
        if self._voice is not None:
            self._voice.resume()

    def playout_position(self) -> PlayoutPosition | None:
        """The position of the key that plays now; None in silence."""
        return None if self._voice is None else self._voice.position()

    @property
    def outgoing(self) -> Outgoing | TrackedPlayout:
        """The agent's voice in detail.

        Raises:
            LineError: not connected.
        """
        if self._voice is None or self._is_closed:
            raise LineError("closed", "the line is not connected")
        return self._voice

    def set_background(self, clip: Clip | None, *, duck_db: float = 0.0) -> bool:  # noqa: ARG002
        """Refused: the application plays the voice itself."""
        return False

    def play_sound(self, clip: Clip) -> bool:  # noqa: ARG002
        """Refused, as a background is."""
        return False

    def stop_sound(self) -> None:
        """Nothing plays."""

    def set_muted(self, is_muted: bool) -> None:
        """Stop or resume passing audio on; playout goes on unheard."""
        self._is_muted = is_muted

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        """Give a server event to the application.

        Raises:
            ValueError: over `MAX_EVENT_BYTES`.
        """
        if len(text.encode()) > MAX_EVENT_BYTES:
            raise ValueError(f"an event is at most {MAX_EVENT_BYTES} bytes")
        if self._is_closed or (uid is not None and uid not in self._users):
            return False
        self._outlet.handle_line_event(text, uid)
        return bool(self._users)

    async def send_chat(self, message: ChatMessage) -> None:
        """Give a chat message to the application.

        Raises:
            LineError: not connected.
            ValueError: the text is empty or too long.
        """
        if self._voice is None or self._is_closed:
            raise LineError("closed", "the line is not connected")
        if not 0 < len(message.text) <= MAX_CHAT_CHARACTERS:
            raise ValueError(f"the text has 1 to {MAX_CHAT_CHARACTERS} characters")
        self._outlet.handle_chat(message)

    def statistics(self) -> LineStatistics:
        """Return the statistics of this moment."""
        now_s = asyncio.get_running_loop().time()
        sent = None if self._voice is None else self._voice.statistics
        users = {uid: _user_statistics(ear, now_s) for uid, ear in self._ears.items()}
        return LineStatistics(
            connection_state="closed" if self._is_closed else "connected" if sent else "new",
            is_muted=self._is_muted,
            queued_ms=sent.queued_ms if sent else 0.0,
            played_ms=sent.played_ms if sent else 0.0,
            packets_sent=sent.frames_sent if sent else 0,
            underruns=sent.underruns if sent else 0,
            overrun_ms=sent.overrun_ms if sent else 0.0,
            playout_stalls=sent.stalls if sent else 0,
            users=users,
        )


def _user_statistics(ear: Ear, now_s: float) -> UserStatistics:
    return UserStatistics(
        connection="connected",
        frames_filled=ear.filled,
        frames_dropped=ear.dropped,
        last_packet_age_s=None if ear.last_audio_s is None else now_s - ear.last_audio_s,
    )
