"""`GeminiLiveModel`: a session with Gemini Live, at the developer API or at Vertex AI."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from realtime import events as ours
from realtime.capabilities import capabilities_of, require_settings, require_supported
from realtime.close_reason import CLOSED_BY_US
from realtime.due_timer import DueTimer
from realtime.events import ConnectionStatus, ModelCommand, ModelEvent
from realtime.gemini import wire
from realtime.gemini.address import address_of, model_path
from realtime.gemini.close_reason import read_gemini_close
from realtime.gemini.commands import CommandWriter, tool_response
from realtime.gemini.mapping import GeminiMapper
from realtime.gemini.model_quirks import quirks_of
from realtime.gemini.settings import initial_setup
from realtime.gemini.tool_calls import ToolCallTracker
from realtime.model import (
    Capabilities,
    InvalidSettingsError,
    ModelConnectError,
    ModelDisconnectedError,
    RealtimeModelConfig,
)
from realtime.openai.wire.base import new_id
from realtime.parse_warnings import ParseWarnings, unforeseen
from realtime.provider_socket import ProviderSocket
from realtime.raw_events import raw_event, raw_text
from realtime.request_metadata import RequestMetadata
from realtime.response_gate import ANSWER_TIMEOUT_S, ReplyRequest, ResponseGate
from realtime.struct import InvalidEventError
from untrusted.json_reader import read_json
from utils import shorten

_log = logging.getLogger("realtime")

_CONTENT: Final = frozenset(
    {
        *("serverContent", "server_content", "modelTurn", "model_turn", "parts", "text", "data"),
        *("inlineData", "inline_data", "toolCall", "tool_call", "functionCalls", "function_calls"),
    }
)
"""Fields without which a message has no meaning: losing one is reported as a malformed event."""

_SECRETS: Final = ("handle", "newHandle", "new_handle")


class GeminiLiveModel:
    """A Gemini Live session as a `realtime.model.RealtimeModel`; iterating `events` reads the socket.

    Gemini has no message that stops a reply: after a `CancelResponse` the rest of the reply is
    left out here, while the provider makes it to its end or until the next request for a reply.
    """

    def __init__(
        self,
        model: str = "",
        *,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        model: on which the capabilities depend
        ssl_context: whom to trust; None: what the machine trusts
        clock: monotonic seconds
        """
        self._capabilities = capabilities_of("gemini", model)
        self._ssl_context = ssl_context
        self._clock = clock
        self._gate = ResponseGate()
        self._timer = DueTimer(self._send_due)
        self._warnings = ParseWarnings()
        self._losses: list[str] = []
        self._socket: ProviderSocket | None = None
        self._mapper: GeminiMapper | None = None
        self._writer: CommandWriter | None = None
        self._is_closed = False
        self._is_verbose = False
        self._passes_raw_events = False
        self._metadata = RequestMetadata()
        # Until then a reply that was asked for may begin.
        self._asked_until_s = 0.0
        # Events that came before `events` is iterated.
        self._early: list[ModelEvent] = []

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of this model."""
        return self._capabilities

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self, config: RealtimeModelConfig) -> None:
        """Open the session; see `RealtimeModel.connect`."""
        self._passes_raw_events = config.passes_raw_events
        self._is_verbose = config.is_verbose and _log.isEnabledFor(logging.DEBUG)
        setup = self._prepare(config)
        self._socket = socket = ProviderSocket(
            config.base_uri, read_close_reason=read_gemini_close, ssl_context=self._ssl_context
        )
        try:
            async with asyncio.timeout(config.timeout_s):
                await self._open(socket, setup, config)
        except TimeoutError:
            await self.close()
            text = f"the provider did not open a session in {config.timeout_s:g} s ({socket.phase})"
            raise ModelConnectError(text, code="timeout", is_retryable=True) from None
        except BaseException:
            await self.close()
            raise

    def _prepare(self, config: RealtimeModelConfig) -> wire.Setup:
        """Everything that can go wrong without a socket."""
        settings, quirks = config.settings, quirks_of(config.model)
        capabilities = self._capabilities
        try:
            require_settings(settings, capabilities)
            setup = initial_setup(
                settings,
                quirks,
                model=model_path(config),
                resumption_handle=config.resumption_handle,
            )
        except InvalidSettingsError as error:
            raise ModelConnectError(
                str(error), code="invalid_settings", is_retryable=False
            ) from error
        except ValueError as error:
            text = "the base URI is not a usable address"
            raise ModelConnectError(text, code="invalid_uri", is_retryable=False) from error
        is_manual = settings.turn_detection is False
        tool_calls = ToolCallTracker(settings.tools, is_blocking=quirks.has_blocking_tools)
        self._writer = CommandWriter(
            quirks,
            tool_calls,
            is_manual=is_manual,
            input_sample_rate_hz=capabilities.input_sample_rate_hz,
        )
        self._mapper = GeminiMapper(
            tool_calls,
            input_sample_rate_hz=capabilities.input_sample_rate_hz,
            output_sample_rate_hz=capabilities.output_sample_rate_hz,
            is_manual=is_manual,
        )
        return setup

    async def _open(
        self, socket: ProviderSocket, setup: wire.Setup, config: RealtimeModelConfig
    ) -> None:
        if self._is_closed:
            raise ModelConnectError("closed while connecting", code="closed", is_retryable=False)
        await socket.connect(
            config.api_key, lambda key: address_of(config, key), timeout_s=config.timeout_s
        )
        try:
            await self._send(wire.ClientMessage(setup=setup))
        except ModelDisconnectedError as error:
            raise ModelConnectError(
                str(error), code="handshake_failed", is_retryable=True
            ) from error
        complete = await self._wait_for_setup(socket)
        self._early[:0] = [
            ours.ConnectionChanged(ConnectionStatus.OPEN),
            ours.SessionOpened(complete.session_id or new_id("sess")),
        ]

    async def _wait_for_setup(self, socket: ProviderSocket) -> wire.SetupComplete:
        while (text := await socket.receive()) is not None:
            self._early += self._raw(text)
            message = self._parse(text)
            if isinstance(message, ours.ProviderError):
                continue
            self._early += self._map(message)
            if message.setup_complete is not None:
                return message.setup_complete
        close_reason = socket.close_reason or CLOSED_BY_US
        code = "handshake_failed" if close_reason.code == "disconnected" else close_reason.code
        raise ModelConnectError(
            close_reason.reason, code=code, is_retryable=close_reason.is_retryable
        )

    # -- sending -------------------------------------------------------------------------------

    async def send(self, command: ModelCommand) -> None:
        """Send one command; see `RealtimeModel.send`. Waits while the provider is slower than we.

        Raises:
            ModelDisconnectedError: the session is gone.
            UnsupportedCommandError: this model cannot do that.
        """
        require_supported(command, self._capabilities)
        if self._socket is None or self._writer is None or self._mapper is None:
            raise ModelDisconnectedError("not connected", code="disconnected", is_retryable=True)
        self._socket.require_open()
        now_s = self._clock()
        match command:
            case ours.CreateResponse():
                await self._send_reply_request(self._gate.request(command, now_s=now_s))
            case ours.CancelResponse():
                self._cancel(command.response_id)
            case ours.SendRaw():
                await self._send_text(raw_text(command.message, needs_type=False))
            case _:
                messages = self._writer.write(command, is_replying=self._is_replying, now_s=now_s)
                for message in messages:
                    await self._send(message)

    @property
    def _is_replying(self) -> bool:
        """True if a reply that a message would stop is in progress or about to be."""
        assert self._mapper is not None
        return self._mapper.active_response is not None or self._clock() < self._asked_until_s

    def _cancel(self, response_id: str | None) -> None:
        assert self._mapper is not None
        active = self._mapper.active_response
        if active is None or response_id not in (None, active):
            return
        _log.debug("the provider cannot stop a reply: the rest of it is discarded")
        self._mapper.cancel()
        # The next request need not wait: it is what stops the provider.
        self._gate.handle_done(active)

    async def _send_reply_request(self, request: ReplyRequest | None) -> None:
        assert self._writer is not None
        if request is not None:
            self._asked_until_s = self._clock() + ANSWER_TIMEOUT_S
        self._set_timer()
        if request is not None:
            for message in self._writer.reply(request.command.instructions):
                await self._send(message)

    def _set_timer(self) -> None:
        """Wake when a reply that was asked for ought to have begun, or to be over."""
        now_s = self._clock()
        due = [self._gate.deadline_s, self._asked_until_s if self._asked_until_s > now_s else None]
        times_s = [each - now_s for each in due if each is not None]
        self._timer.set(min(times_s) if times_s else None)

    async def _send(self, message: wire.ClientMessage) -> None:
        assert self._socket is not None
        assert self._mapper is not None
        if message.is_written_turn:
            self._mapper.note_written_turn()
        realtime = message.realtime_input
        if realtime is not None and realtime.audio is not None:
            self._mapper.note_audio(realtime.audio.size_bytes)
        await self._send_text(wire.serialize(message))

    async def _send_text(self, text: str) -> None:
        assert self._socket is not None
        if self._is_verbose:
            _log.debug("-> %s", _shown(text))
        await self._socket.send(text)

    # -- receiving -----------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[ModelEvent]:
        """Everything the provider says; see `RealtimeModel.events`."""
        while self._early:
            yield self._early.pop(0)
        if self._socket is None:
            return
        while (text := await self._socket.receive()) is not None:
            message = self._parse(text)
            if isinstance(message, ours.ProviderError):
                yield message
                continue
            events = [*self._raw(text), *self._take_losses(), *self._map(message)]
            await self._follow(events)
            for event in self._metadata.added(events):
                yield event
        close_reason = self._socket.close_reason or CLOSED_BY_US
        yield ours.ConnectionChanged(ConnectionStatus.CLOSED, close_reason.reason)
        yield ours.SessionEnded(close_reason.reason, close_reason.code, close_reason.is_retryable)

    def _raw(self, frame: str | bytes) -> list[ModelEvent]:
        event = raw_event(frame) if self._passes_raw_events else None
        return [] if event is None else [event]

    def _parse(self, text: str | bytes) -> wire.ServerMessage | ours.ProviderError:
        try:
            message = wire.parse(text, note=self._note_left_out)
        except InvalidEventError as error:
            _log.warning("the provider sent a malformed message: %s", error)
            return ours.ProviderError("malformed_event", str(error))
        if self._is_verbose:
            _log.debug("<- %s", _shown(text))
        return message

    def _note_left_out(self, path: str) -> None:
        self._warnings.note_left_out(path)
        if path.rpartition(".")[2] in _CONTENT:
            self._losses.append(path)

    def _take_losses(self) -> list[ModelEvent]:
        """Return errors for content of the last message that could not be read and was needed."""
        losses, self._losses = self._losses, []
        return [ours.ProviderError("malformed_event", f"{path}: left out") for path in losses]

    def _map(self, message: wire.ServerMessage) -> list[ModelEvent]:
        assert self._mapper is not None
        try:
            return self._mapper.map(message, now_s=self._clock())
        except Exception as error:  # noqa: BLE001 - an unforeseen message costs only itself
            return [unforeseen(error)]

    async def _follow(self, events: list[ModelEvent]) -> None:
        """Send what waited for these events."""
        assert self._writer is not None
        assert self._mapper is not None
        for event in events:
            match event:
                case ours.ResponseCreated(response_id):
                    request = self._gate.handle_created(response_id)
                    self._metadata.handle_created(response_id, request)
                    self._writer.note_reply()
                    self._asked_until_s = 0.0
                case ours.ResponseDone() | ours.Interrupted(response_id=str()):
                    self._gate.handle_done(event.response_id or "")
                case _:
                    pass
        await self._send_due()

    async def _send_due(self) -> None:
        try:
            await self._send_waiting()
        except ModelDisconnectedError:
            # The reader of the socket finds the reason and reports it.
            _log.debug("pending messages could not be sent: the connection is closed")

    async def _send_waiting(self) -> None:
        assert self._writer is not None
        assert self._mapper is not None
        for message in tool_response(self._mapper.take_released()):
            await self._send(message)
        await self._send_reply_request(self._gate.next_due(now_s=self._clock()))
        if not self._is_replying:
            for message in self._writer.flush():
                await self._send(message)

    async def close(self) -> None:
        """Close the session; safe at any time and again."""
        self._is_closed = True
        await self._timer.close()
        if self._socket is not None:
            await self._socket.close()


def _shown(text: str | bytes) -> object:
    """A frame for the log: long fields cut, and no handle, which is as good as a key."""
    message = read_json(text, allow_nan=True)
    for value in message.values() if isinstance(message, dict) else ():
        resumption = value.get("sessionResumption", value) if isinstance(value, dict) else {}
        if isinstance(resumption, dict):
            resumption.update({name: "***" for name in _SECRETS if name in resumption})
    return shorten(message)
