"""One client of the bridge, across its connections: its audio, its events, and what it has heard."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bridge.adoption import Adoption
from bridge.audio_codecs import AudioDecoder, AudioEncoder, AudioError
from bridge.closes import NORMAL, close_code_of
from bridge.dialect import (
    AgentAudio,
    Answer,
    BridgeSession,
    ClientAudio,
    ClientEventText,
    ClientLeaves,
    Dialect,
    DialectError,
    Inbound,
    Message,
    Opening,
    OutboundEvent,
)
from bridge.dialects import DIALECTS
from bridge.kept_events import KeptEvents
from bridge.websocket import BridgeSocket, SocketCallbacks
from bridge.wire_audio import WireAudio
from line.audio_tap import AudioTap
from line.incoming import IncomingAudio
from line.participants import ChatMessage, RemoteUser
from line.playout.buffer import FramePart, PlayoutFrame
from line.playout.listener_delay import ListenerDelay
from line.statistics import UserStatistics
from untrusted.boundary import Caught, place_of
from utils import TokenBucket

TEXTS_PER_S: Final = 200.0
TEXT_BURST: Final = 400
AUDIO_PER_S: Final = 500.0
AUDIO_BURST: Final = 1_000
"""Messages beyond these rates are not looked at."""
RESUME_GRACE_S: Final = 3.0
"""A client that is back so soon has not left."""
LAST_REPLY_S: Final = 30.0
"""For the reply after which a client wants to leave."""
_LEFT_CODES: Final = frozenset({NORMAL, 1001})

_log = logging.getLogger("bridge")


@dataclass(frozen=True)
class Place:
    """The call that a client takes part in."""

    channel_name: str
    agent_id: str
    agent_name: str
    sample_rate_hz: int
    tap: AudioTap | None


@dataclass(frozen=True)
class ParticipantCallbacks:
    """Called on the loop; must not raise or block. on_left: with the reason; it may come back."""

    on_joined: Callable[[BridgeParticipant], None]
    on_left: Callable[[BridgeParticipant, str], None]
    on_event: Callable[[str, int], None]


class BridgeParticipant:
    """Created with its first connection; `connect` once for each."""

    def __init__(self, adoption: Adoption, place: Place, callbacks: ParticipantCallbacks) -> None:
        self.session_id = adoption.session_id
        self.uid = adoption.uid
        self.user = RemoteUser(adoption.uid, "", "user")
        self.delay = ListenerDelay()
        # While it takes part: from its first connection on, and over short losses of one.
        self.is_present = False
        self.audio = IncomingAudio(self.uid, place.sample_rate_hz, tap=place.tap)
        self._place = place
        self._callbacks = callbacks
        self._loop = asyncio.get_running_loop()
        self._kept = KeptEvents(adoption.last_seq or 0)
        self._socket: BridgeSocket | None = None
        self._dialect: Dialect = DIALECTS[adoption.dialect]()
        self._decoder = AudioDecoder(WireAudio(), place.sample_rate_hz)
        self._own_decoder: AudioDecoder | None = None
        self._encoder = AudioEncoder(WireAudio(), place.sample_rate_hz)
        self._texts = TokenBucket(TEXTS_PER_S, TEXT_BURST)
        self._audios = TokenBucket(AUDIO_PER_S, AUDIO_BURST)
        self._refusals = TokenBucket(1.0, 1)
        self._messages_dropped = 0
        self._grace: asyncio.TimerHandle | None = None
        # It leaves once the reply that is due has been said.
        self._leaving: asyncio.TimerHandle | None = None

    # -- connections -----------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """True while it has an open connection, and so hears the agent."""
        return self._socket is not None and self._socket.is_open

    async def connect(self, sock: socket.socket, adoption: Adoption, *, is_resumed: bool) -> None:
        """Take over a connection, in place of the present one, if any.

        Raises:
            OSError: the client is gone again.
        """
        connection = self.new_connection(adoption, is_resumed=is_resumed)
        await BridgeSocket.open(sock, adoption.received, connection.callbacks, connection.set)

    def new_connection(self, adoption: Adoption, *, is_resumed: bool) -> Connection:
        """Return a connection in place of the present one, if any."""
        self._drop("replaced")
        self._dialect = dialect = DIALECTS[adoption.dialect]()
        return Connection(self, dialect, adoption, is_resumed=is_resumed)

    def begin(
        self, opening: Opening, adoption: Adoption, bridge_socket: BridgeSocket, *, is_resumed: bool
    ) -> None:
        """Go on over `bridge_socket`, whose first message is read."""
        self._socket = bridge_socket
        rate_hz = self._place.sample_rate_hz
        audio_out = opening.audio_out or WireAudio(rate=rate_hz)
        self._decoder = AudioDecoder(opening.audio_in, rate_hz)
        self._encoder = AudioEncoder(audio_out, rate_hz)
        self._own_decoder = None
        self.user = RemoteUser(self.uid, opening.user_name, "user")
        missed, lost_events = self._kept.after(adoption.last_seq or 0) if is_resumed else ([], 0)
        session = BridgeSession(
            session_id=self.session_id,
            secret=adoption.secret,
            uid=self.uid,
            channel_name=self._place.channel_name,
            agent_id=self._place.agent_id,
            agent_name=self._place.agent_name,
            audio_in=opening.audio_in,
            audio_out=audio_out,
            is_resumed=is_resumed,
            lost_events=lost_events,
        )
        self._send(self._dialect.created(session))
        for seq, text in missed:
            self._send(self._dialect.write_event(OutboundEvent(text, seq)))
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        if not self.is_present:
            self.is_present = True
            self._callbacks.on_joined(self)

    def handle_closed(self, bridge_socket: BridgeSocket, code: int) -> None:
        """The connection is gone: the client left, or comes back soon."""
        if bridge_socket is not self._socket:
            return
        self._socket = None
        if code in _LEFT_CODES:
            self.leave("left")
        elif self.is_present:
            self._grace = self._loop.call_later(RESUME_GRACE_S, self.leave, "vanished")

    def leave(self, reason: str) -> None:
        """End its part in the call. Idempotent."""
        for timer in (self._grace, self._leaving):
            if timer is not None:
                timer.cancel()
        self._grace = self._leaving = None
        self.audio.close()
        if self.is_present:
            self.is_present = False
            self._callbacks.on_left(self, reason)
            self.audio = IncomingAudio(self.uid, self._place.sample_rate_hz, tap=self._place.tap)

    def end(self, code: str, message: str) -> None:
        """Refuse it from now on: it is replaced, or the call has no place for it."""
        self._drop(code, message)
        self.leave(code)

    def finish(self, reason: str) -> None:
        """The call is over."""
        if (bridge_socket := self._socket) is not None:
            self._send(self._dialect.ended(self.session_id, reason))
            bridge_socket.close(NORMAL, reason)
        self.leave(reason)

    def abort(self) -> None:
        """Drop the connection without a word. Idempotent."""
        if self._socket is not None:
            self._socket.abort()

    def _drop(self, code: str, message: str = "") -> None:
        bridge_socket, self._socket = self._socket, None
        if bridge_socket is not None:
            for text in self._dialect.refuse(code, message or code):
                bridge_socket.send(text)
            bridge_socket.close(close_code_of(code, self._dialect.close_codes), code)

    # -- what it sends ---------------------------------------------------------------------------

    def handle_message(self, message: Message) -> None:
        """Take a message after the first one."""
        now_s = self._loop.time()
        bucket = self._texts if isinstance(message, str) else self._audios
        if not bucket.allow(now_s):
            self._messages_dropped += 1
            if self._refusals.allow(now_s):
                self._send(self._dialect.refuse("too_many_events", "slow down"))
            return
        with Caught() as caught:
            try:
                for inbound in self._dialect.read(message):
                    self._handle(inbound)
            except (AudioError, DialectError) as error:
                self._refuse(error)
        if caught.error is not None:
            cause, place = type(caught.error).__name__, place_of(caught.error)
            _log.error("a message of %d failed: %s at %s", self.uid, cause, place)

    def _refuse(self, error: AudioError | DialectError) -> None:
        if isinstance(error, AudioError):
            error = DialectError("invalid_audio", str(error))
        if error.close_code is not None:
            self.end(error.code, error.message)
        elif self._refusals.allow(self._loop.time()):
            self._send(self._dialect.refuse(error.code, error.message))

    def _handle(self, inbound: Inbound) -> None:
        match inbound:
            case ClientAudio():
                self.audio.push(self._decoder_of(inbound.audio).decode(inbound.data))
            case ClientEventText():
                self._callbacks.on_event(inbound.text, self.uid)
            case ClientLeaves():
                self._let_go(should_finish_reply=inbound.should_finish_reply)
            case Answer():
                self._send(list(inbound.messages))

    def _let_go(self, *, should_finish_reply: bool) -> None:
        """End its part at its own wish, now or after the reply that is due."""
        if not should_finish_reply or self._dialect.is_over:
            self.finish("left")
        elif self._leaving is None:
            self._leaving = self._loop.call_later(LAST_REPLY_S, self.finish, "left")

    def _decoder_of(self, audio: WireAudio | None) -> AudioDecoder:
        if audio is None or audio == self._decoder.audio:
            return self._decoder
        if self._own_decoder is None or self._own_decoder.audio != audio:
            self._own_decoder = AudioDecoder(audio, self._place.sample_rate_hz)
        return self._own_decoder

    # -- what it gets ----------------------------------------------------------------------------

    def send_event(self, text: str) -> bool:
        """Send a server event, or keep it for when the client is back; false if it waits."""
        seq = self._kept.add(text)
        self._send(self._dialect.write_event(OutboundEvent(text, seq)))
        if self._leaving is not None and self._dialect.is_over:
            self.finish("left")
        return self.is_connected

    def send_chat(self, chat: ChatMessage) -> None:
        """Send a message of the agent."""
        self._send(self._dialect.write_chat(chat))

    def play(self, frame: PlayoutFrame) -> None:
        """Send a frame of the agent's voice."""
        if self._socket is None:
            return
        if self._encoder.is_framed or len(frame.parts) < 2:
            if frame.parts or self._encoder.is_framed or frame.pcm.strip(b"\0"):
                self._play(frame.pcm, frame.parts[-1] if frame.parts else None)
            return
        ends = [part.offset * 2 for part in frame.parts[1:]] + [len(frame.pcm)]
        for part, end in zip(frame.parts, ends, strict=True):
            self._play(frame.pcm[part.offset * 2 : end], part)

    def _play(self, pcm: bytes, part: FramePart | None) -> None:
        data = self._encoder.encode(pcm)
        key = None if part is None else _key_of(part)
        is_first = part is not None and part.first_sample == 0
        audio = AgentAudio(data, self._encoder.audio, key, is_first)
        for message in self._dialect.write_audio(audio):
            assert self._socket is not None
            self._socket.send(message, is_audio=isinstance(message, bytes) or not is_first)

    @property
    def codec_s(self) -> float:
        """The delay of its codec."""
        return self._encoder.codec_s

    def _send(self, messages: list[Message]) -> None:
        if self._socket is not None:
            for message in messages:
                self._socket.send(message)

    # -- figures ---------------------------------------------------------------------------------

    def statistics(self) -> UserStatistics:
        """Return the statistics of this moment."""
        counts, last_s = self.audio.statistics, self.audio.last_at_s
        queue = None if self._socket is None else self._socket.queue
        return UserStatistics(
            connection="connected" if self.is_connected else "none",
            packets_received=counts.received,
            frames_filled=counts.filled,
            frames_dropped=counts.dropped + self._messages_dropped,
            delay_ms=self.audio.ahead_ms,
            last_packet_age_s=None if last_s is None else self._loop.time() - last_s,
            events_dropped=0 if queue is None else queue.dropped_audio,
            heard_after_ms=self.delay.delay_s * 1000 if self.is_connected else None,
        )


class Connection:
    """One connection of a participant: its first message begins it."""

    def __init__(
        self,
        participant: BridgeParticipant,
        dialect: Dialect,
        adoption: Adoption,
        *,
        is_resumed: bool,
    ) -> None:
        self.callbacks = SocketCallbacks(
            on_message=self._handle_message,
            on_closed=self._handle_closed,
            on_round_trip=participant.delay.handle_round_trip,
        )
        self._participant = participant
        self._dialect = dialect
        self._adoption = adoption
        self._is_resumed = is_resumed
        self._socket: BridgeSocket | None = None
        self._has_begun = False

    def set(self, bridge_socket: BridgeSocket) -> None:
        """Take the socket, before its first message."""
        self._socket = bridge_socket

    def _handle_message(self, message: Message) -> None:
        if self._has_begun:
            self._participant.handle_message(message)
            return
        self._has_begun = True
        assert self._socket is not None
        try:
            opening = self._dialect.open(message, self._adoption.route)
        except DialectError as error:
            for text in self._dialect.refuse(error.code, error.message):
                self._socket.send(text)
            self._socket.close(close_code_of(error.code, self._dialect.close_codes), error.code)
            return
        self._participant.begin(opening, self._adoption, self._socket, is_resumed=self._is_resumed)

    def _handle_closed(self, code: int) -> None:
        if self._socket is not None:
            self._participant.handle_closed(self._socket, code)


def _key_of(part: FramePart) -> tuple[str, str, int] | None:
    key = part.key
    return key if isinstance(key, tuple) and len(key) == 3 else None
