"""The reasoning that some models write before their answer, taken out of a stream. Pure."""

from __future__ import annotations

import re

_CLOSING = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|channel|>analysis": "<|channel|>final<|message|>",
}
_TAGS = [*_CLOSING, *_CLOSING.values()]
_TAG = re.compile("|".join(re.escape(tag) for tag in _TAGS))
_BEGINNINGS = {tag[:length] for tag in _TAGS for length in range(1, len(tag))}
_OPENER = re.compile(r"[<\[◁]")
_LONGEST_BEGINNING = max(len(beginning) for beginning in _BEGINNINGS)


class ReasoningFilter:
    """Lets the answer pass and drops `<think>...</think>` blocks, wherever the stream is cut.

    Tags directly after a backtick are quoted, not meant. A block that is never closed hides
    the rest of the stream: there was no answer.
    """

    def __init__(self) -> None:
        self._held = ""
        self._closing: str | None = None
        self._last = ""

    @property
    def is_inside(self) -> bool:
        """True while the model is reasoning."""
        return self._closing is not None

    def push(self, delta: str) -> str:
        """More of the stream; what of it belongs to the answer."""
        text = self._held + delta
        self._held = ""
        visible: list[str] = []
        while text:
            text = self._drop_reasoning(text) if self._closing else self._pass(text, visible)
        return "".join(visible)

    def flush(self) -> str:
        """Give up waiting for the rest of a tag."""
        held, self._held = self._held, ""
        return "" if self._closing else held

    def _drop_reasoning(self, text: str) -> str:
        closing = self._closing or ""
        _, found, rest = text.partition(closing)
        if found:
            self._closing = None
            return rest
        self._held = _unfinished_tag(text)
        return ""

    def _pass(self, text: str, visible: list[str]) -> str:
        tag = _TAG.search(text)
        if tag is None:
            self._held = _unfinished_tag(text)
            self._show(text[: len(text) - len(self._held)], visible)
            return ""
        self._show(text[: tag.start()], visible)
        if self._last == "`":
            self._show(tag[0], visible)
        else:
            self._closing = _CLOSING.get(tag[0])
        return text[tag.end() :]

    def _show(self, text: str, visible: list[str]) -> None:
        if text:
            visible.append(text)
            self._last = text[-1]


def _unfinished_tag(text: str) -> str:
    """The end of `text` that may be the beginning of a tag."""
    for opener in _OPENER.finditer(text, max(0, len(text) - _LONGEST_BEGINNING)):
        if text[opener.start() :] in _BEGINNINGS:
            return text[opener.start() :]
    return ""
