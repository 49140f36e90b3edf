"""`RealtimeApiConnection`: one WebSocket that carries OpenAI's Realtime messages."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping

from json_reader import read_json
from realtime import struct as wire
from realtime.codec import Codec, GaCodec, ServerMessage
from realtime.ending import Ending
from realtime.endpoint import Endpoint
from realtime.model import ApiKey
from realtime.openai.reply_sequence import ReplySequence
from realtime.provider_socket import Address, ProviderSocket
from realtime.reading_notes import ReadingNotes
from utils import shorten

_log = logging.getLogger("realtime")

_OPENAI_ENDPOINT = Endpoint()
_GA_CODEC = GaCodec()


class RealtimeApiConnection:
    """Connects once, sends and receives in order, closes once. Iterating ends when it is gone.

    A frame that breaks the protocol comes out as an `ErrorEvent` with code `malformed_event`, so
    that one bad frame never ends a call.
    """

    def __init__(
        self,
        base_uri: str,
        model: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        endpoint: Endpoint = _OPENAI_ENDPOINT,
        codec: Codec = _GA_CODEC,
        is_verbose: bool = False,
    ) -> None:
        """
        base_uri: scheme, host and port (`wss://api.openai.com`)
        headers, query: sent besides what `endpoint` says
        is_verbose: log each message at DEBUG, long fields cut
        """
        self._base_uri = base_uri
        self._model = model
        self._headers = dict(headers or {})
        self._query = dict(query or {})
        self._endpoint = endpoint
        self._codec = codec
        # A frame of another dialect may be several messages of ours.
        self._ready: deque[ServerMessage] = deque()
        self._is_verbose = is_verbose and _log.isEnabledFor(logging.DEBUG)
        self._socket = ProviderSocket(base_uri)
        self._notes = ReadingNotes()
        self._replies = ReplySequence()

    @property
    def ending(self) -> Ending | None:
        """Why the connection is gone; None while it is there."""
        return self._socket.ending

    @property
    def end_reason(self) -> str:
        """The same in words; empty while it is there."""
        return self._socket.end_reason

    @property
    def phase(self) -> str:
        """What of connecting is under way."""
        return self._socket.phase

    async def connect(self, api_key: ApiKey = None, *, timeout_s: float = 10.0) -> None:
        """Open the socket.

        Raises:
            ModelConnectError: saying why; nothing is left open.
        """
        await self._socket.connect(api_key, self._address, timeout_s=timeout_s)

    def _address(self, api_key: str | None) -> Address:
        headers = dict(self._headers)
        if api_key is not None:
            headers |= self._endpoint.authorize(api_key)
        return Address(self._endpoint.url(self._base_uri, self._model, self._query), headers)

    async def send(self, message: wire.ClientMessage) -> None:
        """Send one message; waits while the peer is slower than we are.

        Raises:
            ModelDisconnectedError: the connection is gone.
        """
        self._socket.require_open()
        if (text := self._codec.encode(message)) is None:
            return
        if isinstance(message, wire.ResponseCreate):
            self._replies.expect_reply()
        await self._send_text(text)

    async def send_audio(self, pcm: bytes) -> None:
        """Append user audio: fifty times a second, and the same in every dialect. Else as `send`."""
        await self._send_text(wire.audio_append_text(pcm))

    async def _send_text(self, text: str) -> None:
        if self._is_verbose:
            _log.debug("-> %s", shorten(read_json(text, allow_nan=True)))
        await self._socket.send(text)

    def __aiter__(self) -> RealtimeApiConnection:
        return self

    async def __anext__(self) -> ServerMessage:
        """The next message, as soon as there is one."""
        while not self._ready:
            if (text := await self._socket.receive()) is None:
                raise StopAsyncIteration
            self._ready += self._parse(text)
        return self._ready.popleft()

    def _parse(self, text: str | bytes) -> list[ServerMessage]:
        try:
            messages = self._codec.decode(text, self._notes.note_left_out)
        except Exception as error:  # noqa: BLE001 - one that no reader foresaw costs only itself
            return [_malformed(error)]
        if self._is_verbose:
            _log.debug("<- %s", shorten(read_json(text, allow_nan=True)))
        for message in messages:
            if isinstance(message, wire.UnknownEvent):
                self._notes.note_unknown(message.type)
        return [each for message in messages for each in self._replies.complete(message)]

    def expect_end(self) -> None:
        """Whoever closes the connection from now on, it ended because we wanted it to."""
        self._socket.expect_end()

    async def close(self) -> None:
        """Close socket and HTTP session; safe at any time and again."""
        await self._socket.close()


def _malformed(error: Exception) -> wire.ErrorEvent:
    text = str(error) if isinstance(error, wire.InvalidEventError) else type(error).__name__
    _log.warning("the provider sent a malformed event: %s", text)
    return wire.ErrorEvent(
        error=wire.ErrorDetails(type="protocol_error", code="malformed_event", message=text)
    )
