"""The session object: defaults, what an update changes, and what this server cannot do. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from realtime import struct as wire
from speech.errors import ClientError
from speech.turns import TurnSettings, semantic_settings

MODEL = "parley-local"
"""What answers, whatever name a client asked for."""

VOICE = "joe"
OPENAI_VOICES = frozenset(
    ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
)
"""Clients of OpenAI name these by default: they get our voice, and `session.updated` says so."""

TRANSCRIPTION: dict[str, Any] = {"model": "whisper-tiny.en", "language": "en"}
"""The one way in which words are written down here, whatever a client asks for."""

DEFAULT_INSTRUCTIONS = "You are a helpful voice assistant. You speak English."

_VAD_DEFAULTS: dict[str, dict[str, Any]] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 400,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}

_NULL_MEANS_OFF = frozenset(
    {"turn_detection", "noise_reduction", "transcription", "tracing", "prompt", "include"}
)
_REPLACED_WHOLE = _NULL_MEANS_OFF | {"format", "tool_choice", "truncation", "reasoning"}
_SET_BY_SERVER = frozenset({"id", "object", "expires_at", "type", "model"})


def default_session(*, session_id: str, expires_at: int) -> dict[str, Any]:
    """A session as it is created."""
    pcm = {"type": "audio/pcm", "rate": 24_000}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": MODEL,
        "expires_at": expires_at,
        "output_modalities": ["audio"],
        "instructions": DEFAULT_INSTRUCTIONS,
        "audio": {
            "input": {
                "format": pcm,
                "noise_reduction": None,
                "transcription": dict(TRANSCRIPTION),
                "turn_detection": dict(_VAD_DEFAULTS["server_vad"]),
            },
            "output": {"format": dict(pcm), "voice": VOICE, "speed": 1.0},
        },
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "include": None,
    }


def updated_session(session: dict[str, Any], update: wire.Session) -> dict[str, Any]:
    """`session` with the present fields of `update`; the argument stays as it was.

    Raises:
        ClientError: the update asks for something this server does not have.
    """
    _refuse_unsupported(update)
    changes = update.model_dump(exclude_unset=True)
    result = deepcopy(session)
    _merge(result, {k: v for k, v in changes.items() if k not in _SET_BY_SERVER})
    result["tracing"] = None
    result["audio"]["output"]["voice"] = VOICE
    if result["audio"]["input"]["transcription"] is not None:
        result["audio"]["input"]["transcription"] = dict(TRANSCRIPTION)
    return result


def _merge(target: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            if key in _NULL_MEANS_OFF:
                target[key] = None
            elif key == "instructions":
                target[key] = ""
        elif key == "turn_detection":
            given = {k: v for k, v in value.items() if v is not None}
            target[key] = {**_VAD_DEFAULTS[value["type"]], **given}
        elif isinstance(value, dict) and key not in _REPLACED_WHOLE and key in target:
            _merge(target[key], value)
        else:
            target[key] = value


def _refuse_unsupported(update: wire.Session) -> None:
    if update.type != "realtime":
        raise ClientError(
            "invalid_value", "This server has realtime sessions only.", param="session.type"
        )
    refuse_unknown_fields(update, "session")
    for name in ("reasoning", "prompt", "include"):
        refuse_setting(getattr(update, name), f"session.{name}")
    if isinstance(update.truncation, wire.RetentionRatio):
        refuse_setting(update.truncation, "session.truncation")
    refuse_unsupported_tools(update.tools, "session.tools")
    audio = update.audio
    if audio is None:
        return
    if audio.input is not None:
        _refuse_format(audio.input.format, "session.audio.input.format")
        refuse_setting(audio.input.noise_reduction, "session.audio.input.noise_reduction")
        _refuse_language(audio.input.transcription)
    if audio.output is not None:
        _refuse_format(audio.output.format, "session.audio.output.format")
        refuse_unknown_voice(audio.output.voice, "session.audio.output.voice")


def refuse_unknown_fields(value: wire.WireObject, path: str) -> None:
    """Fields that are none of the protocol's would be ignored, and nobody would know.

    Raises:
        ClientError: naming the first of them.
    """
    for name in value.model_extra or ():
        raise ClientError(
            "unknown_parameter", f"Unknown parameter: {path}.{name[:60]}.", param=f"{path}.{name}"
        )
    for name in value.model_fields_set:
        if isinstance(inner := getattr(value, name), wire.WireObject):
            refuse_unknown_fields(inner, f"{path}.{name}")


def refuse_setting(value: Any, param: str) -> None:
    """A setting of the protocol that means nothing here must be left out, or be null or empty.

    Raises:
        ClientError: it is given.
    """
    if value:
        name = param.rpartition(".")[2]
        raise ClientError(
            "unsupported_setting", f"The local model has no {name}: leave it out.", param=param
        )


def refuse_unknown_voice(voice: Any, param: str) -> None:
    """Our one voice, and those that OpenAI's clients ask for unless told otherwise, are fine.

    Raises:
        ClientError: another voice.
    """
    if voice is None or voice == VOICE or (isinstance(voice, str) and voice in OPENAI_VOICES):
        return
    raise ClientError(
        "unsupported_voice", f"The local model has one voice, {VOICE!r}: use it.", param=param
    )


def _refuse_format(audio_format: Any, param: str) -> None:
    if audio_format is not None and audio_format.type != "audio/pcm":
        raise ClientError(
            "unsupported_audio_format",
            f"{audio_format.type} is not available here: use audio/pcm at 24000 Hz.",
            param=param,
        )


def _refuse_language(transcription: wire.Transcription | None) -> None:
    language = transcription.language if transcription is not None else None
    if language is not None and language.lower().split("-")[0] not in {"", "en"}:
        raise ClientError(
            "unsupported_language",
            f"The local model hears English only, not {language[:20]!r}: use language en, or "
            "another provider.",
            param="session.audio.input.transcription.language",
        )


def refuse_unsupported_tools(tools: Any, param: str) -> None:
    """Functions are fine, MCP servers are not.

    Raises:
        ClientError: some tool is not a function.
    """
    for index, tool in enumerate(tools or ()):
        if tool.type != "function":
            raise ClientError(
                "unsupported_tool",
                f"Tools of type {tool.type!r} are not available here: offer functions.",
                param=f"{param}[{index}]",
            )


def turn_settings(session: dict[str, Any]) -> TurnSettings | None:
    """How this session finds turns; None when the client commits by hand."""
    detection = session["audio"]["input"]["turn_detection"]
    if detection is None:
        return None
    if detection["type"] == "semantic_vad":
        return semantic_settings(detection["eagerness"])
    return TurnSettings(
        threshold=detection["threshold"],
        prefix_padding_ms=min(detection["prefix_padding_ms"], 5_000),
        silence_ms=min(detection["silence_duration_ms"], 20_000),
    )
