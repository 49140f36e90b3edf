"""Replies and actions of a scripted model: pieces for `Step(emit=...)`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from realtime import events as model
from realtime.events import ModelEvent, ResponseStatus, Usage

SAMPLE_RATE_HZ: Final = 24_000
MS_PER_CHARACTER: Final = 60
"""Speech has about 16 characters a second."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause of so many seconds between two events of a step."""

    seconds: float


Emitted = ModelEvent | Wait
Emits = Sequence[Emitted]
Reply = Callable[[], Emits]
"""A reply with ids of its own each time."""


def new_id(kind: str) -> str:
    """Return an id that no other item of this process has."""
    return f"{kind}_{next(_numbers)}"


def says(
    text: str, *, ms: float | None = None, pace: float = 0.0, tokens: tuple[int, int] = (0, 0)
) -> Reply:
    """A spoken reply.

    ms: length of its sound; None: `MS_PER_CHARACTER` for each character
    pace: 1: its audio comes as fast as it is spoken; 0: at once
    tokens: of input and output
    """
    return lambda: [*_speech(text, ms, pace, tokens)]


def _speech(text: str, ms: float | None, pace: float, tokens: tuple[int, int]) -> Iterator[Emitted]:
    response_id, item_id = new_id("resp"), new_id("item")
    part = (response_id, item_id, 0)
    words = _pieces(text)
    length_ms = len(text) * MS_PER_CHARACTER if ms is None else ms
    piece = bytes(int(length_ms * SAMPLE_RATE_HZ / 1000 / max(1, len(words)))) * 2
    yield model.ResponseCreated(response_id)
    yield model.ItemAdded(item_id, "message", "assistant", response_id)
    for word in words:
        yield model.TranscriptDelta(*part, word)
        yield model.AudioDelta(*part, piece, SAMPLE_RATE_HZ)
        if pace:
            yield Wait(len(piece) / 2 / SAMPLE_RATE_HZ * pace)
    yield model.AudioDone(*part)
    yield model.TranscriptDone(*part, text)
    yield model.ResponseDone(response_id, ResponseStatus.COMPLETED, usage=_usage(tokens))


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if at == 0 else f" {word}" for at, word in enumerate(words)]


def writes(text: str) -> Reply:
    """A written reply, where the model answers in text."""

    def reply() -> Emits:
        response_id, item_id = new_id("resp"), new_id("item")
        part = (response_id, item_id, 0)
        return [
            model.ResponseCreated(response_id),
            model.ItemAdded(item_id, "message", "assistant", response_id),
            model.TextDelta(*part, text),
            model.TextDone(*part, text),
            model.ResponseDone(response_id, ResponseStatus.COMPLETED),
        ]

    return reply


def calls(name: str, /, *, call_id: str | None = None, **arguments: Any) -> Reply:
    """A reply that is one call of a tool."""
    return calls_all((name, arguments), call_ids=None if call_id is None else [call_id])


def calls_all(
    *tools: tuple[str, dict[str, Any] | str], call_ids: Sequence[str] | None = None
) -> Reply:
    """A reply that calls several tools; arguments may be text that is no valid JSON."""

    def reply() -> Emits:
        response_id = new_id("resp")
        events: list[Emitted] = [model.ResponseCreated(response_id)]
        for at, (name, arguments) in enumerate(tools):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            call_id = new_id("call") if call_ids is None else call_ids[at]
            events.append(model.ToolCallRequested(response_id, new_id("item"), call_id, name, text))
        return [*events, model.ResponseDone(response_id, ResponseStatus.COMPLETED)]

    return reply


def fails(message: str = "it failed") -> Reply:
    """A reply that the model could not make."""

    def reply() -> Emits:
        response_id = new_id("resp")
        return [
            model.ResponseCreated(response_id),
            model.ResponseDone(response_id, ResponseStatus.FAILED, reason=message),
        ]

    return reply


def _usage(tokens: tuple[int, int]) -> Usage:
    given, made = tokens
    return Usage(input_tokens=given, output_tokens=made, total_tokens=given + made)
