"""Chunks of a streamed chat completion, from any server that means well. Pure.

Accepts what servers do beside OpenAI's form: deltas with a role only, no choices, `content: null` or
in parts, a `message` instead of a `delta`, arguments as an object, fields of the wrong type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from speech.language_model.protocol import FinishReason, TokenUsage

_REASONING: Final = ("reasoning_content", "reasoning", "thinking")
_FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_MAX_MESSAGE_CHARACTERS: Final = 300
_INPUT: Final = re.compile(r"['\"]?\b(?:input|input_value|failed_generation)['\"]?\s*[:=]")
"""Begins what a checker quotes of the request."""


class InvalidChunkError(Exception):
    """The data is no chunk; the text says why, without its content."""


@dataclass(frozen=True, slots=True)
class CallPiece:
    """Part of a tool call. None: not given."""

    index: int | None
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class StreamError:
    """An error that the server reports inside a stream."""

    message: str
    code: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """The useful part of a chunk.

    has_reasoning: the model thinks: no text, but no silence of the server either
    """

    text: str = ""
    calls: tuple[CallPiece, ...] = ()
    has_reasoning: bool = False
    finish_reason: FinishReason | None = None
    usage: TokenUsage | None = None
    error: StreamError | None = None

    @property
    def has_output(self) -> bool:
        """True if the model has begun to answer."""
        return bool(self.text or self.calls)


def read_chunk(data: str) -> Chunk:
    """Read the data of one event, or a whole completion.

    Raises:
        InvalidChunkError: no JSON object.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidChunkError("a chunk that is not JSON") from error
    if not isinstance(body, dict):
        raise InvalidChunkError("a chunk that is no JSON object")
    if body.get("error"):
        return Chunk(error=read_error(body["error"]))
    usage = _usage(body.get("usage"))
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return Chunk(usage=usage)
    delta = choice.get("delta") or choice.get("message")
    delta = delta if isinstance(delta, dict) else {}
    return Chunk(
        text=_text(delta.get("content")) or _text(delta.get("refusal")),
        calls=_calls(delta),
        has_reasoning=any(delta.get(name) for name in _REASONING),
        finish_reason=_finish_reason(choice.get("finish_reason")),
        usage=usage,
    )


def read_error(error: Any) -> StreamError:
    """Read an `error` of any form: an object, or a text. Its message never quotes the request."""
    if not isinstance(error, Mapping):
        return StreamError(_without_input(str(error)), "")
    code = error.get("code") or error.get("status") or error.get("type") or ""
    code = str(code)[:100] if isinstance(code, str | int) else ""
    message = error.get("message") or error.get("detail")
    if isinstance(message, list):
        # FastAPI's: each with the place, and the input that is wrong.
        message = "; ".join(str(one.get("msg", "")) for one in message if isinstance(one, Mapping))
    return StreamError(_without_input(message) if isinstance(message, str) else code, code)


def _without_input(message: str) -> str:
    return clean_text(_INPUT.split(message, maxsplit=1)[0])[:_MAX_MESSAGE_CHARACTERS]


def clean_text(text: str) -> str:
    """Return text that can be encoded: some servers cut an emoji's two escapes apart."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return clean_text(content)
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return ""


def _calls(delta: Mapping[str, Any]) -> tuple[CallPiece, ...]:
    calls = delta.get("tool_calls")
    pieces = (
        [_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    )
    if isinstance(old := delta.get("function_call"), dict):
        pieces.append(_call({"index": 0, "function": old}))
    return tuple(pieces)


def _call(call: Mapping[str, Any]) -> CallPiece:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    index = call.get("index")
    return CallPiece(
        index=index if isinstance(index, int) and not isinstance(index, bool) else None,
        call_id=_string(call.get("id")),
        name=_string(function.get("name")),
        arguments=_arguments(function.get("arguments")),
    )


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, str):
        return clean_text(arguments)
    return "" if arguments is None else json.dumps(arguments)


def _string(value: Any) -> str:
    return clean_text(value) if isinstance(value, str) else ""


def _finish_reason(reason: Any) -> FinishReason | None:
    """Return the reason; one that is unknown ends a reply as `stop` does."""
    if not isinstance(reason, str) or not reason:
        return None
    return _FINISH_REASONS.get(reason, "stop")


def _usage(usage: Any) -> TokenUsage | None:
    if not isinstance(usage, dict):
        return None
    given, made = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if not given and not made:
        return None
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    return TokenUsage(given, made, min(cached, given))


def _count(value: Any) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return min(max(0, value), 1_000_000_000) if is_count else 0
