"""The owner's language model, asked for a text or a JSON object."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from config.settings import Settings
from scenarios.format import ScenarioError
from speech.language_model.chat_completions import ChatCompletionsModel
from speech.language_model.protocol import ChatRequest, LanguageModelError, TextDelta
from speech.language_model.tool_repair import parsed_arguments
from speech.options import LanguageModelOptions
from untrusted.validation import first_validation_error

MAX_ANSWER_TOKENS: Final = 800
FIRST_TOKEN_S: Final = 60.0
ANSWER_S: Final = 180.0
"""Nobody waits on the line: a judge may take longer than an agent."""

_THOUGHT: Final = re.compile(r"<think>.*?</think>", re.DOTALL)

Message = Mapping[str, Any]
AnswerT = TypeVar("AnswerT", bound=BaseModel)


_PATIENT: Final = {
    "first_token_timeout_s": FIRST_TOKEN_S,
    "token_timeout_s": FIRST_TOKEN_S,
    "reply_timeout_s": ANSWER_S,
}


def owners_options(settings: Settings, *, temperature: float | None) -> LanguageModelOptions | None:
    """Return the language model of `JUDGE_*`, else of `LLM_*`; None: neither is set.

    temperature: None: as the settings or the server have it
    """
    options = settings.session_options().language_model
    if settings.judge_base_url is not None:
        options = LanguageModelOptions(
            base_url=settings.judge_base_url,
            model=settings.judge_model,
            api_key=settings.judge_api_key,
        )
    if options is None:
        return None
    if temperature is None:
        temperature = settings.llm_temperature
    return options.model_copy(update={**_PATIENT, "temperature": temperature})


class UnfitAnswerError(Exception):
    """The model answers, but not what it was asked for; the text is one line."""


class OwnersModel:
    """Shared by all runs; its connections are opened by the first request."""

    def __init__(self, options: LanguageModelOptions, purpose: str) -> None:
        """purpose: of its answers, for errors, such as `judge`"""
        self._model = ChatCompletionsModel(options)
        self._purpose = purpose

    async def ask(self, messages: Sequence[Message], answer: type[AnswerT]) -> AnswerT:
        """Return the model's answer; it is asked once more if the first does not fit.

        Raises:
            ScenarioError: the model cannot be reached, or refuses.
            UnfitAnswerError: neither answer fits.
        """
        schema = _plain(answer.model_json_schema())
        wanted = f"Answer with one JSON object of this JSON schema, and nothing else:\n{json.dumps(schema)}"
        asked: list[Message] = [*messages[:1], {"role": "system", "content": wanted}, *messages[1:]]
        text = await self.text(asked, schema)
        try:
            return _parsed(text, answer)
        except ValueError as error:
            problem = f"That does not fit: {error}. Answer with the corrected JSON object alone."
        asked += [{"role": "assistant", "content": text}, {"role": "user", "content": problem}]
        try:
            return _parsed(await self.text(asked, schema), answer)
        except ValueError as error:
            raise UnfitAnswerError(
                f"{self._purpose}: the model's answer does not fit: {error}"
            ) from error

    async def close(self) -> None:
        """Close connections. Idempotent."""
        await self._model.close()

    async def text(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = MAX_ANSWER_TOKENS,
    ) -> str:
        """Return the model's answer, without what it thought aloud.

        schema: that the answer shall follow, where the server takes one

        Raises:
            ScenarioError: the model cannot be reached, or refuses.
        """
        request = ChatRequest(messages, max_tokens=max_tokens, answer_schema=schema)
        try:
            async with aclosing(self._model.stream(request)) as events:
                parts = [event.text async for event in events if isinstance(event, TextDelta)]
        except LanguageModelError as error:
            raise ScenarioError(f"{self._purpose}: {error}") from error
        return _THOUGHT.sub("", "".join(parts))


def _plain(schema: Any) -> Any:
    """Return a schema without titles and descriptions, which small models take for answers."""
    if not isinstance(schema, dict):
        return schema
    kept = {name: one for name, one in schema.items() if name not in ("title", "description")}
    return {name: _plain(one) for name, one in kept.items()}


def _parsed(text: str, answer: type[AnswerT]) -> AnswerT:
    """Return the object of an answer that may have words around it.

    Raises:
        ValueError: there is none, or it does not fit.
    """
    begin, end = text.find("{"), text.rfind("}")
    value = parsed_arguments(text[begin : end + 1]) if 0 <= begin < end else None
    if value is None:
        raise ValueError("it is no JSON object")
    try:
        return answer.model_validate(value)
    except ValidationError as error:
        raise ValueError(first_validation_error(error, whole="answer")) from error
