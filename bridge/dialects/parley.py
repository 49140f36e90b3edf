"""Parley's own protocol: `docs/bridge.md`. Client and server events as on the data channel."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bridge.dialect import (
    AgentAudio,
    Answer,
    BridgeSession,
    ClientAudio,
    ClientEventText,
    ClientLeaves,
    DialectError,
    Inbound,
    Message,
    Opening,
    OutboundEvent,
    Resumption,
)
from bridge.wire_audio import AudioChoice, WireAudio
from line.participants import ChatMessage
from untrusted.json_reader import InvalidJsonError, read_base64, read_object
from untrusted.validation import first_validation_error

_CREATE = "client_session_create"
_UNSUPPORTED_DATA = 1003
_MAX_UID = 2**32 - 1


class _Config(BaseModel):
    """`config` of the first message; all other fields are those of a start."""

    model_config = ConfigDict(extra="allow")

    audio_in: AudioChoice = WireAudio()
    audio_out: AudioChoice | None = None
    audio_as: Literal["binary", "events"] = "binary"
    user_uid: int | None = Field(default=None, ge=1, le=_MAX_UID, strict=True)
    user_name: str = Field(default="", max_length=64)

    @model_validator(mode="after")
    def _check_events(self) -> _Config:
        is_pcm = self.audio_out is None or self.audio_out.encoding == "pcm16"
        if self.audio_as == "events" and not is_pcm:
            raise ValueError("audio_out: events carry pcm16 only; take audio_as binary for others")
        return self


class _Create(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["client_session_create"]
    config: _Config = _Config()
    session_id: str = Field(default="", max_length=128)
    secret: str = Field(default="", max_length=256)
    last_seq: int = Field(default=0, ge=0, strict=True)


class _AudioFormat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: int = Field(ge=8_000, le=48_000)


class _AudioAppend(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["client_audio_append"]
    session_id: str = ""
    audio: str
    format: _AudioFormat | None = None


class ParleyDialect:
    """Binary messages are audio, text messages are events."""

    close_codes: Mapping[str, int] = MappingProxyType({})
    is_over = True

    def __init__(self) -> None:
        self._is_audio_in_events = False
        self._agent: dict[str, str] = {}
        # A `client_image_append` whose image is the next binary message.
        self._awaited_image: dict[str, Any] | None = None

    def open(self, first: Message, route: Mapping[str, str]) -> Opening:
        """Read `client_session_create`."""
        del route
        wanted = _create_of(first)
        config = wanted.config
        self._is_audio_in_events = config.audio_as == "events"
        resumption = None
        if wanted.session_id:
            resumption = Resumption(wanted.session_id, wanted.secret, wanted.last_seq)
        return Opening(
            start=config.model_extra or {},
            uid=config.user_uid,
            user_name=config.user_name,
            audio_in=config.audio_in,
            audio_out=config.audio_out,
            resumption=resumption,
        )

    def created(self, session: BridgeSession) -> list[Message]:
        """Answer with `server_session_created`."""
        self._agent = {"agent_id": session.agent_id, "agent_name": session.agent_name}
        return [
            _event(
                "server_session_created",
                session_id=session.session_id,
                secret=session.secret,
                uid=session.uid,
                channel_name=session.channel_name,
                **self._agent,
                audio_in=session.audio_in.model_dump(),
                audio_out=session.audio_out.model_dump(),
                is_resumed=session.is_resumed,
                lost_events=session.lost_events,
            )
        ]

    def read(self, message: Message) -> list[Inbound]:
        """Read audio or an event."""
        if isinstance(message, bytes):
            return [self._bytes_of(message)]
        try:
            event = read_object(message)
        except InvalidJsonError as error:
            raise DialectError("invalid_event", f"message: {error}") from None
        match event.get("type"):
            case "client_audio_append":
                return [_audio_of(event)]
            case "client_image_append" if "image" not in event:
                self._awaited_image = event
                return []
            case "client_ping":
                return [_PONG]
            case "client_leave":
                return [ClientLeaves()]
            case "client_session_create":
                raise DialectError("invalid_event", "the session is created already")
        return [ClientEventText(message)]

    def _bytes_of(self, message: bytes) -> Inbound:
        """Read a binary message: audio, or the image that was announced."""
        if (event := self._awaited_image) is None:
            return ClientAudio(message)
        self._awaited_image = None
        image = base64.b64encode(message).decode("ascii")
        return ClientEventText(json.dumps(event | {"image": image}))

    def write_event(self, event: OutboundEvent) -> list[Message]:
        """Pass it on with its number."""
        return [f'{event.text[:-1]},"seq":{event.seq}}}']

    def write_audio(self, audio: AgentAudio) -> list[Message]:
        """Write bytes, or base64 in `agent_response_audio_delta`; a key's first audio is announced."""
        response_id, item_id, content_index = audio.key or ("", "", 0)
        ids = {"response_id": response_id, "item_id": item_id}
        if self._is_audio_in_events:
            delta = base64.b64encode(audio.data).decode()
            audio_format = {"type": "audio/pcm", "rate": audio.audio.rate}
            return [
                _event(
                    "agent_response_audio_delta",
                    **self._agent,
                    **ids,
                    delta=delta,
                    format=audio_format,
                )
            ]
        if not audio.is_first:
            return [audio.data]
        started = _event("agent_audio_started", **self._agent, **ids, content_index=content_index)
        return [started, audio.data]

    def write_chat(self, chat: ChatMessage) -> list[Message]:
        """Write `agent_chat_message`."""
        return [
            _event("agent_chat_message", **self._agent, text=chat.text, message_id=chat.message_id)
        ]

    def refuse(self, code: str, message: str) -> list[Message]:
        """Write `agent_error`."""
        return [
            _event("agent_error", **self._agent, error_type="client", code=code, message=message)
        ]

    def ended(self, session_id: str, reason: str) -> list[Message]:
        """Write `server_session_ended`."""
        return [_event("server_session_ended", session_id=session_id, reason=reason)]


def _create_of(first: Message) -> _Create:
    try:
        fields = read_object(first) if isinstance(first, str) else {}
        if fields.get("type") == _CREATE:
            return _Create.model_validate(fields)
        text = f"the first message is a {_CREATE} event, as text"
    except ValidationError as error:
        text = first_validation_error(error, whole="message")
    except InvalidJsonError as error:
        text = str(error)
    raise DialectError("invalid_config", text, close_code=_UNSUPPORTED_DATA)


def _audio_of(event: dict[str, Any]) -> ClientAudio:
    try:
        append = _AudioAppend.model_validate(event)
        data = read_base64(append.audio)
    except ValidationError as error:
        text = first_validation_error(error, whole="message")
        raise DialectError("invalid_event", text) from None
    except ValueError as error:
        raise DialectError("invalid_event", f"audio: {error}") from None
    audio = None if append.format is None else WireAudio(rate=append.format.rate)
    return ClientAudio(data, audio)


def _event(event_type: str, **fields: Any) -> str:
    return json.dumps({"type": event_type, **fields}, separators=(",", ":"))


_PONG: Final = Answer((_event("server_pong"),))
