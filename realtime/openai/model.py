"""`OpenAIRealtimeModel`: a session with OpenAI, or with any server that speaks its protocol."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from realtime import events as ours
from realtime import struct as wire
from realtime.capabilities import capabilities_of, require_settings, require_supported
from realtime.codec import ServerMessage
from realtime.connection import RealtimeApiConnection
from realtime.due_timer import DueTimer
from realtime.ending import CLOSED_BY_US
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
from realtime.openai.commands import command_message, reply_message
from realtime.openai.dialect import OPENAI_DIALECT, Dialect
from realtime.openai.mapping import BUSY_CODE, OpenAIMapper, is_fatal
from realtime.openai.settings import initial_session
from realtime.reading_notes import unforeseen
from realtime.response_gate import ReplyRequest, ResponseGate

M = TypeVar("M", bound=wire.ServerMessage)

_log = logging.getLogger("realtime")


class OpenAIRealtimeModel:
    """See `realtime.model.RealtimeModel`. The socket is read by whoever iterates `events`."""

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
        self._gate_timer = DueTimer(self._send_due_request)
        self._connection: RealtimeApiConnection | None = None
        self._is_closed = False
        self._is_read = False
        # What came before anybody iterates.
        self._early: list[ModelEvent] = []
        self._gate_handlers: dict[type, Callable[..., None]] = {
            wire.ResponseCreated: self._gate_created,
            wire.ResponseDone: self._gate_done,
            wire.ErrorEvent: self._gate_refused,
        }

    @property
    def capabilities(self) -> Capabilities:
        """What this model can do."""
        return self._capabilities

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self, config: RealtimeModelConfig) -> None:
        """Open the session; see `RealtimeModel.connect`."""
        self._dialect = dialect = self._dialect_for(config)
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
        """How to talk to the server that `config` names."""
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
        updated = await self._wait_for(connection, wire.SessionUpdated)
        session, expires_at_s = created.session, updated.session.expires_at
        self._early[:0] = [
            ours.ConnectionChanged(ConnectionStatus.OPEN),
            ours.SessionOpened(
                session.id or "", session.expires_at if expires_at_s is None else expires_at_s
            ),
        ]

    async def _wait_for(self, connection: RealtimeApiConnection, wanted: type[M]) -> M:
        async for message in connection:
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
                await self._send_reply_request(
                    self._gate.request(command.instructions, now_s=self._clock())
                )
            case _:
                await self._send_command(command)

    async def _send_command(self, command: ModelCommand) -> None:
        if isinstance(command, ours.AppendAudio):
            await self._open_connection.send_audio(command.pcm)
            return
        try:
            await self._send(command_message(command, self._dialect))
        except InvalidSettingsError as error:
            raise UnsupportedCommandError(str(error)) from error
        if isinstance(command, ours.CancelResponse):
            self._gate.handle_cancel(now_s=self._clock())
            self._set_gate_timer()

    async def _send_reply_request(self, request: ReplyRequest | None) -> None:
        self._set_gate_timer()
        if request is not None:
            await self._send(reply_message(request))

    async def _send_due_request(self) -> None:
        """Send what the gate lets through now."""
        try:
            await self._send_reply_request(self._gate.next_due(now_s=self._clock()))
        except ModelDisconnectedError:
            # Reading on finds out why, and tells.
            _log.debug("no reply could be asked for: the connection is gone")

    def _set_gate_timer(self) -> None:
        deadline_s = self._gate.deadline_s
        self._gate_timer.set(None if deadline_s is None else deadline_s - self._clock())

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
                for event in self._map(message):
                    yield event
        finally:
            self._is_read = False
        ending = self._connection.ending or CLOSED_BY_US
        yield ours.ConnectionChanged(ConnectionStatus.CLOSED, ending.reason)
        yield ours.SessionEnded(ending.reason, ending.code, ending.is_retryable)

    async def _next_message(self, connection: RealtimeApiConnection) -> ServerMessage | None:
        """What the provider says next, as gate and mapping may believe it; None when it is gone."""
        return await anext(connection, None)

    def _map(self, message: ServerMessage) -> list[ModelEvent]:
        try:
            return self._mapper.map(message)
        except wire.InvalidEventError as error:
            return [ours.ProviderError("malformed_event", str(error))]
        except Exception as error:  # noqa: BLE001 - one that nobody foresaw costs only itself
            return [unforeseen(error)]

    async def _follow_gate(self, message: ServerMessage) -> None:
        if (handler := self._gate_handlers.get(type(message))) is not None:
            handler(message)
        await self._send_due_request()

    def _gate_created(self, message: wire.ResponseCreated) -> None:
        self._gate.handle_created(message.response.id)

    def _gate_done(self, message: wire.ResponseDone) -> None:
        self._gate.handle_done(message.response.id)

    def _gate_refused(self, message: wire.ErrorEvent) -> None:
        error = message.error
        self._gate.handle_refused(
            error.event_id, is_busy=error.code == BUSY_CODE, now_s=self._clock()
        )

    async def close(self) -> None:
        """Close the session; safe at any time and again."""
        self._is_closed = True
        await self._gate_timer.close()
        if self._connection is not None:
            await self._connection.close()


def _is_unread(message: wire.ErrorEvent) -> bool:
    """Whether it is ours, about one message that could not be read; what matters may still come."""
    error = message.error
    return (error.type, error.code) == ("protocol_error", "malformed_event")


def _connect_error(text: str, code: str, *, is_retryable: bool = False) -> ModelConnectError:
    return ModelConnectError(text, code=code, is_retryable=is_retryable)
