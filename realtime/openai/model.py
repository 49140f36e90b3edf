"""`OpenAIRealtimeModel`: a session with OpenAI, or with any server that speaks its protocol."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeVar

from realtime import events as ours
from realtime import struct as wire
from realtime.capabilities import capabilities_of, require_settings, require_supported
from realtime.close_reason import CLOSED_BY_US
from realtime.connection import RealtimeApiConnection
from realtime.due_timer import DueTimer
from realtime.events import ConnectionStatus, ModelCommand, ModelEvent
from realtime.model import (
    Capabilities,
    InvalidSettingsError,
    ModelConnectError,
    ModelDisconnectedError,
    ModelSettings,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from realtime.openai.codec import ServerMessage
from realtime.openai.commands import command_message, out_of_band_of, reply_message
from realtime.openai.dialect import OPENAI_DIALECT, Dialect
from realtime.openai.mapping import BUSY_CODE, OpenAIMapper, is_fatal
from realtime.openai.settings import initial_session
from realtime.parse_warnings import unforeseen
from realtime.playback import PlaybackTruncation
from realtime.raw_events import raw_event, raw_text
from realtime.request_metadata import RequestMetadata
from realtime.response_gate import ReplyRequest, ResponseGate, refused_reply

M = TypeVar("M", bound=wire.ServerMessage)

_log = logging.getLogger("realtime")


class OpenAIRealtimeModel:
    """An OpenAI Realtime session as a `realtime.model.RealtimeModel`; iterating `events` reads the socket."""

    def __init__(
        self,
        capabilities: Capabilities | None = None,
        dialect: Dialect = OPENAI_DIALECT,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        capabilities: None: what OpenAI's own models can
        clock: monotonic seconds
        """
        capabilities = capabilities or capabilities_of("openai")
        self._capabilities = capabilities
        self._dialect = dialect
        self._clock = clock
        self._mapper = OpenAIMapper(output_sample_rate_hz=capabilities.output_sample_rate_hz)
        self._gate = ResponseGate()
        self._side_gate = ResponseGate("side_reply")
        # Otherwise what a request says of itself is kept here for its reply.
        self._sends_metadata = "out_of_band" in capabilities.reply_options
        self._metadata = RequestMetadata()
        self._gate_timer = DueTimer(self._send_due_request)
        self._connection: RealtimeApiConnection | None = None
        self._is_closed = False
        self._is_read = False
        self._is_cut_by_speech = True
        # Events that came before `events` is iterated.
        self._early: list[ModelEvent] = []
        # Frames as they came, and ends of refused requests, in front of the next events.
        self._raw: list[ModelEvent] = []
        self._truncation: PlaybackTruncation | None = None
        self._refused: list[ModelEvent] = []
        self._gate_handlers: dict[type, Callable[..., None]] = {
            wire.ResponseCreated: self._gate_created,
            wire.ResponseDone: self._gate_done,
            wire.ErrorEvent: self._gate_refused,
        }

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of this model."""
        return self._capabilities

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self, config: RealtimeModelConfig) -> None:
        """Open the session; see `RealtimeModel.connect`."""
        self._dialect = dialect = self._dialect_for(config)
        if config.playback_tracker is not None and self._capabilities.has_truncation:
            self._truncation = PlaybackTruncation(config.playback_tracker)
            detection = config.settings.turn_detection
            self._is_cut_by_speech = (
                not isinstance(detection, Mapping)
                or detection.get("interrupt_response", True) is not False
            )
        try:
            update = wire.SessionUpdate(
                event_id=wire.new_id("setup"), session=self._session_for(config.settings)
            )
        except InvalidSettingsError as error:
            raise _connect_error(str(error), "invalid_settings") from error
        self._connection = RealtimeApiConnection(
            config.base_uri,
            config.model,
            headers=config.headers,
            query=config.query,
            endpoint=dialect.endpoint,
            codec=dialect.codec,
            on_frame=self._keep_raw if config.passes_raw_events else None,
            is_verbose=config.is_verbose,
        )
        try:
            async with asyncio.timeout(config.timeout_s):
                await self._open(self._connection, update, config)
        except TimeoutError:
            await self.close()
            phase = self._connection.phase
            text = f"the provider did not open a session in {config.timeout_s:g} s ({phase})"
            raise _connect_error(text, "timeout", is_retryable=True) from None
        except InvalidSettingsError as error:  # of the dialect: GA has it, this server has not
            await self.close()
            raise _connect_error(str(error), "invalid_settings") from error
        except BaseException:
            await self.close()
            raise

    def _dialect_for(self, _config: RealtimeModelConfig) -> Dialect:
        """Return the dialect of the server that `config` names."""
        return self._dialect

    def _session_for(self, settings: ModelSettings) -> wire.Session:
        require_settings(settings, self._capabilities)
        return initial_session(settings, self._dialect)

    async def _open(
        self,
        connection: RealtimeApiConnection,
        update: wire.SessionUpdate,
        config: RealtimeModelConfig,
    ) -> None:
        if self._is_closed:
            raise _connect_error("closed while connecting", "closed")
        await connection.connect(config.api_key, timeout_s=config.timeout_s)
        created = await self._wait_for(connection, wire.SessionCreated)
        try:
            await connection.send(update)
        except ModelDisconnectedError as error:
            raise _connect_error(str(error), "handshake_failed", is_retryable=True) from error
        updated = await self._wait_for_update(connection)
        session, expires_at_s = (
            created.session,
            None if updated is None else updated.session.expires_at,
        )
        self._early[:0] = [
            ours.ConnectionChanged(ConnectionStatus.OPEN),
            ours.SessionOpened(
                session.id or "", session.expires_at if expires_at_s is None else expires_at_s
            ),
        ]

    async def _wait_for_update(
        self, connection: RealtimeApiConnection
    ) -> wire.SessionUpdated | None:
        """Wait for `session.updated`; None from a server that sends none, if the dialect allows it."""
        try:
            async with asyncio.timeout(self._dialect.confirm_timeout_s):
                return await self._wait_for(connection, wire.SessionUpdated)
        except TimeoutError:
            return None

    async def _wait_for(self, connection: RealtimeApiConnection, wanted: type[M]) -> M:
        async for message in connection:
            self._early += self._take_raw()
            if isinstance(message, wanted):
                return message
            if isinstance(message, wire.ErrorEvent) and not _is_unread(message):
                error = message.error
                code = error.code or error.type
                is_retryable = error.type == "server_error" and not is_fatal(error)
                raise _connect_error(error.message or code, code, is_retryable=is_retryable)
            self._early += self._map(message)
        raise _connect_error(connection.end_reason, "handshake_failed", is_retryable=True)

    # -- sending -------------------------------------------------------------------------------

    async def send(self, command: ModelCommand) -> None:
        """Send one command; see `RealtimeModel.send`. Waits while the provider is slower than we.

        Raises:
            ModelDisconnectedError: the session is gone.
            UnsupportedCommandError: this model cannot do that.
        """
        require_supported(command, self._capabilities)
        match command:
            case ours.CreateResponse():
                await self._request_reply(command)
            case ours.SendRaw():
                text = raw_text(command.message)
                asks_for_reply = command.message["type"] == "response.create"
                await self._open_connection.send_raw(text, asks_for_reply=asks_for_reply)
            case _:
                await self._send_command(command)

    async def _request_reply(self, command: ours.CreateResponse) -> None:
        gate = self._gate if command.out_of_band is None else self._side_gate
        try:
            # What cannot be said must not wait for its turn.
            self._reply_message(ReplyRequest("", command))
        except InvalidSettingsError as error:
            raise UnsupportedCommandError(str(error)) from error
        await self._send_reply_request(gate.request(command, now_s=self._clock()))

    def _reply_message(self, request: ReplyRequest) -> wire.ResponseCreate:
        return reply_message(request, has_metadata=self._sends_metadata)

    async def _send_command(self, command: ModelCommand) -> None:
        if isinstance(command, ours.AppendAudio):
            await self._open_connection.send_audio(command.pcm)
            return
        try:
            await self._send(command_message(command, self._dialect))
        except InvalidSettingsError as error:
            raise UnsupportedCommandError(str(error)) from error
        if isinstance(command, ours.CancelResponse):
            is_beside = command.response_id == self._side_gate.active
            gate = self._side_gate if command.response_id and is_beside else self._gate
            gate.handle_cancel(now_s=self._clock())
            self._set_gate_timer()
            if self._truncation is not None and gate is self._gate:
                await self._truncate_played(self._truncation)

    async def _send_reply_request(self, request: ReplyRequest | None) -> None:
        self._set_gate_timer()
        if request is not None:
            await self._send(self._reply_message(request))

    async def _send_due_request(self) -> None:
        """Send what the gates let through now."""
        try:
            for gate in (self._gate, self._side_gate):
                await self._send_reply_request(gate.next_due(now_s=self._clock()))
        except ModelDisconnectedError:
            # The reader of the socket finds the reason and reports it.
            _log.debug("no reply could be requested: the connection is closed")

    def _set_gate_timer(self) -> None:
        deadlines_s = [
            gate.deadline_s for gate in (self._gate, self._side_gate) if gate.deadline_s is not None
        ]
        self._gate_timer.set(min(deadlines_s) - self._clock() if deadlines_s else None)

    async def _send(self, message: wire.AnyClientEvent) -> None:
        await self._open_connection.send(message)

    @property
    def _open_connection(self) -> RealtimeApiConnection:
        if self._connection is None:
            raise ModelDisconnectedError("not connected", code="disconnected", is_retryable=True)
        return self._connection

    # -- receiving -----------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[ModelEvent]:
        """Everything the provider says; see `RealtimeModel.events`."""
        while self._early:
            yield self._early.pop(0)
        if self._connection is None:
            return
        self._is_read = True
        try:
            while (message := await self._next_message(self._connection)) is not None:
                await self._follow_gate(message)
                for event in [*self._take_raw(), *self._events_of(message)]:
                    if self._truncation is not None:
                        await self._follow_playback(event, self._truncation)
                    yield event
        finally:
            self._is_read = False
        close_reason = self._connection.close_reason or CLOSED_BY_US
        yield ours.ConnectionChanged(ConnectionStatus.CLOSED, close_reason.reason)
        yield ours.SessionEnded(close_reason.reason, close_reason.code, close_reason.is_retryable)

    async def _next_message(self, connection: RealtimeApiConnection) -> ServerMessage | None:
        """Return the provider's next valid message; None when the connection is gone."""
        return await anext(connection, None)

    async def _follow_playback(self, event: ModelEvent, truncation: PlaybackTruncation) -> None:
        truncation.handle(event)
        if isinstance(event, ours.SpeechStarted) and self._is_cut_by_speech:
            with contextlib.suppress(ModelDisconnectedError):
                await self._truncate_played(truncation)

    async def _truncate_played(self, truncation: PlaybackTruncation) -> None:
        if (command := truncation.interrupt()) is not None:
            await self._send(command_message(command, self._dialect))

    def _keep_raw(self, frame: str | bytes) -> None:
        if (event := raw_event(frame)) is not None:
            self._raw.append(event)

    def _take_raw(self) -> list[ModelEvent]:
        taken, self._raw = self._raw, []
        return taken

    def _events_of(self, message: ServerMessage) -> list[ModelEvent]:
        """The events of a message; of one that refuses a reply beside the conversation, its end."""
        refused, self._refused = self._refused, []
        events = refused or self._map(message)
        return events if self._sends_metadata else self._metadata.added(events)

    def _map(self, message: ServerMessage) -> list[ModelEvent]:
        try:
            return self._mapper.map(message)
        except wire.InvalidEventError as error:
            return [ours.ProviderError("malformed_event", str(error))]
        except Exception as error:  # noqa: BLE001 - an unforeseen message costs only itself
            return [unforeseen(error)]

    async def _follow_gate(self, message: ServerMessage) -> None:
        if (handler := self._gate_handlers.get(type(message))) is not None:
            handler(message)
        await self._send_due_request()

    def _gate_created(self, message: wire.ResponseCreated) -> None:
        response = message.response
        gate = self._gate if out_of_band_of(response) is None else self._side_gate
        request = gate.handle_created(response.id)
        if not self._sends_metadata:
            self._metadata.handle_created(response.id, request)

    def _gate_done(self, message: wire.ResponseDone) -> None:
        self._side_gate.handle_done(message.response.id)
        if out_of_band_of(message.response) is None:
            self._gate.handle_done(message.response.id)

    def _gate_refused(self, message: wire.ErrorEvent) -> None:
        error, now_s = message.error, self._clock()
        is_busy = BUSY_CODE in (error.code, error.type)
        self._gate.handle_refused(error.event_id, is_busy=is_busy, now_s=now_s)
        if error.event_id is None or is_fatal(error):
            return
        lost = self._side_gate.handle_refused(error.event_id, is_busy=is_busy, now_s=now_s)
        if lost is not None:
            self._refused = refused_reply(lost, f"{error.code or error.type}: {error.message}")

    async def close(self) -> None:
        """Close the session; safe at any time and again."""
        self._is_closed = True
        await self._gate_timer.close()
        if self._connection is not None:
            await self._connection.close()


def _is_unread(message: wire.ErrorEvent) -> bool:
    """True if it is our own error about one unreadable message, after which the session goes on."""
    error = message.error
    return (error.type, error.code) == ("protocol_error", "malformed_event")


def _connect_error(text: str, code: str, *, is_retryable: bool = False) -> ModelConnectError:
    return ModelConnectError(text, code=code, is_retryable=is_retryable)
