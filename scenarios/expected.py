"""Expectations of a scenario, as its file says them. The reference is `docs/scenarios.md`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from scenarios.format_parts import (
    Milliseconds,
    Name,
    Part,
    Regex,
    Share,
    Text,
    Texts,
    as_list,
    named,
)


class TextMatch(Part):
    """Words of a transcript; letter case and spacing do not count. A bare text means `contains`."""

    contains: Texts = ()
    regex: Regex | None = None
    not_contains: Texts = ()
    not_regex: Regex | None = None


class WordsHeard(Part):
    """Words that the recogniser hears in the agent's sound. A bare text means `words`.

    max_word_errors: wrong, missing and additional words, as a share of `words`
    is_whole: nothing else may be said before or after them
    """

    words: Text
    max_word_errors: Share = 0.25
    is_whole: bool = False


class Range(Part):
    """A number, bare, or its limits."""

    at_least: int | None = Field(default=None, ge=0)
    at_most: int | None = Field(default=None, ge=0)


def _as_range(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return {"at_least": value, "at_most": value} if is_number else value


Match = Annotated[TextMatch, named("contains")]
Heard = Annotated[WordsHeard, named("words")]
Count = Annotated[Range, BeforeValidator(_as_range)]


class ToolExpectation(Part):
    """A tool that is to be called, or never.

    arguments: all of them, exactly; arguments_include: some, as deep as they go;
    arguments_match: regular expressions by name
    within_ms: from the call to its result
    """

    name: Name
    arguments: dict[str, Any] | None = None
    arguments_include: dict[str, Any] | None = None
    arguments_match: dict[str, Regex] | None = None
    count: Count | None = None
    never: bool = False
    output: Match | None = None
    is_error: bool | None = None
    within_ms: Milliseconds | None = None


class EventExpectation(Part):
    """A server event that is to come, with these fields among its own (docs/events.md)."""

    type: Name
    include: dict[str, Any] = Field(default_factory=dict)
    count: Count = Range(at_least=1)


class JudgeExpectation(Part):
    """A language model's opinion of the conversation. A bare text means `rubric`."""

    rubric: Text
    at_least: Share = 0.7


class Expectations(Part):
    """Expectations of a turn: from its beginning to that of the next one."""

    heard: Heard | None = None
    transcript: Match | None = None
    understood: Match | None = None
    tools: tuple[ToolExpectation, ...] = ()
    tool_order: tuple[Name, ...] = ()
    interrupted: bool | None = None
    silent_within_ms: Milliseconds | None = None
    within_ms: Milliseconds | None = None
    replies: Count | None = None
    overlap_at_most_ms: Annotated[float, Field(ge=0, le=600_000)] | None = None
    no_words_after_s: Annotated[float, Field(ge=0, le=600)] | None = None
    events: tuple[EventExpectation, ...] = ()
    judge: Annotated[JudgeExpectation, named("rubric")] | None = None


class CallExpectations(Expectations):
    """Expectations of the whole call. `within_ms` is each answer's, `state` part of `call.state`."""

    exit_reason: Annotated[tuple[Name, ...], BeforeValidator(as_list)] = ()
    state: dict[str, Any] | None = None
