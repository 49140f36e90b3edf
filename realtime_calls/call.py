"""One WebRTC call: a peer connection to the client, and the session that it talks to.

The session knows nothing of WebRTC: what the microphone brings is pushed into it, its audio is played by
a `CallPlayout`, and its other events go over the data channel and to each sideband.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from line.frames import PcmAudioFrame
from line.playout.outgoing import Outgoing
from realtime import struct as wire
from realtime_calls.options import (
    MAX_EVENT_BYTES,
    MAX_SIDEBANDS,
    MAX_WAITING_EVENTS,
    CallOptions,
)
from realtime_calls.playout import CallPlayout
from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.opus import OpusEncoder
from rtc.peer.peer import Peer, PeerCallbacks, PeerError
from rtc.receive.remote_audio import RemoteAudio
from rtc.voice import OpusVoice
from speech.access import RefusedError
from speech.options import SessionOptions
from speech.server import ModelServer
from speech.session import Session
from utils import OwnedTasks

_log = logging.getLogger(__name__)

_RATE_HZ: Final = wire.PCM_SAMPLE_RATE_HZ
_CLIENT_UID: Final = 1
# For the last event to leave before the connection is closed.
_GOODBYE_S: Final = 0.2

_Sideband = tuple[Callable[[str], None], Callable[[], Awaitable[object]]]


class Call:
    """`answer` the offer, `run` until the call is over, `close` in any case. Never reused."""

    def __init__(
        self,
        server: ModelServer,
        options: CallOptions,
        session_options: SessionOptions | None = None,
    ) -> None:
        self.id = wire.new_id("rtc")
        self._limits = server.settings.limits
        self._options = options
        self._playout = CallPlayout(self._send)
        self.session: Session = server.create_session(
            self._handle_event, _no_wait, output=self._playout, options=session_options
        )
        self._peer = Peer(
            self.id,
            options.ice_servers(),
            options.media,
            PeerCallbacks(
                on_packet=self._handle_packet,
                on_event=self._take_event,
                on_event_refused=lambda reason: self.session.emit_error("invalid_event", reason),
                # It may heal; the peer gives it up by itself.
                on_path_dead=lambda: None,
            ),
        )
        self._microphone = RemoteAudio(_CLIENT_UID, _RATE_HZ)
        self._voice = OpusVoice(
            OpusEncoder(
                _RATE_HZ,
                bitrate_bps=options.opus.bitrate_bps,
                complexity=options.opus.complexity,
                expected_loss_percent=options.opus.expected_loss_percent,
            ),
            listeners=lambda: {_CLIENT_UID: self._peer.delay},
            is_heard=self._peer.connected.is_set,
            on_packet=self._peer.track.send,
        )
        self._outgoing = Outgoing(
            _RATE_HZ,
            audiences=[self._voice],
            on_started=self._playout.handle_started,
            on_done=self._playout.handle_done,
            on_sent=None,
            dump=None,
        )
        self._playout.attach(self._outgoing)
        self._events: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING_EVENTS)
        self._sidebands: dict[object, _Sideband] = {}
        self._closed = asyncio.Event()
        self._tasks = OwnedTasks(_log)

    # -- the life of a call --------------------------------------------------------------------

    async def answer(self, offer: str) -> str:
        """Our answer to `offer`, as SDP.

        Raises:
            PeerError: the offer cannot be used.
        """
        return await self._peer.answer(offer)

    async def run(self, settings: Sequence[wire.Session]) -> None:
        """Serve the client until it hangs up or vanishes, or its time is over.

        settings: what the session begins with, each over the ones before it
        """
        if await self._is_connected():
            _log.info("call %s connected, session %s", self.id, self.session.id)
            await self._converse(settings)
            _log.info("call %s ended", self.id)

    async def _is_connected(self) -> bool:
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._peer.wait_connected()
        except (TimeoutError, PeerError):
            _log.info("call %s: no connection came about", self.id)
            return False
        return True

    async def _converse(self, settings: Sequence[wire.Session]) -> None:
        self._outgoing.start()
        self._microphone.handle_connected()
        self.session.start(settings)
        self._tasks.start(self._listen(), name="microphone of a call")
        self._tasks.start(self._handle_events(), name="events of a call")
        try:
            async with asyncio.timeout(self._limits.session_s):
                await self._peer.ended.wait()
        except TimeoutError:
            self.session.emit_expired()
            await asyncio.sleep(_GOODBYE_S)

    def hang_up(self) -> None:
        """End the call. Idempotent."""
        self._peer.hang_up()

    async def end(self) -> None:
        """Hang up, and wait until everything is closed."""
        self.hang_up()
        await self._closed.wait()

    async def close(self) -> None:
        """Close everything, whatever has come about of the call."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._closed.set)
            stack.push_async_callback(self._peer.close)
            stack.callback(self._voice.close)
            stack.push_async_callback(self._outgoing.close)
            stack.push_async_callback(self._tasks.close)
            stack.callback(self._microphone.close)
            stack.push_async_callback(self._end_sidebands)
            await self.session.close()

    async def _end_sidebands(self) -> None:
        await asyncio.gather(
            *(end() for _, end in list(self._sidebands.values())), return_exceptions=True
        )

    # -- what the client says ------------------------------------------------------------------

    def _handle_packet(self, packet: RtpPacket) -> int | None:
        return self._microphone.handle_packet(packet)

    async def _listen(self) -> None:
        await self._microphone.deliver(self._hear)

    async def _hear(self, frames: list[PcmAudioFrame]) -> bool:
        for frame in frames:
            try:
                self.session.push_audio(frame.pcm)
            except Exception:  # noqa: BLE001 - engines may raise anything, the call goes on
                _log.exception("call %s failed on a frame of audio", self.id)
        return True

    def _take_event(self, text: str) -> None:
        try:
            self._events.put_nowait(text)
        except asyncio.QueueFull:
            _log.warning("call %s: too many events at once, it is ended", self.id)
            self.hang_up()

    async def _handle_events(self) -> None:
        while True:
            await self.session.handle_text(await self._events.get())

    # -- what the session says -----------------------------------------------------------------

    def _handle_event(self, event: wire.WireEvent) -> None:
        match event:
            case wire.ResponseOutputAudioDelta():
                self._playout.push(event)
            case wire.ResponseOutputAudioDone():
                self._playout.finish(event)
                self._send(event)
            case wire.ResponseDone():
                self._send(event)
                self._playout.end_response(event.response.id or "")
            case wire.ConversationItemRetrieved():
                self._send(_without_audio(event))
            case _:
                self._send(event)

    def _send(self, event: wire.WireEvent) -> None:
        text = wire.serialize(event)
        for send, _ in list(self._sidebands.values()):
            send(text)
        if len(text.encode()) > MAX_EVENT_BYTES:
            _log.warning("call %s: an event is too long for its data channel", self.id)
        elif not self._peer.send_event(text) and self._peer.events.is_open:
            _log.warning("call %s does not read what it is sent: ended", self.id)
            self.hang_up()

    def attach(
        self, send: Callable[[str], None], end: Callable[[], Awaitable[object]]
    ) -> Callable[[], None]:
        """Send each event to a WebSocket too; see `speech.websocket_session.SharedSession`.

        Raises:
            RefusedError: there are `MAX_SIDEBANDS` already, or the call is over.
        """
        if self._peer.ended.is_set() or len(self._sidebands) >= MAX_SIDEBANDS:
            raise RefusedError(409, "too_many_sidebands", f"At most {MAX_SIDEBANDS} at a call.")
        key = object()
        self._sidebands[key] = (send, end)

        def detach() -> None:
            self._sidebands.pop(key, None)

        return detach


async def _no_wait() -> None:
    """Audio of a call waits in its playout; the session itself bounds how much it makes ahead."""


def _without_audio(event: wire.ConversationItemRetrieved) -> wire.ConversationItemRetrieved:
    """The audio of an item is more than a data channel carries, and the client has heard it."""
    content = getattr(event.item, "content", None)
    if not content:
        return event
    parts = [
        part.model_copy(update={"audio": None}) if getattr(part, "audio", None) else part
        for part in content
    ]
    return event.model_copy(update={"item": event.item.model_copy(update={"content": parts})})
