"""Frames of OpenAI's Realtime protocol as plain dictionaries, written from its documentation.

Uses nothing of ours, so that a misreading of ours cannot hide in it.
"""

from __future__ import annotations

import base64
import itertools
from typing import Any

Frame = dict[str, Any]

BYTES_PER_MS = 48
_numbers = itertools.count(1)


def new_id(prefix: str) -> str:
    return f"{prefix}_{next(_numbers):06d}"


def frame(event_type: str, **fields: Any) -> Frame:
    return {"type": event_type, "event_id": new_id("event"), **fields}


def error(
    code: str,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    event_id: str | None = None,
) -> Frame:
    details = {
        "type": kind,
        "code": code,
        "message": message,
        "param": param,
        "event_id": event_id,
    }
    return frame("error", error=details)


SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,
    "create_response": True,
    "interrupt_response": True,
}
"""Turn detection of a session that was asked for nothing else."""


def new_session(model: str) -> Frame:
    """A whole session as `session.created` shows it."""
    pcm = {"type": "audio/pcm", "rate": 24000}
    return {
        "type": "realtime",
        "id": new_id("sess"),
        "object": "realtime.session",
        "expires_at": 1_900_000_000,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "Be helpful.",
        "audio": {
            "input": {
                "format": pcm,
                "noise_reduction": None,
                "transcription": None,
                "turn_detection": dict(SERVER_VAD),
            },
            "output": {"format": pcm, "voice": "marin", "speed": 1.0},
        },
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "include": None,
    }


def deep_merge(old: Frame, new: Frame) -> Frame:
    """Settings after an update: objects of the same kind merge, everything else replaces."""
    return {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}


def _merged(old: Any, new: Any) -> Any:
    are_objects = isinstance(old, dict) and isinstance(new, dict)
    return deep_merge(old, new) if are_objects and old.get("type") == new.get("type") else new


class Reply:
    """One response in the making: the frames of its life, in order.

    params: `response` of the request for it
    """

    def __init__(self, params: Frame | None = None) -> None:
        self._params = params or {}
        self.id = new_id("resp")
        self.item_id = new_id("item")
        self.transcript = ""
        self.audio_bytes = 0
        self.cut_reason: str | None = None
        self._where = {"response_id": self.id, "item_id": self.item_id, "output_index": 0}
        self._part = {**self._where, "content_index": 0}

    def begin(self) -> Frame:
        return frame("response.created", response=self._response("in_progress", []))

    @property
    def is_beside(self) -> bool:
        """Whether it stays outside of the conversation."""
        return self._params.get("conversation") == "none"

    def add_item(self, item: Frame) -> list[Frame]:
        added = [
            frame(
                "response.output_item.added", response_id=self.id, output_index=0, item=dict(item)
            ),
            frame("conversation.item.added", previous_item_id=None, item=dict(item)),
        ]
        return added[: 1 if self.is_beside else None]

    def begin_speech(self) -> list[Frame]:
        part = {"type": "audio", "transcript": ""}
        return [
            *self.add_item(self._message("in_progress", [])),
            frame("response.content_part.added", **self._part, part=part),
        ]

    def words(self, delta: str) -> Frame:
        self.transcript += delta
        event = "response.output_audio_transcript.delta"
        return frame(event, **self._part, delta=delta, obfuscation="xyz")

    def audio(self, pcm: bytes) -> Frame:
        self.audio_bytes += len(pcm)
        delta = base64.b64encode(pcm).decode("ascii")
        return frame("response.output_audio.delta", **self._part, delta=delta)

    def end_speech(self) -> list[Frame]:
        status = "incomplete" if self.cut_reason else "completed"
        content = [{"type": "output_audio", "transcript": self.transcript}]
        part = {"type": "audio", "transcript": self.transcript}
        event = "response.output_audio_transcript.done"
        return [
            frame("response.output_audio.done", **self._part),
            frame(event, **self._part, transcript=self.transcript),
            frame("response.content_part.done", **self._part, part=part),
            *self.end_item(self._message(status, content)),
        ]

    def write(self, text: str) -> list[Frame]:
        """A written answer, whole but for the end of its item."""
        self.transcript = text
        part = {"type": "text", "text": ""}
        return [
            *self.add_item(self._message("in_progress", [])),
            frame("response.content_part.added", **self._part, part=part),
            frame("response.output_text.delta", **self._part, delta=text),
            frame("response.output_text.done", **self._part, text=text),
            frame("response.content_part.done", **self._part, part=part | {"text": text}),
        ]

    def end_text(self) -> list[Frame]:
        content = [{"type": "output_text", "text": self.transcript}]
        return self.end_item(self._message("completed", content))

    def end_item(self, item: Frame) -> list[Frame]:
        ended = [frame("conversation.item.done", previous_item_id=None, item=item)]
        return [
            *ended[: 0 if self.is_beside else None],
            frame("response.output_item.done", response_id=self.id, output_index=0, item=item),
            frame("response.done", response=self._response(self._status(), [item])),
            frame("rate_limits.updated", rate_limits=[_TOKENS_LEFT]),
        ]

    def call_item(self, name: str, call_id: str, arguments: str, status: str) -> Frame:
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "function_call",
            "status": status,
            "name": name,
            "call_id": call_id,
            "arguments": arguments,
        }

    def arguments(self, call_id: str, name: str, text: str) -> list[Frame]:
        where = {**self._where, "call_id": call_id}
        event = "response.function_call_arguments"
        half = len(text) // 2
        return [
            frame(f"{event}.delta", **where, delta=text[:half], obfuscation="xyz"),
            frame(f"{event}.delta", **where, delta=text[half:], obfuscation="xyz"),
            frame(f"{event}.done", **where, name=name, arguments=text),
        ]

    def _message(self, status: str, content: list[Frame]) -> Frame:
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def _status(self) -> str:
        return "cancelled" if self.cut_reason else "completed"

    def _response(self, status: str, output: list[Frame]) -> Frame:
        details = None
        if self.cut_reason is not None and status == "cancelled":
            details = {"type": "cancelled", "reason": self.cut_reason}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": None if self.is_beside else "conv_1",
            "output_modalities": self._params.get("output_modalities", ["audio"]),
            "max_output_tokens": "inf",
            "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
            "usage": None if status == "in_progress" else _USAGE,
            "metadata": self._params.get("metadata"),
        }


_TOKENS_LEFT = {"name": "tokens", "limit": 1000, "remaining": 900, "reset_seconds": 1.5}
_USAGE = {
    "total_tokens": 30,
    "input_tokens": 10,
    "output_tokens": 20,
    "input_token_details": {
        "text_tokens": 4,
        "audio_tokens": 6,
        "image_tokens": 0,
        "cached_tokens": 0,
        "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
}
