"""`LanguageModel`: a streaming chat model, as the session sees it. Pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from speech.dialogue.context import Tool

FailureKind = Literal["timeout", "rate_limited", "unavailable", "refused", "invalid", "empty"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
ToolChoice = str
"""`auto`, `none`, `required`, or the name of an offered tool."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request.

    messages: in the form of OpenAI's chat completions, oldest first; all of them: a model leaves out
        what does not fit into its window
    max_tokens: limit on this reply; None: the model's
    answer_schema: JSON schema that the reply shall follow; a server that knows no such thing ignores it
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Tool] = ()
    tool_choice: ToolChoice = "auto"
    max_tokens: int | None = None
    answer_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next text of the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """A tool call begins; its arguments follow, those of one call after those of another.

    index: counts the calls of this reply from 0
    call_id: unique in this reply
    name: of an offered tool
    """

    index: int
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolArgumentsDelta:
    """The next piece of the arguments of the call `index`."""

    index: int
    delta: str


@dataclass(frozen=True, slots=True)
class ToolCallDone:
    """A complete call; `arguments` is a JSON object, repaired where that was possible."""

    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of the request and its reply; `cached_tokens` are part of `input_tokens`.

    is_estimated: the server did not count
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The last event.

    model: the name of the model that answered, which may be the fallback
    usage: of all requests that this reply took
    """

    reason: FinishReason
    model: str
    usage: TokenUsage


ChatEvent = TextDelta | ToolCallStarted | ToolArgumentsDelta | ToolCallDone | ReplyEnd


class LanguageModelError(Exception):
    """A request failed for good, after retries and fallback; the text is one line for the log.

    Text that came before stays said: a reply that broke off raises this after its deltas.
    """

    def __init__(
        self, kind: FailureKind, message: str, *, retry_after_s: float | None = None
    ) -> None:
        """retry_after_s: what the server asked for, if it did."""
        super().__init__(message)
        self.kind: FailureKind = kind
        self.retry_after_s = retry_after_s


class LanguageModel(Protocol):
    """Answers requests, several at once."""

    @property
    def name(self) -> str:
        """The model's name, for usage and prices."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Yield the reply as it comes, `ReplyEnd` last; closing the generator cancels the request.

        Raises:
            LanguageModelError: no reply, or one that broke off.
        """
        ...

    async def close(self) -> None:
        """Free connections."""
        ...
