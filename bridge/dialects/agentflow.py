"""Agentflow's protocol of `/v1/graph/live` (10xGraph): `docs/bridge.md`, section 6.

Binary messages are PCM16, 16 kHz up and 24 kHz down; text messages are control frames and events.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from bridge.dialect import (
    AgentAudio,
    BridgeSession,
    ClientAudio,
    ClientEventText,
    ClientLeaves,
    DialectError,
    Inbound,
    Message,
    Opening,
    OutboundEvent,
)
from bridge.dialects.reply_order import ReplyOrder
from bridge.wire_audio import WireAudio
from line.participants import ChatMessage
from untrusted.json_reader import InvalidJsonError, read_json, read_object
from untrusted.validation import first_validation_error

MAX_AUDIO_BYTES: Final = 1024 * 1024
"""Of one message; a larger one is dropped without an answer, as the protocol has it."""

MAX_REPLIES: Final = 64
"""At once; of more, all are forgotten."""

_AUDIO_IN: Final = WireAudio(rate=16_000)
_AUDIO_OUT: Final = WireAudio(rate=24_000)
_CHANNEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_THREAD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
_FRESH: Final = "new"
_UNSUPPORTED_DATA: Final = 1003
_POLICY: Final = 1008
_TRY_AGAIN: Final = 1013
_CODES: Final = {
    "unauthorized": "not_authorized",
    "forbidden": "not_authorized",
    "missing_api_key": "not_live",
    "unknown_provider": "not_live",
    "provider_not_configured": "not_live",
    "not_running": "not_live",
    "invalid_request": "invalid_config",
}
"""Its own words for refusals of ours."""

_SURVIVED: Final = frozenset({"invalid_event", "invalid_audio", "too_many_events"})
"""Refusals of one message, after which the connection goes on."""


class _Vad(BaseModel):
    enabled: bool = True
    prefix_padding_ms: int | None = Field(default=None, ge=0, le=10_000)
    silence_duration_ms: int | None = Field(default=None, ge=0, le=10_000)

    def turn_detection(self) -> dict[str, Any] | None:
        """Return it as a start has it; None: as the server has it."""
        if not self.enabled:
            return {"type": "none"}
        given = self.model_dump(exclude={"enabled"}, exclude_none=True)
        return {"type": "server_vad", **given} if given else None


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_Modalities = Annotated[
    list[Literal["AUDIO", "TEXT"]],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=1),
]


class _Init(BaseModel):
    """The first message. Tags of tools have no meaning here: `tools_tags` is accepted, like every
    other field that is not listed, without effect.
    """

    thread_id: str | None = Field(default=None, max_length=128)
    model: str | None = Field(default=None, max_length=128)
    voice: str | None = None
    modalities: _Modalities | None = None
    system_prompt: str | None = None
    vad: _Vad | None = None

    def wishes(self) -> dict[str, Any]:
        """Return the fields of a start that the frame asks for."""
        is_text = self.modalities == ["TEXT"]
        thread_id = None if self.thread_id in (None, "", _FRESH) else self.thread_id
        wanted = {
            "model": self.model,
            "voice": self.voice,
            "instructions": self.system_prompt,
            "model_settings": {"output_modality": "text"} if is_text else None,
            "turn_detection": None if self.vad is None else self.vad.turn_detection(),
            "thread_id": None if thread_id is None else _name_of(thread_id, _THREAD),
            "show_tools": "full",
        }
        return {name: value for name, value in wanted.items() if value is not None}


class AgentFlowDialect:
    """The channel is the thread's; a thread that nobody names gets one of its own."""

    close_codes: Mapping[str, int] = MappingProxyType(
        {
            **dict.fromkeys((code for code in _CODES if _CODES[code] != "invalid_config"), _POLICY),
            "invalid_config": _UNSUPPORTED_DATA,
            "session_gone": _POLICY,
            "uid_taken": _TRY_AGAIN,
            "room_full": _TRY_AGAIN,
            "first_message_timeout": _POLICY,
        }
    )

    def __init__(self) -> None:
        self._order = ReplyOrder()
        # The client has asked for the end, which comes after the reply in progress.
        self._is_closing = False
        self._has_manual_turns = False
        # Replies that have begun and not ended, and those that call tools: another one goes on.
        self._replies: set[str] = set()
        self._with_tools: set[str] = set()
        # Something was said or written, and no reply to it has begun.
        self._is_reply_due = False

    def open(self, first: Message, route: Mapping[str, str]) -> Opening:
        """Read the init frame."""
        del route
        init = _init_of(first)
        thread_id = None if init.thread_id in (None, "", _FRESH) else init.thread_id
        return Opening(
            wishes=init.wishes(),
            channel_name=None if thread_id is None else _name_of(thread_id, _CHANNEL),
            fresh_channel=f"live-{secrets.token_hex(8)}",
            audio_in=_AUDIO_IN,
            audio_out=_AUDIO_OUT,
        )

    def created(self, session: BridgeSession) -> list[Message]:
        """Write nothing: the protocol begins with the first event."""
        del session
        return []

    def read(self, message: Message) -> list[Inbound]:
        """Read audio or a control frame. Unknown frames are ignored, as the protocol has it."""
        if self._is_closing:
            return []
        if isinstance(message, bytes):
            return [ClientAudio(message)] if len(message) <= MAX_AUDIO_BYTES else []
        try:
            frame = read_object(message)
        except InvalidJsonError as error:
            raise DialectError("invalid_event", f"frame: {error}") from None
        match frame.get("type"):
            case "text":
                self._is_reply_due = True
                return [ClientEventText(_text("client_text_append", text=frame.get("text")))]
            case "activity_start" | "activity_end" as mark if self._has_manual_turns:
                self._is_reply_due = mark == "activity_end"
                return [ClientEventText(_text(f"client_{mark}"))]
            case "close":
                self._is_closing = True
                return [ClientLeaves(should_finish_reply=True)]
        return []

    @property
    def is_over(self) -> bool:
        """True once the client has asked for the end, and what it asked before is answered."""
        return self._is_closing and not self._replies and not self._is_reply_due

    def write_event(self, event: OutboundEvent) -> list[Message]:
        """Write what the protocol has, once the voice is so far."""
        return [text for each in self._order.put(event.fields) for text in self._written(each)]

    def _written(self, event: Mapping[str, Any]) -> list[Message]:
        if event.get("is_out_of_band"):
            return []
        self._note(event)
        event_type = event["type"]
        if event_type == "agent_response_done":
            return self._turn_end(event["response_id"])
        writer = _WRITERS.get(event_type)
        frame = None if writer is None else writer(event)
        return [] if frame is None else [frame]

    def _note(self, event: Mapping[str, Any]) -> None:
        """Note whether a reply is due, and how turns are taken."""
        match event["type"]:
            case "agent_ready":
                self._has_manual_turns = event["has_manual_turns"]
            case "agent_input_done":
                self._is_reply_due = True
            case "agent_input_transcription_done" if not event["transcript"]:
                self._is_reply_due = False
            case "agent_response_created":
                self._is_reply_due = False
                if len(self._replies) >= MAX_REPLIES:
                    self._replies.clear()
                self._replies.add(event["response_id"])
            case "agent_response_tool_use_done":
                self._with_tools = {event["response_id"]}
            case "agent_error":
                self._is_reply_due = False

    def _turn_end(self, response_id: str) -> list[Message]:
        self._replies.discard(response_id)
        if response_id not in self._with_tools:
            return [_text("turn_complete")]
        # The reply to the results goes on with the turn.
        self._is_reply_due = True
        return []

    def write_audio(self, audio: AgentAudio) -> list[Message]:
        """Write the bytes."""
        return [audio.data]

    def write_chat(self, chat: ChatMessage) -> list[Message]:
        """Write nothing: the protocol has no chat."""
        del chat
        return []

    def refuse(self, code: str, message: str) -> list[Message]:
        """Write `error`."""
        return [_error(_CODES.get(code, code), message, is_fatal=code not in _SURVIVED)]

    def ended(self, session_id: str, reason: str) -> list[Message]:
        """Write nothing: the close with 1000 says it."""
        del session_id, reason
        return []


def _name_of(thread_id: str, pattern: re.Pattern[str]) -> str:
    """Return the thread's id if it is a name of this form, else a digest of it."""
    if pattern.fullmatch(thread_id):
        return thread_id
    return f"agentflow-{hashlib.sha256(thread_id.encode(errors='surrogatepass')).hexdigest()[:32]}"


def _init_of(first: Message) -> _Init:
    if not isinstance(first, str):
        text = "the first frame is JSON, as text"
        raise DialectError("invalid_config", text, close_code=_UNSUPPORTED_DATA)
    try:
        return _Init.model_validate(read_object(first))
    except ValidationError as error:
        text = first_validation_error(error, whole="frame")
        raise DialectError("invalid_config", text, close_code=_UNSUPPORTED_DATA) from None
    except InvalidJsonError as error:
        text = f"the first frame: {error}"
        raise DialectError("invalid_config", text, close_code=_UNSUPPORTED_DATA) from None


def _tool_call(event: Mapping[str, Any]) -> str:
    use = event["tool_use"]
    return _text("tool_call", id=use["id"], name=use["name"], args=use["input"])


def _tool_result(event: Mapping[str, Any]) -> str:
    result = event["tool_result"]
    return _text("tool_result", id=result["id"], result=_result(result["output"]))


def _go_away(event: Mapping[str, Any]) -> str:
    left_ms = event["time_left_ms"]
    return _text("go_away", time_left=None if left_ms is None else f"{left_ms / 1000:g}s")


def _model_lost(event: Mapping[str, Any]) -> str | None:
    if event["status"] != "closed":
        return None  # it is tried again
    return _error("reconnect_failed", "the model cannot be reached any more", is_fatal=True)


def _result(output: str) -> Any:
    """Return a tool's output as an object: text that is none becomes its `result`."""
    value: Any
    try:
        value = read_json(output)
    except InvalidJsonError:
        value = output
    return value if isinstance(value, dict) else {"result": value}


def _error(code: str, message: str, *, is_fatal: bool = False) -> str:
    return _text("error", code=code, message=message, fatal=is_fatal)


def _text(event_type: str, **fields: Any) -> str:
    return json.dumps({"type": event_type, **fields}, separators=(",", ":"))


_WRITERS: Final[Mapping[str, Callable[[Mapping[str, Any]], str | None]]] = {
    "agent_input_transcription_delta": lambda event: _text(
        "input_transcript", text=event["delta"], finished=False
    ),
    "agent_input_transcription_done": lambda event: _text(
        "input_transcript", text=event["transcript"], finished=True
    ),
    "agent_response_audio_transcript_delta": lambda event: _text(
        "output_transcript", text=event["delta"], finished=False
    ),
    "agent_response_audio_transcript_done": lambda event: _text(
        "output_transcript", text=event["transcript"], finished=True
    ),
    "agent_response_tool_use_done": _tool_call,
    "agent_response_tool_result": _tool_result,
    "agent_interrupted": lambda _event: _text("interrupted"),
    "server_session_go_away": _go_away,
    "agent_handed_over": lambda event: _text("agent_changed", author=event["current"]),
    "agent_connection_changed": _model_lost,
    "agent_error": lambda event: _error(event["code"], event["message"]),
}
"""Frames for our events; the end of a turn is written above."""
