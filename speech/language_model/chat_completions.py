"""`ChatCompletionsModel`: any language model behind a server of OpenAI's chat-completions shape."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from speech.language_model.chat_client import ChatClient
from speech.language_model.completion import Completion, CompletionEnd, ServerState
from speech.language_model.dialect import first_dialect
from speech.language_model.messages import accepted_name
from speech.language_model.opened_reasoning import OpenedReasoning
from speech.language_model.protocol import (
    ChatEvent,
    ChatRequest,
    FailureKind,
    FinishReason,
    LanguageModelError,
    ReplyEnd,
    TextDelta,
    TokenUsage,
    ToolArgumentsDelta,
    ToolCallDone,
    ToolCallStarted,
)
from speech.language_model.text_call_filter import TextCallFilter
from speech.language_model.tool_repair import (
    BrokenCall,
    RepairedCall,
    repaired_calls,
    repeated_rounds,
)
from speech.options import LanguageModelOptions

_log = logging.getLogger(__name__)

_MAX_REPEATED_ROUNDS: Final = 3
"""The same calls so often in a row are answered in words."""

_NOT_MADE: Final = (
    "Not carried out, because another call of the same reply was invalid. Call again."
)


class ChatCompletionsModel:
    """A `LanguageModel`; its connections are opened by the first request, on that one's loop."""

    def __init__(self, options: LanguageModelOptions) -> None:
        self._options = options
        self._client = ChatClient(options)
        self._state = ServerState(first_dialect(options))

    @property
    def name(self) -> str:
        """The model's name, for usage and prices."""
        return self._options.model

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Yield the reply as it comes, `ReplyEnd` last; closing the generator cancels the request.

        A tool call comes when the model has written all of it: until then it may turn out to be
        invalid, and the model is asked once to correct it.

        Raises:
            LanguageModelError: no reply, or one that broke off.
        """
        return self._stream(request)

    async def close(self) -> None:
        """Free connections: now, or when the last request under way has ended."""
        await self._client.close()

    async def _stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        if repeated_rounds(request.messages) >= _MAX_REPEATED_ROUNDS:
            _log.info("%s: repeats a tool call, asked for words", self.name)
            request = replace(request, tool_choice="none")
        reply = _Reply()
        for is_last in (False, True):
            async with aclosing(self._texts(request, reply)) as texts:
                async for text in texts:
                    yield TextDelta(reply.add(text))
            if is_last or not reply.broken:
                break
            _log.info("%s: %d invalid tool calls, asked again", self.name, len(reply.broken))
            request = reply.corrected(request)
        for event in reply.tool_events(self.name):
            yield event
        yield reply.end(self.name)

    async def _texts(self, request: ChatRequest, reply: _Reply) -> AsyncGenerator[str, None]:
        """Yield the text of one completion that is none of a call; its end goes to `reply`."""
        completion = Completion(self._client, self._options, self._state, request)
        reasoning = OpenedReasoning(is_expected=self._state.opens_reasoning)
        calls = TextCallFilter(request.tools)
        async with aclosing(completion.pieces()) as pieces:
            async for piece in pieces:
                if isinstance(piece, TextDelta):
                    text = calls.push(reasoning.push(piece.text))
                else:
                    is_cut = piece.reason == "length"
                    text = calls.push(reasoning.flush(is_cut=is_cut)) + calls.flush(is_cut=is_cut)
                    reply.take(replace(piece, calls=[*piece.calls, *calls.calls]), request)
                self._state.opens_reasoning = reasoning.is_opened
                if text:
                    yield text


class _Reply:
    """Text and calls of one reply, which may take two completions."""

    def __init__(self) -> None:
        self.text = ""
        self._is_continued = False
        # Of the last completion.
        self._has_words = False
        self._calls: list[RepairedCall | BrokenCall] = []
        self._reason: FinishReason = "stop"
        self._usage: TokenUsage | None = None

    @property
    def broken(self) -> list[BrokenCall]:
        return [call for call in self._calls if isinstance(call, BrokenCall)]

    @property
    def made(self) -> list[RepairedCall]:
        return [call for call in self._calls if isinstance(call, RepairedCall)]

    def add(self, text: str) -> str:
        """Note text and return it as the continuation of what there is."""
        if self._is_continued:
            text = f" {text}"
        self._is_continued = False
        self._has_words = self._has_words or bool(text.strip())
        self.text += text
        return text

    def take(self, end: CompletionEnd, request: ChatRequest) -> None:
        """Note the end of a completion."""
        has_calls = bool(request.tools) and request.tool_choice != "none"
        calls = end.calls if has_calls else ()
        self._calls = repaired_calls(calls, request.tools, is_cut=end.reason == "length")
        self._reason = end.reason
        self._usage = end.usage if self._usage is None else _sum(self._usage, end.usage)

    def corrected(self, request: ChatRequest) -> ChatRequest:
        """Return the request that shows the model what was wrong with its calls."""
        self._is_continued = bool(self.text)
        self._has_words = False
        calls: list[dict[str, Any]] = []
        outputs: list[dict[str, Any]] = []
        for number, call in enumerate(self._calls):
            call_id = f"invalid_{number}"
            if isinstance(call, BrokenCall):
                arguments, text = "{}", f"Error: {call.problem}"
            else:
                arguments, text = call.arguments, _NOT_MADE
            function = {"name": accepted_name(call.name), "arguments": arguments}
            calls.append({"id": call_id, "type": "function", "function": function})
            outputs.append({"role": "tool", "tool_call_id": call_id, "content": text})
        said = {"role": "assistant", "content": self.text, "tool_calls": calls}
        last = _last_turn(request.messages)
        messages = [*request.messages[:last], said, *outputs, *request.messages[last:]]
        return replace(request, messages=messages)

    def tool_events(self, model: str) -> list[ChatEvent]:
        """Return the events of the calls that can be made.

        Raises:
            LanguageModelError: there is nothing but calls that cannot.
        """
        if not self.made and not self._has_words:
            reason = (
                self.broken[0].problem if self.broken else "no words, and no call that was wanted"
            )
            kind: FailureKind = "invalid" if self.broken else "empty"
            raise LanguageModelError(kind, f"{model}: {reason}")
        events: list[ChatEvent] = []
        for index, call in enumerate(self.made):
            events += (
                ToolCallStarted(index, f"call_{secrets.token_hex(10)}", call.name),
                ToolArgumentsDelta(index, call.arguments),
                ToolCallDone(index, call.arguments),
            )
        return events

    def end(self, model: str) -> ReplyEnd:
        """Return the last event."""
        reason: FinishReason = "tool_calls" if self.made else self._reason
        if reason == "tool_calls" and not self.made:
            reason = "stop"
        assert self._usage is not None
        return ReplyEnd(reason, model, self._usage)


def _last_turn(messages: Sequence[Any]) -> int:
    """Return the place after the last turn, before instructions of this response."""
    end = len(messages)
    while end > 1 and messages[end - 1]["role"] == "system":
        end -= 1
    return end


def _sum(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    return TokenUsage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cached_tokens + other.cached_tokens,
        one.is_estimated or other.is_estimated,
    )
