"""Replies of language models, read to their end."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from speech.dialogue.context import Tool
from speech.language_model.protocol import (
    ChatRequest,
    LanguageModel,
    LanguageModelError,
    ReplyEnd,
    TextDelta,
    ToolArgumentsDelta,
    ToolCallDone,
    ToolCallStarted,
)
from speech.options import LanguageModelOptions

SYSTEM = {"role": "system", "content": "Be kind."}
TIME = Tool(
    "get_time", "Tell the time.", {"type": "object", "properties": {"zone": {"type": "string"}}}
)
TIMER = Tool(
    "set_timer",
    "Set a timer.",
    {"type": "object", "properties": {"minutes": {"type": "integer"}}, "required": ["minutes"]},
)


def options(base_url: str, **fields: Any) -> LanguageModelOptions:
    """Options with deadlines that no busy machine misses."""
    deadlines = {"first_token_timeout_s": 60, "token_timeout_s": 60, "fallback_after_s": 60}
    return LanguageModelOptions(
        **({"base_url": base_url, "model": "scripted"} | deadlines | fields)
    )


def request(words: str = "Good day", *tools: Tool, **fields: Any) -> ChatRequest:
    return ChatRequest([SYSTEM, {"role": "user", "content": words}], tools, **fields)


@dataclass
class Reply:
    """error: what it ended with instead of `end`"""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    call_ids: list[str] = field(default_factory=list)
    deltas: list[str] = field(default_factory=list)
    end: ReplyEnd | None = None
    error: LanguageModelError | None = None

    @property
    def kind(self) -> str | None:
        return None if self.error is None else self.error.kind

    @property
    def reason(self) -> str | None:
        return None if self.end is None else self.end.reason


async def read(model: LanguageModel, asked: ChatRequest | None = None) -> Reply:
    """The whole reply; checks the order of its events."""
    reply, arguments = Reply(), ""
    try:
        async with aclosing(model.stream(asked or request())) as events:
            async for event in events:
                assert reply.end is None, "the end is the last event"
                match event:
                    case TextDelta(text):
                        assert text
                        reply.text += text
                        reply.deltas.append(text)
                    case ToolCallStarted(index, call_id, name):
                        assert index == len(reply.calls)
                        reply.call_ids.append(call_id)
                        reply.calls.append((name, ""))
                        arguments = ""
                    case ToolArgumentsDelta(index, delta):
                        assert index == len(reply.calls) - 1
                        arguments += delta
                    case ToolCallDone(index, whole):
                        assert index == len(reply.calls) - 1
                        assert whole == arguments
                        reply.calls[index] = (reply.calls[index][0], whole)
                    case ReplyEnd():
                        reply.end = event
    except LanguageModelError as error:
        reply.error = error
    else:
        assert reply.end is not None
    return reply
