"""A participation in one channel: who is there, what they say, and what we say to them.

A `Line` by WebRTC: its events are those of `line.line.LINE_EVENTS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Hashable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from audio import PcmDump
from line.emitter import Emitter, Listener
from line.frames import BatchHandler, PcmAudioFrame
from line.line import LINE_EVENTS, MAX_EVENT_BYTES
from line.participants import ChatMessage, RemoteUser
from line.playout.audience import Audience
from line.playout.buffer import PlayoutPosition
from line.playout.listener_delay import ListenerDelay
from line.playout.outgoing import Outgoing
from line.sounds.clip import Clip
from line.statistics import LineStatistics
from line.timing import HOLD_PACKETS
from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.errors import RoomError
from rtc.options import MediaOptions, RtcOptions
from rtc.opus import OpusEncoder
from rtc.peer.link import LinkCallbacks
from rtc.peer.mesh import Mesh
from rtc.peer.peer import Peer
from rtc.receive.remote_audio import RemoteAudio
from rtc.signaling.client import ConnectionState, SignalingClient, room_socket_url
from rtc.signaling.protocol import Chat, ClientFrame, Join, LeaveReason, Mute, RelayedChat
from rtc.statistics import channel_statistics, user_statistics
from rtc.voice import OpusVoice

__all__ = [
    "Channel",
    "ChatMessage",
    "ConnectionState",
    "MediaOptions",
    "PcmAudioFrame",
    "PlayoutPosition",
    "RemoteUser",
    "RoomError",
    "RtcOptions",
]

DISCONNECT_TIMEOUT_S: Final = 8.0

_log = logging.getLogger(__name__)


class ChannelChat:
    """Text to everybody else in the channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def send_message(self, message: ChatMessage) -> None:
        """Send, and wait until it is written.

        Raises:
            RoomError: not connected, or the room does not take frames.
            ValueError: the text is empty or over 8000 characters, or the id is not a plain word.
        """
        await self._channel.send_chat(message)


class Channel:
    """Made by `RtcEngine.create_channel`; `connect` once, `disconnect` once, then it is spent."""

    def __init__(self, room_url: str, options: RtcOptions, media: MediaOptions) -> None:
        self.options = options
        self.chat = ChannelChat(self)
        self._room_url = room_url
        self._media = media
        self._uid = options.uid
        self._is_muted = False
        self._is_disconnected = False
        self._audio: dict[int, RemoteAudio] = {}
        self._emitter = Emitter(LINE_EVENTS)
        self._signaling: SignalingClient | None = None
        self._outgoing: Outgoing | None = None
        self._voice: OpusVoice | None = None
        self._audiences: list[Audience] = []
        self._mesh = Mesh(
            LinkCallbacks(
                send=self._send_frame,
                on_connected=self._handle_connected,
                on_disconnected=self._handle_disconnected,
                on_packet=self._handle_packet,
                on_event=self._handle_event,
                on_event_refused=lambda uid, reason: self._emitter.emit(
                    "event_refused", reason, uid
                ),
                on_refused=lambda uid, reason: self._emitter.emit("media_refused", reason, uid),
            ),
            self._network_options(),
            on_joined=self._handle_joined,
            on_left=self._handle_left,
            on_updated=lambda user: self._emitter.emit("user_updated", user),
            on_chat=self._handle_chat,
        )

    # -- coming and going -----------------------------------------------------------------------

    @property
    def uid(self) -> int:
        """Our uid; 0 until the room has given us one."""
        return self._uid or 0

    @property
    def remote_users(self) -> Mapping[int, RemoteUser]:
        """Everybody else but listeners, by uid; a live view."""
        return MappingProxyType(self._mesh.users)

    @property
    def connection_state(self) -> ConnectionState:
        """The state of signaling; media lives on its own."""
        return ConnectionState.NEW if self._signaling is None else self._signaling.state

    async def connect(self) -> None:
        """Join the room; media to each member follows (`user_connected`).

        Raises:
            RoomError: with its code; nothing is left open.
        """
        if self._signaling is not None:
            raise RoomError("closed", "a channel connects once; create another one")
        options = self.options
        join = Join(
            role=options.role,
            uid=options.uid,
            name=options.name,
            instance=secrets.token_hex(8),
            token=options.token,
        )
        self._signaling = SignalingClient(
            room_socket_url(self._room_url, options.channel_name),
            join,
            on_frame=self._mesh.handle_frame,
            on_state=lambda state: self._emitter.emit("connection_state_changed", state),
        )
        joined = await self._signaling.connect()
        self._uid = joined.uid
        self._outgoing = self._create_outgoing()
        self._outgoing.start()
        self._mesh.handle_frame(joined)

    async def disconnect(self) -> None:
        """Say goodbye and close everything. Idempotent; takes at most `DISCONNECT_TIMEOUT_S`."""
        if self._is_disconnected:
            return
        self._is_disconnected = True
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                await self._close_all()
        except TimeoutError:
            _log.warning("the channel did not close within %.0f s", DISCONNECT_TIMEOUT_S)

    async def _close_all(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._emitter.close)
            if self._outgoing is not None:
                stack.push_async_callback(self._outgoing.close)
            if self._voice is not None:
                stack.callback(self._voice.close)
            for audio in self._audio.values():
                stack.callback(audio.close)
            stack.push_async_callback(self._mesh.close)
            if self._signaling is not None:
                stack.push_async_callback(self._signaling.close)

    def _network_options(self) -> MediaOptions:
        if self._media.has_loopback is not None:
            return self._media
        is_local = urlsplit(self._room_url).hostname in ("127.0.0.1", "localhost", "::1")
        return replace(self._media, has_loopback=is_local)

    # -- listeners ------------------------------------------------------------------------------

    def on(self, name: str, listener: Listener) -> None:
        """Call `listener` on every event `name`."""
        self._emitter.on(name, listener)

    def once(self, name: str, listener: Listener) -> None:
        """Call `listener` on the next event `name`."""
        self._emitter.once(name, listener)

    def off(self, name: str, listener: Listener) -> None:
        """Forget `listener`."""
        self._emitter.off(name, listener)

    # -- what they say --------------------------------------------------------------------------

    async def subscribe_audio(self, uid: int) -> None:
        """Start to decode what `uid` says, and to keep up to 1 s of it for `get_audio_frames`.

        Raises:
            RoomError: code unknown_member.
        """
        self._audio_of(uid).subscribe()

    def get_audio_frames(self, uid: int) -> AsyncIterator[PcmAudioFrame]:
        """Frames of 20 ms without gaps until `uid` leaves; one reader at a time.

        Raises:
            RoomError: code unknown_member.
        """
        return self._audio_of(uid).frames()

    async def deliver_audio(self, uid: int, handle: BatchHandler) -> None:
        """Have `handle` take the frames of `uid`, all that wait at once, until `uid` leaves or it returns
        False: one while `uid` speaks, more in silence. It begins in the step in which a frame came; while
        it waits, up to 1 s is kept.

        Raises:
            RoomError: code unknown_member.
        """
        await self._audio_of(uid).deliver(handle)

    def hold_silence(self, uid: int, after_s: float | None, max_frames: int = HOLD_PACKETS) -> None:
        """Let frames of `uid` come in batches while it is silent; None: one by one.

        after_s: how long it must have been silent. Sound comes at once, with all that came before.
        max_frames: in a batch, of 20 ms each
        """
        if (audio := self._audio.get(uid)) is not None:
            audio.hold_silence(after_s, max_frames)

    def _audio_of(self, uid: int) -> RemoteAudio:
        if (audio := self._audio.get(uid)) is None:
            raise RoomError("unknown_member", f"no participant with uid {uid} is in the channel")
        return audio

    # -- what we say ----------------------------------------------------------------------------

    def push_audio_frame(self, pcm: bytes, *, key: Hashable = None) -> None:
        """Queue PCM16 under `key`, of any length; over 10 min waiting, the rest is dropped.

        Raises:
            RoomError: not connected.
        """
        self.outgoing.push(key, pcm)

    def finish_audio(self, key: Hashable) -> None:
        """No more audio for `key`: `playout_done` follows its last sample."""
        self.outgoing.finish(key)

    def clear_sender_audio_buffer(self) -> list[PlayoutPosition]:
        """Fall silent now; where each key that was playing or waiting stood."""
        return self._outgoing.clear() if self._outgoing is not None else []

    def pause_playout(self) -> None:
        """Fall silent now, keeping what waits; more may be pushed meanwhile."""
        if self._outgoing is not None:
            self._outgoing.pause()

    def resume_playout(self) -> None:
        """Go on with the sample after the last one that left."""
        if self._outgoing is not None:
            self._outgoing.resume()

    def playout_position(self) -> PlayoutPosition | None:
        """The position of the key that plays now; None in silence."""
        return None if self._outgoing is None else self._outgoing.position()

    @property
    def outgoing(self) -> Outgoing:
        """Our voice in detail: what each listener has heard of it.

        Raises:
            RoomError: not connected.
        """
        if self._outgoing is None or self._is_disconnected:
            raise RoomError("closed", "the channel is not connected")
        return self._outgoing

    def set_background(self, clip: Clip | None, *, duck_db: float = 0.0) -> bool:
        """Have a sound under our voice and in silences; None: no longer."""
        if self._outgoing is not None:
            self._outgoing.set_background(clip, duck_db=duck_db)
        return True

    def play_sound(self, clip: Clip) -> bool:
        """Play a single sound until its end, `stop_sound` or our voice."""
        if self._outgoing is not None:
            self._outgoing.play_sound(clip)
        return True

    def stop_sound(self) -> None:
        """Fade it out within the next frame. Idempotent."""
        if self._outgoing is not None:
            self._outgoing.stop_sound()

    def set_muted(self, is_muted: bool) -> None:
        """Stop or resume sending; playout goes on unheard. The other members are notified."""
        if is_muted != self._is_muted:
            self._is_muted = is_muted
            self._send_frame(Mute(is_muted=is_muted))

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        """Send over the data channel to `uid` or to all; False when a member could not be reached.

        Raises:
            ValueError: over 60 KiB.
        """
        if len(text.encode()) > MAX_EVENT_BYTES:
            raise ValueError(f"an event is at most {MAX_EVENT_BYTES} bytes")
        links = self._mesh.links
        wanted = [links[uid]] if uid in links else list(links.values()) if uid is None else []
        peers = [link.peer for link in wanted if link.peer is not None]
        sent = [peer.send_event(text) for peer in peers]
        return bool(sent) and all(sent)

    async def send_chat(self, message: ChatMessage) -> None:
        """Send a chat message; the work of `chat.send_message`."""
        if self._signaling is None:
            raise RoomError("closed", "the channel is not connected")
        self._signaling.send(Chat(text=message.text, message_id=message.message_id))
        await self._signaling.flush()

    def _create_outgoing(self) -> Outgoing:
        self._voice = self._create_voice()
        self._audiences.append(self._voice)
        return Outgoing(
            self.options.sample_rate_hz,
            audiences=self._audiences,
            on_started=lambda key: self._emitter.emit("playout_started", key),
            on_done=lambda key: self._emitter.emit("playout_done", key),
            on_sent=None if self.options.tap is None else self._tap_sent,
            dump=self._dump("sent"),
        )

    def _create_voice(self) -> OpusVoice:
        options = self.options
        encoder = OpusEncoder(
            options.sample_rate_hz,
            bitrate_bps=options.bitrate_bps,
            complexity=options.complexity,
            expected_loss_percent=options.expected_loss_percent,
        )
        return OpusVoice(
            encoder,
            listeners=self._delays,
            is_heard=lambda: not self._is_muted and any(self._connected_peers()),
            on_packet=self._fan_out,
        )

    def add_audience(self, audience: Audience) -> None:
        """Have listeners outside the room hear what the agent says, too."""
        self._audiences.append(audience)

    def _connected_peers(self) -> Iterator[tuple[int, Peer]]:
        for uid, link in self._mesh.links.items():
            if (peer := link.peer) is not None and peer.connected.is_set():
                yield uid, peer

    def _delays(self) -> dict[int, ListenerDelay]:
        """Return how late each one hears us whose hearing counts: not who only listens in."""
        return {
            uid: peer.delay for uid, peer in self._connected_peers() if not self._only_listens(uid)
        }

    def _only_listens(self, uid: int) -> bool:
        # A listener has a link and is no user.
        return uid not in self._mesh.users

    def _fan_out(self, payload: bytes, ticks: int) -> None:
        for _, peer in self._connected_peers():
            peer.track.send(payload, ticks)

    def _tap_sent(self, pcm: bytes, at_s: float) -> None:
        if self.options.tap is not None and not self._is_muted:
            self.options.tap.handle_sent_audio(pcm, at_s)

    def _send_frame(self, frame: ClientFrame) -> None:
        if self._signaling is None:
            return
        try:
            self._signaling.send(frame)
        except RoomError as error:
            _log.warning("a %s for the room was lost: %s", frame.type, error)

    # -- what happens ---------------------------------------------------------------------------

    def _handle_joined(self, user: RemoteUser) -> None:
        rate_hz, dump = self.options.sample_rate_hz, self._dump(f"from-{user.uid}")
        audio = RemoteAudio(user.uid, rate_hz, dump, tap=self.options.tap)
        self._audio[user.uid] = audio
        self._emitter.emit("user_joined", user)

    def _handle_left(self, user: RemoteUser, reason: LeaveReason) -> None:
        if (audio := self._audio.pop(user.uid, None)) is not None:
            audio.close()
        self._emitter.emit("user_left", user, reason)

    def _handle_connected(self, uid: int) -> None:
        if (audio := self._audio.get(uid)) is not None:
            audio.handle_connected()
            self._emitter.emit("user_connected", uid)

    def _handle_disconnected(self, uid: int) -> None:
        if (audio := self._audio.get(uid)) is not None:
            audio.handle_disconnected()

    def _handle_event(self, uid: int, text: str) -> None:
        if not self._only_listens(uid):
            self._emitter.emit("event", text, uid)

    def _handle_packet(self, uid: int, packet: RtpPacket) -> int | None:
        audio = self._audio.get(uid)
        return None if audio is None else audio.handle_packet(packet)

    def _handle_chat(self, chat: RelayedChat) -> None:
        message = ChatMessage(chat.text, chat.message_id, chat.sent_at_ms)
        self._emitter.emit("message", message, chat.sender)

    def _dump(self, what: str) -> PcmDump | None:
        directory: Path | None = self.options.dump_dir
        if directory is None:
            return None
        return PcmDump(directory, f"{self.options.channel_name}-{self.uid}-{what}")

    # -- figures --------------------------------------------------------------------------------

    def statistics(self) -> LineStatistics:
        """Return the statistics of this participation."""
        now_s = asyncio.get_running_loop().time()
        links = {uid: self._mesh.links.get(uid) for uid in self._audio}
        peers = {uid: None if link is None else link.peer for uid, link in links.items()}
        return channel_statistics(
            self._outgoing,
            connection_state=self.connection_state,
            is_muted=self._is_muted,
            users={
                uid: user_statistics(audio, peers[uid], now_s) for uid, audio in self._audio.items()
            },
        )
