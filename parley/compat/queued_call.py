"""`QueuedCall`: a call whose server events go to a queue of the application, as AgentScope has it."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from conversation.events import client_events as inbound
from conversation.events import server_events as out
from conversation.events.client_events import ClientEvent
from conversation.events.commands import CommandRefusedError
from conversation.events.parts import AudioFormat
from conversation.events.server_events import ServerEvent
from parley.agent import Agent
from parley.chat_room import ChatRoom
from parley.compat.running_call import RunningCall
from parley.in_process.event_backlog import EventBacklog
from parley.in_process.live_call import USER_UID, CallItem, CallOver, VoiceDelta
from parley.live_options import LiveOptions
from session.model_setup import CreateModel
from untrusted.json_reader import read_base64
from untrusted.validation import first_validation_error
from utils import OwnedTasks

_CLIENT_EVENT: Final[TypeAdapter[ClientEvent]] = TypeAdapter(ClientEvent)

_THEIRS: Final = frozenset(
    {
        *("server_session_created", "server_session_updated", "server_session_ended"),
        *("agent_ready", "agent_ended", "agent_response_created", "agent_response_done"),
        *("agent_response_audio_delta", "agent_response_audio_done"),
        *("agent_response_audio_transcript_delta", "agent_response_audio_transcript_done"),
        *("agent_response_tool_use_delta", "agent_response_tool_use_done"),
        *("agent_response_tool_result", "agent_input_transcription_delta"),
        *("agent_input_transcription_done", "agent_input_started", "agent_input_done"),
        "agent_error",
    }
)
"""Types of events that AgentScope has; others are sent if asked for."""

_LAST_EVENTS_S: Final = 1.0

_log = logging.getLogger("parley.compat")


def read_client_event(data: Mapping[str, Any]) -> ClientEvent:
    """Return the event that an object with a `type` stands for.

    Raises:
        ValueError: it is none.
    """
    try:
        return _CLIENT_EVENT.validate_python(dict(data))
    except ValidationError as error:
        raise ValueError(first_validation_error(error)) from error


class QueuedCall:
    """Starts once. name: of its agent, in events"""

    def __init__(
        self,
        name: str,
        definition: Agent | ChatRoom,
        *,
        sends_all_events: bool,
        create_model: CreateModel | None,
        options: LiveOptions,
    ) -> None:
        self.name = name
        # The `agent_id` of its events; empty before `start`.
        self.id = ""
        self._definition = definition
        self._sends_all = sends_all_events
        self._create_model = create_model
        self._options = options
        self._call: RunningCall | None = None
        self._forwarding: asyncio.Task[None] | None = None
        self._backlog: EventBacklog[ServerEvent] = EventBacklog(_audio_s)
        self._tasks = OwnedTasks(_log)

    async def start(self, outgoing_queue: asyncio.Queue[Any]) -> None:
        """Open the model's session; `agent_ready` is the first event.

        Raises:
            ConfigError, AgentStartError: it cannot begin.
        """
        call = RunningCall(
            self._definition, self._handle, create_model=self._create_model, **self._options
        )
        self._forwarding = self._tasks.start(
            self._forward(outgoing_queue), name="events of an agent"
        )
        try:
            await call.start()
        except BaseException:
            await self._tasks.close()
            raise
        self._call = call

    async def _forward(self, outgoing_queue: asyncio.Queue[Any]) -> None:
        while (event := await self._backlog.get()) is not None:
            await outgoing_queue.put(event)

    def _handle(self, item: CallItem) -> None:
        match item:
            case out.AgentReady():
                self.id = item.agent_id
                self._announce(item)
            case out.AgentEnded():
                self._announce(item)
            case VoiceDelta():
                self._backlog.put(
                    out.AgentResponseAudioDelta(
                        **self._who(item.response_id),
                        response_id=item.response_id,
                        item_id=item.item_id,
                        delta=base64.b64encode(item.pcm).decode(),
                        format=AudioFormat(rate=item.sample_rate_hz),
                    )
                )
            case CallOver():
                self._backlog.finish()
            case _ if getattr(item, "type", "") in _THEIRS or (
                self._sends_all and hasattr(item, "type")
            ):
                self._backlog.put(item)  # type: ignore[arg-type]
            case _:
                pass

    def _announce(self, event: out.AgentReady | out.AgentEnded) -> None:
        """Pass on that the call begins or ends."""
        self._backlog.put(event)

    def _who(self, response_id: str) -> dict[str, Any]:  # noqa: ARG002 - a room's agents have their own
        """Return the fields that name the agent of a reply."""
        return {"agent_id": self.id, "agent_name": self.name}

    async def handle_input(self, event: ClientEvent | Mapping[str, Any]) -> None:
        """Carry out a client event, or answer it with `agent_error`.

        Raises:
            RuntimeError: the agent was not started.
        """
        if self._call is None:
            raise RuntimeError("start the agent first")
        try:
            await self._carry_out(read_client_event(event) if isinstance(event, Mapping) else event)
        except CommandRefusedError as error:
            self._refuse(error.code, str(error))
        except ValueError as error:
            self._refuse("invalid_event", str(error))

    async def _carry_out(self, event: ClientEvent) -> None:
        assert self._call is not None
        match event:
            case inbound.ClientAudioAppend():
                self._call.queue.send_audio(read_base64(event.audio), event.format.rate)
            case inbound.ClientSessionCreate():
                self._backlog.put(out.ServerSessionCreated(session_id=event.session_id or self.id))
            case inbound.ClientSessionEnd():
                self._backlog.put(out.ServerSessionEnded(session_id=event.session_id or self.id))
                await self.stop()
            case inbound.ClientToolResult() | inbound.ClientToolApproval():
                await self._call.execute(event)
            case _:
                await self._call.execute(event, uid=USER_UID)

    def _refuse(self, code: str, message: str) -> None:
        self._backlog.put(
            out.AgentError(**self._who(""), error_type="client", code=code, message=message)
        )

    async def stop(self) -> None:
        """End the call; `agent_ended` is the last event. Idempotent."""
        if self._call is not None:
            await self._call.close()
        self._backlog.finish()
        if self._forwarding is not None:
            # A full queue that is not read any more delays no end.
            await asyncio.wait([self._forwarding], timeout=_LAST_EVENTS_S)
        await self._tasks.close()


def _audio_s(event: ServerEvent) -> float:
    if isinstance(event, out.AgentResponseAudioDelta):
        return len(event.delta) * 3 / 4 / 2 / event.format.rate
    return 0.0
