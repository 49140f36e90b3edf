"""The words a fake speaks: OpenAI's GA, its beta, xAI's or DashScope's. Uses nothing of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.openai_frames import SERVER_VAD, Frame, new_id, new_session

_BETA_TYPES = {
    "response.output_text": "response.text",
    "response.output_audio_transcript": "response.audio_transcript",
    "response.output_audio": "response.audio",
}
_BETA_PARTS = {"output_text": "text", "output_audio": "audio"}


@dataclass(frozen=True)
class Vocabulary:
    """outgoing: a GA frame in these words, or None for what has no word."""

    new_session: Callable[[str], Frame]
    turn_detection: Callable[[Frame], Any]
    outgoing: Callable[[Frame], Frame | None]


def beta_frame(frame: Frame) -> Frame | None:
    """A GA server frame as the beta API sent it."""
    kind = frame["type"]
    if kind == "conversation.item.done":
        return None
    stem, _, last = kind.rpartition(".")
    if kind == "conversation.item.added":
        kind = "conversation.item.created"
    elif stem in _BETA_TYPES:
        kind = f"{_BETA_TYPES[stem]}.{last}"
    beta = {name: value for name, value in frame.items() if name != "obfuscation"}
    beta["type"] = kind
    if kind == "response.function_call_arguments.done":
        del beta["name"]
    if kind == "conversation.item.created" and beta["previous_item_id"] is None:
        del beta["previous_item_id"]
    if "item" in beta:
        beta["item"] = _beta_item(beta["item"])
    if "response" in beta:
        beta["response"] = _beta_response(beta["response"])
    return beta


def dashscope_frame(frame: Frame) -> Frame | None:
    """A GA server frame as DashScope sends it."""
    if frame["type"] == "rate_limits.updated":
        return None
    given = beta_frame(frame)
    if given is not None and (usage := (given.get("response") or {}).get("usage")):
        given["response"]["usage"] = {
            **{name: usage[name] for name in ("total_tokens", "input_tokens", "output_tokens")},
            "input_tokens_details": {"text_tokens": 4, "audio_tokens": 6},
            "output_tokens_details": {"text_tokens": 5, "audio_tokens": 15},
        }
    return given


def _beta_item(item: Frame) -> Frame:
    parts = item.get("content")
    if not isinstance(parts, list):
        return item
    renamed = [part | {"type": _BETA_PARTS.get(part["type"], part["type"])} for part in parts]
    return item | {"content": renamed}


def _beta_response(response: Frame) -> Frame:
    moved = ("output_modalities", "audio")
    beta = {name: value for name, value in response.items() if name not in moved}
    beta["output"] = [_beta_item(item) for item in response["output"]]
    return beta | {
        "modalities": ["text", "audio"],
        "voice": "alloy",
        "output_audio_format": "pcm16",
        "temperature": 0.8,
    }


def new_beta_session(model: str) -> Frame:
    """The flat session of the beta API."""
    return {
        "id": new_id("sess"),
        "object": "realtime.session",
        "model": model,
        "expires_at": 1_900_000_000,
        "modalities": ["text", "audio"],
        "instructions": "Be helpful.",
        "voice": "alloy",
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "turn_detection": dict(SERVER_VAD),
        "tools": [],
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": "inf",
    }


def new_dashscope_session(model: str) -> Frame:
    """The flat session of DashScope."""
    return {
        "object": "realtime.session",
        "model": model,
        "modalities": ["text", "audio"],
        "voice": "Cherry",
        "input_audio_format": "pcm",
        "output_audio_format": "pcm",
        "input_audio_transcription": {"model": "gummy-realtime-v1"},
        "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 800},
        "id": new_id("sess"),
    }


def xai_frame(frame: Frame) -> Frame | None:
    """A GA server frame as xAI sends it: a connection begins with its conversation."""
    if frame["type"] == "session.created":
        conversation = {"id": frame["session"]["id"], "object": "realtime.conversation"}
        return {
            "event_id": frame["event_id"],
            "type": "conversation.created",
            "conversation": conversation,
        }
    return None if frame["type"] == "rate_limits.updated" else frame


def new_xai_session(model: str) -> Frame:
    """The session of xAI: some of it nested, some not."""
    pcm = {"type": "audio/pcm", "rate": 24_000}
    return {
        "id": new_id("sess"),
        "model": model,
        "instructions": "",
        "voice": "eve",
        "turn_detection": {"type": "server_vad", "threshold": 0.85, "prefix_padding_ms": 333},
        "tools": [],
        "audio": {"input": {"format": pcm}, "output": {"format": pcm}},
    }


def _nested_detection(session: Frame) -> Any:
    return session["audio"]["input"]["turn_detection"]


def _flat_detection(session: Frame) -> Any:
    return session["turn_detection"]


GA = Vocabulary(new_session, _nested_detection, lambda frame: frame)
BETA = Vocabulary(new_beta_session, _flat_detection, beta_frame)
XAI = Vocabulary(new_xai_session, _flat_detection, xai_frame)
DASHSCOPE = Vocabulary(new_dashscope_session, _flat_detection, dashscope_frame)
