"""A participation in one channel: who is there, what they say, and what we say to them.

Events (`on`, `once`, `off`); listeners may be plain or async and can neither fail nor stall media:
user_joined(RemoteUser) · user_left(RemoteUser, reason) · user_updated(RemoteUser) ·
user_connected(uid): media is up · connection_state_changed(ConnectionState) ·
message(ChatMessage, uid) · event(text, uid): from a data channel ·
event_refused(reason, uid): what came over a data channel was no event ·
media_refused(reason, uid): `uid` makes no media connection with us; we try again ·
playout_started(key), playout_done(key): first and last sample have left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from rtc.aiortc_adapter import RtpPacket
from rtc.emitter import Emitter, Listener
from rtc.errors import RoomError
from rtc.figures import channel_statistics, user_statistics
from rtc.mesh import Mesh
from rtc.options import (
    ChannelStatistics,
    ChatMessage,
    MediaOptions,
    RemoteUser,
    RtcOptions,
)
from rtc.outgoing import Outgoing
from rtc.peer import MAX_EVENT_BYTES, Peer
from rtc.peer_link import LinkCallbacks
from rtc.playout import PlayoutPosition
from rtc.remote_audio import PcmAudioFrame, RemoteAudio
from rtc.signaling_client import ConnectionState, SignalingClient, room_socket_url
from rtc.signals import Chat, ClientFrame, Join, LeaveReason, Mute, RelayedChat
from utils import PcmDump

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
_EVENTS: Final = frozenset(
    {
        "user_joined",
        "user_left",
        "user_updated",
        "user_connected",
        "connection_state_changed",
        "message",
        "event",
        "event_refused",
        "media_refused",
        "playout_started",
        "playout_done",
    }
)

logger = logging.getLogger(__name__)


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
        self._emitter = Emitter(_EVENTS)
        self._signaling: SignalingClient | None = None
        self._outgoing: Outgoing | None = None
        self._mesh = Mesh(
            LinkCallbacks(
                send=self._send_frame,
                on_connected=self._handle_connected,
                on_disconnected=self._handle_disconnected,
                on_packet=self._handle_packet,
                on_event=lambda uid, text: self._emitter.emit("event", text, uid),
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
        """Everybody else, by uid; a live view."""
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
            logger.warning("the channel did not close within %.0f s", DISCONNECT_TIMEOUT_S)

    async def _close_all(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._emitter.close)
            if self._outgoing is not None:
                stack.push_async_callback(self._outgoing.close)
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

    def get_audio_batches(self, uid: int) -> AsyncIterator[list[PcmAudioFrame]]:
        """The same frames, all that wait at once: one while `uid` sends, more after a silence.

        Raises:
            RoomError: code unknown_member.
        """
        return self._audio_of(uid).batches()

    def _audio_of(self, uid: int) -> RemoteAudio:
        if (audio := self._audio.get(uid)) is None:
            raise RoomError("unknown_member", f"nobody with uid {uid} is in the channel")
        return audio

    # -- what we say ----------------------------------------------------------------------------

    def push_audio_frame(self, pcm: bytes, *, key: Hashable = None) -> None:
        """Queue PCM16 under `key`, of any length; over 10 min waiting, the rest is dropped.

        Raises:
            RoomError: not connected.
        """
        self.outgoing.clock.push(key, pcm)

    def finish_audio(self, key: Hashable) -> None:
        """No more audio for `key`: `playout_done` follows its last sample."""
        self.outgoing.clock.finish(key)

    def clear_sender_audio_buffer(self) -> list[PlayoutPosition]:
        """Fall silent now; where each key that was playing or waiting stood."""
        return self._outgoing.clear() if self._outgoing is not None else []

    def pause_playout(self) -> None:
        """Fall silent now, keeping what waits; more may be pushed meanwhile."""
        if self._outgoing is not None:
            self._outgoing.clock.pause()

    def resume_playout(self) -> None:
        """Go on with the sample after the last one that left."""
        if self._outgoing is not None:
            self._outgoing.clock.resume()

    def playout_position(self) -> PlayoutPosition | None:
        """Where the key that plays now stands; None in silence."""
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

    def set_muted(self, is_muted: bool) -> None:
        """Stop or resume sending; playout goes on unheard. The others are told."""
        if is_muted != self._is_muted:
            self._is_muted = is_muted
            self._send_frame(Mute(is_muted=is_muted))

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        """Send over the data channel to `uid` or to all; False when somebody could not be reached.

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
        """What `chat.send_message` does."""
        if self._signaling is None:
            raise RoomError("closed", "the channel is not connected")
        self._signaling.send(Chat(text=message.text, message_id=message.message_id))
        await self._signaling.flush()

    def _create_outgoing(self) -> Outgoing:
        return Outgoing(
            self.options,
            listeners=lambda: {uid: p.delay for uid, p in self._connected_peers().items()},
            on_packet=self._fan_out,
            on_started=lambda key: self._emitter.emit("playout_started", key),
            on_done=lambda key: self._emitter.emit("playout_done", key),
            on_sent=None if self.options.tap is None else self._tap_sent,
            dump=self._dump("sent"),
        )

    def _connected_peers(self) -> dict[int, Peer]:
        peers = {uid: link.peer for uid, link in self._mesh.links.items()}
        return {uid: p for uid, p in peers.items() if p is not None and p.connected.is_set()}

    def _fan_out(self, payload: bytes, ticks: int) -> None:
        if self._is_muted:
            return
        for link in self._mesh.links.values():
            if (peer := link.peer) is not None and peer.connected.is_set():
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
            logger.warning("a %s for the room was lost: %s", frame.type, error)

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

    def _handle_packet(self, uid: int, packet: RtpPacket) -> None:
        if (audio := self._audio.get(uid)) is not None:
            audio.handle_packet(packet)

    def _handle_chat(self, chat: RelayedChat) -> None:
        message = ChatMessage(chat.text, chat.message_id, chat.sent_at_ms)
        self._emitter.emit("message", message, chat.sender)

    def _dump(self, what: str) -> PcmDump | None:
        directory: Path | None = self.options.dump_dir
        if directory is None:
            return None
        return PcmDump(directory / f"{self.options.channel_name}-{self.uid}-{what}.pcm")

    # -- figures --------------------------------------------------------------------------------

    def statistics(self) -> ChannelStatistics:
        """How this participation does at the moment."""
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
