"""Size limits of what a provider sends, so that every event fits the link to the server. Pure.

An agent's messages to its server are limited (`control.ipc.link`); what a provider sends is
not. Text beyond the limit is left out and reported, once for each text.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from realtime import events as ours
from realtime.events import ModelEvent
from utils import BoundedDict

MAX_TEXT_CHARACTERS: Final = 64 * 1024
"""Of one item's words, and of the arguments or the output of one tool call: more than an hour of
speech."""

MAX_MESSAGE_CHARACTERS: Final = 2_000
MAX_WORD_CHARACTERS: Final = 256
"""Of a name or a machine word."""

MAX_LIMITS: Final = 64
MAX_DATA_CHARACTERS: Final = 16 * 1024

_REMEMBERED: Final = 256
_TEXTS: Final = {
    ours.TranscriptDelta: "delta",
    ours.TextDelta: "delta",
    ours.ToolCallDelta: "delta",
    ours.InputTranscriptDelta: "delta",
    ours.TranscriptDone: "transcript",
    ours.TextDone: "text",
    ours.InputTranscriptDone: "transcript",
}


class Bounds:
    """One session's."""

    def __init__(self) -> None:
        # Characters of each text in progress, and texts whose excess was reported.
        self._sizes: BoundedDict[tuple[str, str], int] = BoundedDict(_REMEMBERED)
        self._reported: BoundedDict[tuple[str, str], None] = BoundedDict(_REMEMBERED)

    def bounded(self, event: ModelEvent) -> list[ModelEvent]:
        """Return the events that may be passed on for `event`."""
        match event:
            case ours.AudioDelta() | ours.ResumptionUpdated() | ours.RawEventReceived():
                return [event]
            case ours.ToolCallRequested() | ours.ToolApprovalRequested():
                return self._call(event)
            case ours.ProviderError() | ours.InputTranscriptFailed():
                return [_with_short_words(event, message=MAX_MESSAGE_CHARACTERS)]
            case ours.UnknownEventReceived() if len(repr(event.data)) > MAX_DATA_CHARACTERS:
                return [replace(event, type=event.type[:MAX_WORD_CHARACTERS], data={})]
            case ours.RateLimitsUpdated():
                return [_few_limits(event)]
            case ours.HostedToolProgress():
                return [
                    _with_short_words(
                        event,
                        arguments=MAX_TEXT_CHARACTERS // 2,
                        output=MAX_TEXT_CHARACTERS // 2,
                        error=MAX_MESSAGE_CHARACTERS,
                    )
                ]
            case ours.ResponseDone() | ours.SessionEnded():
                return [_with_short_words(event, reason=MAX_MESSAGE_CHARACTERS)]
            case _ if (name := _TEXTS.get(type(event))) is not None:
                return self._text(event, name)
            case _:
                return [_with_short_words(event)]

    def _text(self, event: Any, name: str) -> list[ModelEvent]:
        key = (type(event).__name__, event.item_id)
        text: str = getattr(event, name)
        before = self._sizes.get(key, 0) if name == "delta" else 0
        room = max(0, MAX_TEXT_CHARACTERS - before)
        if name == "delta":
            self._sizes[key] = before + len(text)
        if len(text) <= room:
            return [event]
        events: list[ModelEvent] = []
        if text[:room] or name != "delta":
            events.append(replace(event, **{name: text[:room]}))
        return [*events, *self._excess(event.item_id)]

    def _excess(self, item_id: str) -> list[ModelEvent]:
        key = ("", item_id)
        if key in self._reported:
            return []
        self._reported[key] = None
        limit = f"more than {MAX_TEXT_CHARACTERS} characters"
        return [ours.ProviderError("too_much_text", f"{limit} of one text: the rest is left out")]

    def _call(self, event: ours.ToolCallRequested | ours.ToolApprovalRequested) -> list[ModelEvent]:
        size = len(event.arguments)
        event = _with_short_words(event, arguments=size)
        if size <= MAX_TEXT_CHARACTERS:
            return [event]
        # Half of them could mean something else. This is no JSON, so the tool call fails with that text.
        note = f"(left out: {size} characters, more than {MAX_TEXT_CHARACTERS})"
        text = f"the arguments of a tool call have {size} characters: they are left out"
        return [ours.ProviderError("too_much_text", text), replace(event, arguments=note)]


def _with_short_words(event: Any, **limits: int) -> Any:
    """`event` with every text cut: to its limit if it has one, and to a word's otherwise."""
    changes = {}
    for name in event.__dataclass_fields__:
        value = getattr(event, name)
        limit = limits.get(name, MAX_WORD_CHARACTERS)
        is_text = isinstance(value, str) and not isinstance(value, StrEnum)
        if is_text and len(value) > limit:
            changes[name] = value[:limit]
    return replace(event, **changes) if changes else event


def _few_limits(event: ours.RateLimitsUpdated) -> ours.RateLimitsUpdated:
    if max(len(event.remaining), len(event.limits), len(event.reset_s)) <= MAX_LIMITS:
        return event
    return ours.RateLimitsUpdated({})
