"""`Mind`: decides what to say and which tools to call, by rules, a language model, or both."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from realtime import struct as wire
from speech.dialogue.context import Action, Call, Context, Say
from speech.dialogue.responder import ordered_words, respond, respond_if_known
from speech.language_model.messages import chat_request
from speech.language_model.protocol import (
    ChatEvent,
    ChatRequest,
    LanguageModel,
    TextDelta,
    ToolArgumentsDelta,
    ToolCallDone,
    ToolCallStarted,
)
from speech.options import LanguageModelOptions

DEFAULT_FILLER_AFTER_S: Final = 4.0
_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """Everything that a reply depends on.

    is_spoken: False for a written reply
    max_tokens: limit on what the model writes; None: the model's
    """

    context: Context
    is_spoken: bool
    speed: float = 1.0
    max_tokens: int | None = None

    def is_same_as(self, other: ReplyRequest) -> bool:
        """True if nothing but the time of day differs."""
        return self._without_time() == other._without_time()

    def _without_time(self) -> ReplyRequest:
        return replace(self, context=replace(self.context, now=_NO_TIME))


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply as it comes. Closing `events` cancels it.

    asked: what a language model was asked, whose last event is then `ReplyEnd`; None: rules answer
    """

    events: AsyncGenerator[ChatEvent, None]
    asked: ChatRequest | None = None


class Mind:
    """The mind of one session. Without a language model the rules answer everything.

    With one they carry out orders to say something word by word; where they are first they answer
    what they know, too.
    """

    def __init__(
        self,
        model: LanguageModel | None = None,
        options: LanguageModelOptions | None = None,
        *,
        language: str | None = None,
    ) -> None:
        """options: of the model; language: BCP 47 tag of what is spoken"""
        self._model = model
        self._are_rules_first = options is not None and options.rules == "first"
        self.filler_after_s = DEFAULT_FILLER_AFTER_S if options is None else options.filler_after_s
        self.language = language or "en"

    @property
    def model_name(self) -> str | None:
        """The language model's name; None when rules answer."""
        return None if self._model is None else self._model.name

    def answer(self, request: ReplyRequest) -> Answer:
        """Begin a reply. Nothing is asked of the model before the first event is awaited."""
        actions = self._by_rules(request.context)
        if actions is not None or self._model is None:
            return Answer(_events_of(actions or []))
        chat = chat_request(
            request.context, is_spoken=request.is_spoken, max_tokens=request.max_tokens
        )
        return Answer(self._model.stream(chat), chat)

    def _by_rules(self, context: Context) -> Sequence[Action] | None:
        if self._model is None:
            return respond(context)
        if (ordered := ordered_words(context)) is not None:
            return [Say(ordered)]
        is_choice_made = context.forced_tool is not None or context.must_call_tool
        if self._are_rules_first and not is_choice_made:
            return respond_if_known(context)
        return None


async def _events_of(actions: Sequence[Action]) -> AsyncGenerator[ChatEvent, None]:
    """Yield what the rules decided as a model would write it."""
    for index, action in enumerate(actions):
        match action:
            case Say():
                yield TextDelta(action.text)
            case Call():
                arguments = json.dumps(action.arguments, ensure_ascii=False)
                yield ToolCallStarted(index, wire.new_id("call"), action.name)
                yield ToolArgumentsDelta(index, arguments)
                yield ToolCallDone(index, arguments)
