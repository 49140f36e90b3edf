"""One completion: requests until one is answered, within the reply's time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final

from speech.language_model.call_assembly import AssembledCall, CallAssembler
from speech.language_model.chat_client import ChatClient
from speech.language_model.chunks import Chunk
from speech.language_model.dialect import Dialect, adapted, request_fields
from speech.language_model.failures import Failure, RequestFailedError, retry_delay_s
from speech.language_model.protocol import (
    ChatRequest,
    FinishReason,
    LanguageModelError,
    TextDelta,
    TokenUsage,
)
from speech.language_model.token_estimate import (
    Calibration,
    estimated_usage,
    request_tokens,
    tool_tokens,
)
from speech.language_model.trimming import fitting
from speech.options import LanguageModelOptions

_log = logging.getLogger(__name__)

_MAX_ADAPTATIONS: Final = 6
_MAX_CHARACTERS: Final = 64_000
_MAX_LEADING_SPACE: Final = 500
_DEFAULT_REPLY_TOKENS: Final = 1_024
_TRIMMED_SHARE: Final = 0.6
_END_WAIT_S: Final = 0.5
"""Wait for usage and `[DONE]` once the reply itself is complete."""


@dataclass(slots=True)
class ServerState:
    """Knowledge of a server, shared by all requests to it.

    opens_reasoning: see `OpenedReasoning.is_opened`
    """

    dialect: Dialect
    opens_reasoning: bool = False
    calibration: Calibration = field(default_factory=Calibration)


@dataclass(frozen=True, slots=True)
class CompletionEnd:
    """The end of a completion; calls are as the model gave them."""

    reason: FinishReason
    calls: Sequence[AssembledCall]
    usage: TokenUsage


class Completion:
    """Sends a request, and again where a retry may help; see docs/local-model.md for the rules."""

    def __init__(
        self,
        client: ChatClient,
        options: LanguageModelOptions,
        state: ServerState,
        request: ChatRequest,
    ) -> None:
        self._client = client
        self._options = options
        self._state = state
        self._request = request
        self._dialect = state.dialect
        self._share = 1.0
        now = time.monotonic()
        self._first_token_due = now + options.first_token_timeout_s
        self._reply_due = now + options.reply_timeout_s
        self._retries = 0
        self._adaptations = 0
        self._attempt = _Attempt()

    async def pieces(self) -> AsyncGenerator[TextDelta | CompletionEnd, None]:
        """Yield the text as it comes, and the end.

        Raises:
            LanguageModelError: no reply, or one that broke off.
        """
        while True:
            self._attempt = _Attempt()
            try:
                async with aclosing(self._attempt_pieces()) as pieces:
                    async for piece in pieces:
                        yield piece
            except RequestFailedError as error:
                await self._prepare_retry(error.failure)
            else:
                return

    # -- one request ---------------------------------------------------------------------------

    async def _attempt_pieces(self) -> AsyncGenerator[TextDelta | CompletionEnd, None]:
        attempt, request = self._attempt, self._request
        messages = fitting(request.messages, self._room(), self._state.calibration.factor)
        fields = request_fields(request, messages, self._options, self._dialect)
        async with aclosing(self._client.chunks(fields)) as chunks:
            while (chunk := await self._next(chunks)) is not None:
                # The server has taken the request as it is.
                self._state.dialect = self._dialect
                if text := attempt.take(chunk):
                    yield TextDelta(text)
                if attempt.is_endless(request.max_tokens or self._options.max_reply_tokens):
                    attempt.reason = "length"
                    break
        if not attempt.has_output:
            raise RequestFailedError(_empty(attempt.reason))
        yield CompletionEnd(
            attempt.reason or ("tool_calls" if attempt.assembler.calls else "stop"),
            attempt.assembler.calls,
            self._usage(messages),
        )

    async def _next(self, chunks: AsyncGenerator[Chunk, None]) -> Chunk | None:
        """Return the next chunk; None: the stream has ended, or nothing of use will come."""
        due = self._due()
        if (left_s := due - time.monotonic()) <= 0:
            # Also with a server that never lets it come to waiting.
            self._end_overdue(due)
            return None
        try:
            async with asyncio.timeout(left_s):
                return await anext(chunks, None)
        except TimeoutError:
            self._end_overdue(due)
            return None

    def _end_overdue(self, due: float) -> None:
        """End the reply with what there is.

        Raises:
            RequestFailedError: that is nothing, or the server has fallen silent.
        """
        attempt = self._attempt
        if attempt.reason is not None:
            return
        if attempt.has_output and due == self._reply_due:
            attempt.reason = "length"
            return
        what = "token" if attempt.last_sign is not None else "first token"
        raise RequestFailedError(Failure("timeout", f"no {what} in time"))

    def _due(self) -> float:
        """Return when the next chunk must have come."""
        attempt = self._attempt
        if attempt.ended_at is not None:
            return attempt.ended_at + _END_WAIT_S
        if attempt.last_sign is None:
            return min(self._first_token_due, self._reply_due)
        return min(attempt.last_sign + self._options.token_timeout_s, self._reply_due)

    def _room(self) -> int:
        """Return the tokens that messages may have: the window without reply and tools."""
        options = self._options
        window = int(options.context_tokens * self._share)
        limit = self._request.max_tokens or options.max_reply_tokens or _DEFAULT_REPLY_TOKENS
        reply = min(limit, window // 4)
        tools = int(tool_tokens(self._request.tools) * self._state.calibration.factor)
        return window - reply - tools

    def _usage(self, messages: Sequence[Mapping[str, Any]]) -> TokenUsage:
        sent = replace(self._request, messages=messages)
        attempt = self._attempt
        if attempt.usage is None:
            return estimated_usage(sent, attempt.written)
        estimate = request_tokens(messages, self._request.tools)
        self._state.calibration.observe(estimate, attempt.usage.input_tokens)
        return attempt.usage

    # -- failures ------------------------------------------------------------------------------

    async def _prepare_retry(self, failure: Failure) -> None:
        """Change the request or wait, so that it can be sent again.

        Raises:
            LanguageModelError: it cannot.
        """
        if self._attempt.has_text:
            raise self._error(failure, "the reply broke off: ")
        if failure.is_context_too_long and self._share == 1.0:
            _log.info("%s: prompt too long, trimmed and sent again", self._options.model)
            self._share = _TRIMMED_SHARE
            return
        if (dialect := self._adapted(failure)) is not None:
            self._adaptations += 1
            self._dialect = dialect
            return
        left_s = min(self._first_token_due, self._reply_due) - time.monotonic()
        delay_s = retry_delay_s(failure, self._retries, left_s)
        if delay_s is None:
            raise self._error(failure)
        _log.info("%s: %s; sent again", self._options.model, self._loggable(failure))
        self._retries += not failure.is_loading
        await asyncio.sleep(delay_s)

    def _adapted(self, failure: Failure) -> Dialect | None:
        if self._adaptations >= _MAX_ADAPTATIONS:
            return None
        fields = request_fields(self._request, self._request.messages, self._options, self._dialect)
        return adapted(self._dialect, fields, failure)

    def _error(self, failure: Failure, prefix: str = "") -> LanguageModelError:
        text = f"{self._options.model}: {prefix}{self._loggable(failure)}"
        return LanguageModelError(failure.kind, text, retry_after_s=failure.retry_after_s)

    def _loggable(self, failure: Failure) -> str:
        """Return the failure's line; some servers repeat the key that they refuse."""
        key = self._options.api_key
        secret = key.get_secret_value() if key is not None else ""
        return failure.message.replace(secret, "***") if secret else failure.message


def _empty(reason: FinishReason | None) -> Failure:
    if reason == "content_filter":
        return Failure("empty", "the server's content filter left nothing of the answer")
    return Failure("empty", "the answer is empty", retries=1)


class _Attempt:
    """Text, calls and signs of life of one request.

    last_sign: when the model last wrote or thought; None: not yet
    ended_at: when the server said that the reply is complete
    """

    def __init__(self) -> None:
        self.assembler = CallAssembler()
        self.reason: FinishReason | None = None
        self.usage: TokenUsage | None = None
        self.last_sign: float | None = None
        self.ended_at: float | None = None
        self._text: list[str] = []
        self._characters = 0
        self._tokens = 0
        self._leading_space = 0

    @property
    def has_text(self) -> bool:
        return bool(self._text)

    @property
    def has_output(self) -> bool:
        return bool(self._text or self.assembler.calls)

    @property
    def written(self) -> str:
        """Everything that the model wrote."""
        calls = (call.name + call.arguments for call in self.assembler.calls)
        return "".join((*self._text, *calls))

    def take(self, chunk: Chunk) -> str:
        """Note a chunk and return its text. White space before the first word is none."""
        if chunk.text.strip() or chunk.calls or chunk.has_reasoning:
            self.last_sign = time.monotonic()
            self.ended_at = None
        self.usage = chunk.usage or self.usage
        self.assembler.add(chunk.calls)
        if chunk.finish_reason is not None:
            self.reason = chunk.finish_reason
            if not chunk.has_output:  # some servers give a reason with every piece of text
                self.ended_at = time.monotonic()
        text = chunk.text if self._text else chunk.text.lstrip()
        self._leading_space += len(chunk.text) - len(text)
        if text:
            self._text.append(text)
            self._characters += len(text)
            self._tokens += max(1, len(text) // 4)
        return text

    def is_endless(self, max_tokens: int | None) -> bool:
        """True if the server goes on beyond the limit that it was given, or beyond any sense."""
        is_over_limit = max_tokens is not None and self._tokens > 2 * max_tokens + 20
        is_blank = self._leading_space > _MAX_LEADING_SPACE
        return is_over_limit or is_blank or self._characters > _MAX_CHARACTERS
