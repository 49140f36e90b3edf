"""AgentScope 1's protocol between a page and its backend: `docs/bridge.md`, section 6.

Text messages only. Its nine client events and nineteen server events have the fields that its own
classes have; fields of ours that it does not know are left out, as are events.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bridge.dialect import (
    AgentAudio,
    BridgeSession,
    ClientAudio,
    ClientEventText,
    DialectError,
    Inbound,
    Message,
    Opening,
    OutboundEvent,
)
from bridge.dialects.reply_order import ReplyOrder
from bridge.wire_audio import WireAudio
from line.participants import ChatMessage
from untrusted.json_reader import InvalidJsonError, read_base64, read_object
from untrusted.validation import first_validation_error

_INVALID: Final = "invalid_event"
_UNSUPPORTED_DATA: Final = 1003
_DEFAULT_RATE_HZ: Final = 16_000
_CHANNEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.[A-Za-z0-9_.-]+")
_MAX_CHANNEL_CHARACTERS: Final = 64


class _Config(BaseModel):
    """`config` of `client_session_create`; all other fields are those of a start."""

    model_config = ConfigDict(extra="allow")

    instructions: str | None = None
    agent_name: str | None = None
    user_name: str = Field(default="", max_length=64)
    model_provider: str | None = None


class _Create(BaseModel):
    config: _Config


class _AudioFormat(BaseModel):
    """`{type, rate}`, or `{encoding, sample_rate}` as its tutorial has it."""

    rate: int = Field(default=_DEFAULT_RATE_HZ, ge=8_000, le=48_000)

    @model_validator(mode="before")
    @classmethod
    def _read_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        encoding = str(values.get("type", values.get("encoding", "pcm"))).lower()
        if not encoding.removeprefix("audio/").startswith("pcm"):
            raise ValueError("only PCM, 16-bit little-endian mono")
        rate = values.get("rate", values.get("sample_rate"))
        return {} if rate is None else {"rate": rate}


class _AudioAppend(BaseModel):
    audio: str
    format: _AudioFormat = _AudioFormat()


class AgentScopeDialect:
    """The channel is `USER.SESSION` of the address; a connection ends with its session."""

    close_codes: Mapping[str, int] = MappingProxyType({})
    is_over = True

    def __init__(self) -> None:
        self._session_id = ""
        self._agent = {"agent_id": "", "agent_name": ""}
        self._order = ReplyOrder()
        # Of the audio that came last: a fade has none.
        self._ids = {"response_id": "", "item_id": ""}

    def open(self, first: Message, route: Mapping[str, str]) -> Opening:
        """Read `client_session_create`."""
        self._session_id = route["session_id"]
        config = _create_of(first)
        wishes = {
            "instructions": config.instructions,
            "name": config.agent_name,
            "provider": config.model_provider,
        }
        return Opening(
            start=config.model_extra or {},
            wishes={name: value for name, value in wishes.items() if value is not None}
            | {"show_tools": "full", "tool_results_from": "anyone"},
            channel_name=_channel_of(route["user_id"], route["session_id"]),
            user_name=config.user_name or route["user_id"][:64],
            audio_in=WireAudio(rate=_DEFAULT_RATE_HZ),
        )

    def created(self, session: BridgeSession) -> list[Message]:
        """Answer with `server_session_created`."""
        self._agent = {"agent_id": session.agent_id, "agent_name": session.agent_name}
        return [_event("server_session_created", session_id=self._session_id)]

    def read(self, message: Message) -> list[Inbound]:
        """Read an event."""
        if isinstance(message, bytes):
            raise DialectError(_INVALID, "messages are text: audio comes in client_audio_append")
        try:
            event = read_object(message)
        except InvalidJsonError as error:
            raise DialectError(_INVALID, f"message: {error}") from None
        match event.get("type"):
            case "client_audio_append":
                return [_audio_of(event)]
            case "client_session_create":
                raise DialectError(_INVALID, "the session is created already")
            case str() as event_type if event_type in _INBOUND:
                return [ClientEventText(_event(event_type, **_INBOUND[event_type](event)))]
        return [ClientEventText(message)]

    def write_event(self, event: OutboundEvent) -> list[Message]:
        """Write what the protocol has, once the voice is so far."""
        return [text for each in self._order.put(event.fields) for text in self._written(each)]

    def _written(self, event: Mapping[str, Any]) -> list[Message]:
        event_type = event["type"]
        names = _OUTBOUND.get(event_type)
        if names is None or event.get("is_out_of_band"):
            return []
        fields = {name: event[name] for name in names}
        if event_type == "server_session_updated":
            return [_event(event_type, session_id=self._session_id)]
        if event_type == "agent_response_tool_use_done":
            use = event["tool_use"]
            fields["tool_use"] = use | {"raw_input": json.dumps(use["input"])}
        if event_type == "agent_response_tool_result":
            result = event["tool_result"]
            fields["tool_result"] = {
                name: result[name] for name in ("type", "id", "output", "name")
            }
        agent = {name: event[name] for name in self._agent if name in event}
        return [_event(event_type, **agent, **fields)]

    def write_audio(self, audio: AgentAudio) -> list[Message]:
        """Write `agent_response_audio_delta`."""
        if audio.key is not None:
            self._ids = {"response_id": audio.key[0], "item_id": audio.key[1]}
        return [
            _event(
                "agent_response_audio_delta",
                **self._agent,
                **self._ids,
                delta=base64.b64encode(audio.data).decode(),
                format={"type": "audio/pcm", "rate": audio.audio.rate},
            )
        ]

    def write_chat(self, chat: ChatMessage) -> list[Message]:
        """Write nothing: the protocol has no chat."""
        del chat
        return []

    def refuse(self, code: str, message: str) -> list[Message]:
        """Write `agent_error`."""
        return [
            _event("agent_error", **self._agent, error_type="client", code=code, message=message)
        ]

    def ended(self, session_id: str, reason: str) -> list[Message]:
        """Write `server_session_ended`, with the client's own name of the session."""
        del session_id, reason
        return [_event("server_session_ended", session_id=self._session_id)]


def _channel_of(user_id: str, session_id: str) -> str:
    """Return a channel that no other pair has: readable if it can be, else a digest."""
    name = f"{user_id}.{session_id}"
    if "." not in user_id and _CHANNEL.fullmatch(name) and len(name) <= _MAX_CHANNEL_CHARACTERS:
        return name
    pair = f"{len(user_id)}.{name}".encode(errors="surrogatepass")
    return f"agentscope-{hashlib.sha256(pair).hexdigest()[:32]}"


def _create_of(first: Message) -> _Config:
    try:
        fields = read_object(first) if isinstance(first, str) else {}
        if fields.get("type") == "client_session_create":
            return _Create.model_validate(fields).config
        text = "the first message is a client_session_create event, as text"
    except ValidationError as error:
        text = first_validation_error(error, whole="message")
    except InvalidJsonError as error:
        text = str(error)
    raise DialectError("invalid_config", text, close_code=_UNSUPPORTED_DATA)


def _audio_of(event: Mapping[str, Any]) -> ClientAudio:
    try:
        append = _AudioAppend.model_validate(event)
        data = read_base64(append.audio)
    except ValidationError as error:
        text = first_validation_error(error, whole="message")
        raise DialectError(_INVALID, text) from None
    except ValueError as error:
        raise DialectError(_INVALID, f"audio: {error}") from None
    return ClientAudio(data, WireAudio(rate=append.format.rate))


def _image_fields(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image, under the name that its example page gives it, too."""
    described = event.get("format")
    known = described if isinstance(described, dict) else {}
    image_type = known.get("type", known.get("mime_type"))
    image = event.get("image", event.get("data"))
    return {"image": image} | ({} if image_type is None else {"format": {"type": image_type}})


def _result_fields(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool result, blocks of text as text."""
    output = event.get("output")
    blocks = output if isinstance(output, list) else []
    texts = [each.get("text") for each in blocks if isinstance(each, dict)]
    if blocks and len(texts) == len(blocks) and all(isinstance(text, str) for text in texts):
        output = "\n".join(map(str, texts))
    return {"id": event.get("id"), "name": event.get("name"), "output": output}


def _no_fields(event: Mapping[str, Any]) -> dict[str, Any]:
    del event
    return {}


_INBOUND: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "client_session_end": _no_fields,
    "client_response_create": _no_fields,
    "client_response_cancel": _no_fields,
    "client_audio_commit": _no_fields,
    "client_text_append": lambda event: {"text": event.get("text")},
    "client_image_append": _image_fields,
    "client_tool_result": _result_fields,
}
_ITEM: Final = ("response_id", "item_id")
_OUTBOUND: Final[Mapping[str, tuple[str, ...]]] = {
    "server_session_updated": (),
    "agent_ready": (),
    "agent_ended": (),
    "agent_response_created": ("response_id",),
    "agent_response_done": ("response_id", "input_tokens", "output_tokens", "metadata"),
    "agent_response_audio_done": _ITEM,
    "agent_response_audio_transcript_delta": (*_ITEM, "delta"),
    "agent_response_audio_transcript_done": _ITEM,
    "agent_response_tool_use_delta": (*_ITEM, "tool_use"),
    "agent_response_tool_use_done": (*_ITEM, "tool_use"),
    "agent_response_tool_result": ("tool_result",),
    "agent_input_transcription_delta": ("item_id", "delta"),
    "agent_input_transcription_done": ("transcript", "item_id", "input_tokens", "output_tokens"),
    "agent_input_started": ("item_id", "audio_start_ms"),
    "agent_input_done": ("item_id", "audio_end_ms"),
    "agent_error": ("error_type", "code", "message"),
}
"""Fields of each event beside those of the agent. Sessions and audio are written above."""


def _event(event_type: str, **fields: Any) -> str:
    return json.dumps({"type": event_type, **fields}, separators=(",", ":"))
