"""Fit of a conversation into the model's window. Pure.

The rule: the system text, the last exchange and what follows the turns always stay. An exchange is
a user's turn with all that follows until the next one, so a tool call never loses its output. Once
the conversation no longer fits, the oldest exchanges are left out until three quarters of the room
are used; the request then begins the same way for many turns, as prompt caches need it. A last
exchange that is too long by itself has its longest tool outputs shortened in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from speech.language_model.token_estimate import message_tokens

AnyMessage = Mapping[str, Any]

_KEPT_SHARE: Final = 0.75
_SHORTENED: Final = "\n[... shortened ...]\n"
_MIN_OUTPUT_CHARACTERS: Final = 400


def fitting(messages: Sequence[AnyMessage], room: int, factor: float = 1.0) -> list[AnyMessage]:
    """Return the messages that fit, by the rule above.

    room: tokens for all of `messages`
    factor: tokens for each that `message_tokens` estimates
    """
    head, exchanges, tail = _parts(messages)
    fixed = sum(map(message_tokens, (*head, *tail)))
    left = max(0, int(room / factor) - fixed)
    if not exchanges:
        return [*head, *tail]
    start = _start(exchanges, left)
    kept = [message for exchange in exchanges[start:] for message in exchange]
    if start == len(exchanges) - 1:
        kept = _shortened(kept, left)
    return [*head, *kept, *tail]


def _parts(
    messages: Sequence[AnyMessage],
) -> tuple[list[AnyMessage], list[list[AnyMessage]], list[AnyMessage]]:
    """Split into the system text, exchanges, and what follows the turns."""
    first, end = 0, len(messages)
    while first < end and messages[first]["role"] == "system":
        first += 1
    while end > first and messages[end - 1]["role"] == "system":
        end -= 1
    exchanges: list[list[AnyMessage]] = []
    for message in messages[first:end]:
        if message["role"] == "user" or not exchanges:
            exchanges.append([])
        exchanges[-1].append(message)
    return list(messages[:first]), exchanges, list(messages[end:])


def _start(exchanges: Sequence[Sequence[AnyMessage]], room: int) -> int:
    """Return the first exchange that stays.

    The conversation is gone through from its beginning, so that the point depends on nothing but it
    and stays where it is until the room is used up again.
    """
    sizes = [sum(map(message_tokens, exchange)) for exchange in exchanges]
    start, used = 0, 0
    for index, size in enumerate(sizes):
        used += size
        if used <= room:
            continue
        while start < index and used > room * _KEPT_SHARE:
            used -= sizes[start]
            start += 1
    return start


def _shortened(messages: Sequence[AnyMessage], room: int) -> list[AnyMessage]:
    """Shorten the longest tool outputs until the messages fit, or none is long."""
    kept = list(messages)
    while sum(map(message_tokens, kept)) > room:
        index = max(range(len(kept)), key=lambda at: _output_characters(kept[at]))
        characters = _output_characters(kept[index])
        if characters <= _MIN_OUTPUT_CHARACTERS:
            break
        half = max(_MIN_OUTPUT_CHARACTERS // 2, characters // 4) - len(_SHORTENED)
        text = kept[index]["content"]
        kept[index] = {**kept[index], "content": text[:half] + _SHORTENED + text[-half:]}
    return kept


def _output_characters(message: AnyMessage) -> int:
    return len(message["content"]) if message["role"] == "tool" else 0
