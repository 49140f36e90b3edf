"""`Analyst`: has the language model of the `LLM_*` settings summarise calls and extract data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from control.after_call.outcome import Answer, NoAnswerError
from control.store.records import TranscriptEntry
from speech.options import LanguageModelOptions, SessionOptions

if TYPE_CHECKING:
    from control.after_call.prompts import Message
    from speech.language_model.protocol import LanguageModel

SUMMARY_TOKENS: Final = 800
EXTRACTION_TOKENS: Final = 4_000
FIRST_TOKEN_S: Final = 60.0
ANSWER_S: Final = 180.0
"""Nobody waits on the line: a model may take longer than in a call."""

_PROMPT_TOKENS: Final = 400
"""Of instructions, an upper bound."""

# Failures that may pass.
_PASSING: Final = frozenset({"timeout", "rate_limited", "unavailable"})


class Analyst:
    """Answers one request at a time or several; connections are opened by the first one."""

    def __init__(self, options: Callable[[], SessionOptions]) -> None:
        """options: of the language model, asked for at each request"""
        self._options = options
        self._model: LanguageModel | None = None
        self._made_of: SessionOptions | None = None

    async def summarise(self, entries: Sequence[TranscriptEntry]) -> Answer[str]:
        """Return a summary.

        Raises:
            NoAnswerError: there is none.
        """
        from control.after_call import answers, prompts

        lines, max_tokens = self._lines(entries, SUMMARY_TOKENS)
        text, answer = await self._ask(prompts.summary_messages(lines), max_tokens)
        try:
            return answer.of(answers.read_summary(text))
        except answers.InvalidAnswerError as error:
            raise NoAnswerError(str(error)) from error

    async def extract(
        self, entries: Sequence[TranscriptEntry], schema: Mapping[str, Any]
    ) -> Answer[dict[str, Any]]:
        """Return data by the schema; the model is asked once more if its answer does not fit.

        Raises:
            NoAnswerError: there are none.
        """
        from control.after_call import answers, prompts
        from speech.language_model.token_estimate import text_tokens

        # The schema is in the text and, where the server takes it, in a field beside it.
        schema_tokens = 2 * text_tokens(json.dumps(schema))
        lines, max_tokens = self._lines(entries, EXTRACTION_TOKENS, beside=schema_tokens)
        messages = prompts.extraction_messages(lines, schema)
        text, answer = await self._ask(messages, max_tokens, schema)
        for is_last in (False, True):
            try:
                # In a thread: a schema may be a client's, and the loop has calls to serve.
                value = await asyncio.to_thread(answers.read_extraction, text, schema)
                return answer.of(value)
            except answers.InvalidAnswerError as error:
                if is_last:
                    raise NoAnswerError(f"the answer does not fit: {error}") from error
                messages = prompts.correction_messages(messages, text, str(error))
            text, second = await self._ask(messages, max_tokens, schema)
            answer = answer.plus(second)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close connections. Idempotent."""
        if self._model is not None:
            await self._model.close()

    def _lines(
        self, entries: Sequence[TranscriptEntry], reply_tokens: int, *, beside: int = 0
    ) -> tuple[list[str], int]:
        """Return the lines of the transcript that fit beside so many tokens, and the limit of the reply."""
        from control.after_call import prompts

        lines = prompts.transcript_lines(entries)
        if not lines:
            raise NoAnswerError("nothing was said")
        options = self._require_options()
        window = options.context_tokens
        # Together with the prompt: servers refuse a limit that leaves the window. An answer that is to
        # be corrected is in the prompt of the next one.
        reply_tokens = min(reply_tokens, window // 6)
        room = window - 2 * reply_tokens - _PROMPT_TOKENS - beside
        kept = prompts.fitting_lines(lines, room)
        if not kept:
            raise NoAnswerError("the schema leaves no room for the transcript: LLM_CONTEXT_TOKENS")
        left_out = len(lines) - len(kept)
        missing = [f"({left_out} earlier lines are missing)"] if left_out else []
        return [*missing, *kept], reply_tokens

    def _require_options(self) -> LanguageModelOptions:
        options = self._options().language_model
        if options is None:
            raise NoAnswerError("no language model is configured: set LLM_BASE_URL and LLM_MODEL")
        return options

    async def _ask(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
    ) -> tuple[str, Answer[None]]:
        model = await self._open()
        from speech.language_model.protocol import (
            ChatRequest,
            LanguageModelError,
            ReplyEnd,
            TextDelta,
        )

        request = ChatRequest(messages, max_tokens=max_tokens, answer_schema=schema)
        parts: list[str] = []
        answer = Answer(None)
        try:
            async with aclosing(model.stream(request)) as events:
                async for event in events:
                    match event:
                        case TextDelta(text):
                            parts.append(text)
                        case ReplyEnd(model=name, usage=usage):
                            answer = Answer(None, name, usage.input_tokens, usage.output_tokens)
                        case _:
                            pass
        except LanguageModelError as error:
            raise NoAnswerError(str(error), is_passing=error.kind in _PASSING) from error
        return "".join(parts), answer

    async def _open(self) -> LanguageModel:
        options = _patient(self._options())
        if self._model is None or options != self._made_of:
            # Imported late, in a thread: it takes a second, and most servers never need it.
            create = await asyncio.to_thread(_import_create)
            if self._model is not None:
                await self._model.close()
            self._model, self._made_of = create(options), options
            if self._model is None:
                self._require_options()
        assert self._model is not None
        return self._model


def _import_create() -> Callable[[SessionOptions], LanguageModel | None]:
    from speech.language_model.create import create_language_model

    return create_language_model


def _patient(options: SessionOptions) -> SessionOptions:
    changes = {
        "first_token_timeout_s": FIRST_TOKEN_S,
        "fallback_after_s": FIRST_TOKEN_S,
        "token_timeout_s": FIRST_TOKEN_S,
        "reply_timeout_s": ANSWER_S,
    }
    models = {
        name: None if one is None else one.model_copy(update=changes)
        for name in ("language_model", "fallback_language_model")
        for one in (getattr(options, name),)
    }
    return options.model_copy(update=models)
