"""Token counts by characters, corrected by what the server counts. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from speech.dialogue.context import Tool
from speech.language_model.protocol import ChatRequest, TokenUsage

_CHARACTERS_PER_TOKEN: Final = 3.6
_WIDE: Final = re.compile(r"[⺀-鿿가-힯豈-﫿＀-￯\U00020000-\U0003ffff]")
"""Scripts that have about one token for each character."""
_OTHER_SCRIPT: Final = re.compile(r"[\u0370-\u1fff]")
"""Scripts that have about one token for two characters: Greek to Georgian, India's, and others."""
_PER_MESSAGE: Final = 4
_PER_TOOL: Final = 12
_STEP: Final = 8
_MIN_OBSERVED: Final = 200
_MAX_FACTOR: Final = 4.0
_MIN_FACTOR: Final = 0.5


def text_tokens(text: str) -> int:
    """Roughly the tokens of `text`; at least one unless it is empty."""
    wide = len(_WIDE.findall(text))
    other = len(_OTHER_SCRIPT.findall(text))
    latin = len(text) - wide - other
    return -int(-(wide + other / 2 + latin / _CHARACTERS_PER_TOKEN) // 1)


def message_tokens(message: Mapping[str, Any]) -> int:
    """Roughly the tokens of a chat message with its tool calls."""
    tokens = _PER_MESSAGE + text_tokens(message.get("content") or "")
    for call in message.get("tool_calls", ()):
        function = call["function"]
        tokens += _PER_MESSAGE + text_tokens(function["name"] + function["arguments"])
    return tokens


def tool_tokens(tools: Iterable[Tool]) -> int:
    """Roughly the tokens of what the prompt says about the tools."""
    return sum(
        _PER_TOOL + text_tokens(tool.name + tool.description + json.dumps(tool.parameters))
        for tool in tools
    )


def request_tokens(messages: Iterable[Mapping[str, Any]], tools: Sequence[Tool]) -> int:
    """Roughly the tokens of a prompt."""
    return sum(message_tokens(message) for message in messages) + tool_tokens(tools)


def estimated_usage(request: ChatRequest, output: str) -> TokenUsage:
    """Return the usage of a reply for which no server counted, such as one cut off.

    output: everything that came of it, with names and arguments of calls
    """
    given = request_tokens(request.messages, request.tools)
    return TokenUsage(given, text_tokens(output), is_estimated=True)


class Calibration:
    """Ratio of counted to estimated tokens, in coarse steps: each one may move the trimming point."""

    def __init__(self) -> None:
        self.factor = 1.0

    def observe(self, estimated: int, counted: int) -> None:
        """Note what the server counted for a prompt. Small prompts say little."""
        if estimated < _MIN_OBSERVED or counted <= 0:
            return
        ratio = min(max(counted / estimated, _MIN_FACTOR), _MAX_FACTOR)
        step = -int(-ratio * _STEP // 1) / _STEP
        # Down only when that is far off, so that two kinds of text do not move it to and fro.
        if step > self.factor or step < self.factor - 2 / _STEP:
            self.factor = step
