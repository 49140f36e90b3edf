"""`RealtimeApiConnection`: one WebSocket that carries OpenAI's Realtime messages."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Self

from realtime import struct as wire
from realtime.close_reason import CloseReason
from realtime.model import ApiKey
from realtime.openai.codec import Codec, GaCodec, ServerMessage
from realtime.openai.endpoint import Endpoint
from realtime.openai.reply_sequence import ReplySequence
from realtime.parse_warnings import ParseWarnings
from realtime.provider_socket import Address, ProviderSocket
from untrusted.json_reader import read_json
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
        api_key: ApiKey = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        endpoint: Endpoint = _OPENAI_ENDPOINT,
        codec: Codec = _GA_CODEC,
        on_frame: Callable[[str | bytes], None] | None = None,
        is_verbose: bool = False,
    ) -> None:
        """
        base_uri: scheme, host and port (`wss://api.openai.com`), and a path if the server is below one
        api_key: used where `connect` gets none
        headers, query: sent besides what `endpoint` says
        on_frame: called with each frame of the provider before it is parsed
        is_verbose: log each message at DEBUG, long fields cut
        """
        self._base_uri = base_uri
        self._model = model
        self._api_key = api_key
        self._headers = dict(headers or {})
        self._query = dict(query or {})
        self._endpoint = endpoint
        self._codec = codec
        self._on_frame = on_frame
        # A frame of another dialect may be several messages of ours.
        self._ready: deque[ServerMessage] = deque()
        self._is_verbose = is_verbose and _log.isEnabledFor(logging.DEBUG)
        self._socket = ProviderSocket(base_uri)
        self._warnings = ParseWarnings()
        self._replies = ReplySequence()

    @property
    def close_reason(self) -> CloseReason | None:
        """The reason for the end of the connection; None while it is open."""
        return self._socket.close_reason

    @property
    def end_reason(self) -> str:
        """The same in words; empty while it is there."""
        return self._socket.end_reason

    @property
    def phase(self) -> str:
        """The phase of connecting that is under way."""
        return self._socket.phase

    async def connect(self, api_key: ApiKey = None, *, timeout_s: float = 10.0) -> None:
        """Open the socket.

        Raises:
            ModelConnectError: saying why; nothing is left open.
        """
        await self._socket.connect(api_key or self._api_key, self._address, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        """Connect with the key of the constructor; leaving the block closes. Raises as `connect`."""
        await self.connect()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

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

    async def send_raw(self, text: str, *, asks_for_reply: bool) -> None:
        """Send a message in the provider's own words. Else as `send`."""
        self._socket.require_open()
        if asks_for_reply:
            self._replies.expect_reply()
        await self._send_text(text)

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
            if self._on_frame is not None:
                self._on_frame(text)
            self._ready += self._parse(text)
        return self._ready.popleft()

    def _parse(self, text: str | bytes) -> list[ServerMessage]:
        try:
            messages = self._codec.decode(text, self._warnings.note_left_out)
        except Exception as error:  # noqa: BLE001 - one that no reader foresaw costs only itself
            return [_malformed(error)]
        if self._is_verbose:
            _log.debug("<- %s", shorten(read_json(text, allow_nan=True)))
        for message in messages:
            if isinstance(message, wire.UnknownEvent):
                self._warnings.note_unknown(message.type)
        return [each for message in messages for each in self._replies.complete(message)]

    def expect_end(self) -> None:
        """Attribute every close from now on to this side, whichever side closes first."""
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
