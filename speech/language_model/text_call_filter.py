"""Tool calls that a model writes into its text, taken out of the stream before they are spoken. Pure.

Text is held back only while it may be the beginning of a call: after a mark such as `<tool_call>`,
and at the beginning of a line after `{`, `[`, a code fence, or the name of a tool. Blocks that turn
out to be something else are released as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from speech.dialogue.context import Tool
from speech.language_model.call_assembly import AssembledCall
from speech.language_model.text_call_parser import calls_in, unreadable_call
from speech.language_model.tool_repair import matching_tool

_MAX_HELD: Final = 8_000

_END_MARKS: Final = {
    "<tool_call>": ("</tool_call>", "<tool_call>"),
    "<function_call>": ("</function_call>",),
    "<function=": ("</function>",),
    "<|tool_call|>": ("<|/tool_call|>",),
    "<|python_tag|>": ("<|eom_id|>", "<|eot_id|>"),
    "[TOOL_CALLS]": ("</s>", "[TOOL_CALLS]"),
}
"""Mark that begins calls -> marks that end them; the end of the reply does so too."""

_FENCE: Final = "```"
_FENCED: Final = frozenset({"", "json", "python", "tool_call", "tool_code", "tool_calls", "xml"})
_KEYS: Final = tuple(
    f'"{key}"'
    for key in (
        *("name", "function", "tool", "tool_name", "function_name", "action", "type"),
        *("arguments", "parameters", "args", "tool_calls", "id"),
    )
)
_LINE_START: Final = re.compile(r"(?:^|\n)[ \t]*")
_MARK_START: Final = re.compile(r"[<\[]")
_THINK: Final = "<think>"
_THINK_END: Final = "</think>"
_CLOSING: Final = frozenset(")]}>`")
"""A block can end at one of these only."""


@dataclass(frozen=True, slots=True)
class _Start:
    """A place at which a call begins, or may begin. mark: None: what the text itself is"""

    at: int
    is_certain: bool
    mark: str | None = None


class TextCallFilter:
    """Takes text as it comes, gives what may be spoken; `calls` has what was called."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self.calls: list[AssembledCall] = []
        self._tools = tools
        self._names = _written_names(tools)
        self._held = ""
        # What the held text begins with, while the end of that block is not there yet.
        self._open: _Start | None = None
        self._is_line_start = True
        self._has_begun = False
        self._thinks = False
        # After the beginning of a call that is too long to be read.
        self._drops_rest = False

    def push(self, text: str) -> str:
        """Take text; return what of it, and of what was held back, is none of a call."""
        if not self._tools:
            return text
        if self._drops_rest:
            return ""
        self._held += text
        is_full = len(self._held) > _MAX_HELD
        if self._open is not None and not is_full and _CLOSING.isdisjoint(text):
            return ""
        return self._advance(is_end=False)

    def flush(self, *, is_cut: bool) -> str:
        """Return what was held back and is none of a call, at the end of the reply.

        is_cut: the reply ended at the token limit, so a call may be incomplete
        """
        text = self._advance(is_end=True, is_cut=is_cut)
        rest, self._held = self._held, ""
        return text + rest

    def _advance(self, *, is_end: bool, is_cut: bool = False) -> str:
        spoken = ""
        while self._held:
            if self._is_thinking():
                end = self._held.find(_THINK_END)
                if end < 0:
                    return spoken + self._release(_length_without(self._held, _THINK_END))
                spoken += self._release(end + len(_THINK_END))
                self._thinks, self._is_line_start = False, True
                continue
            start = self._open or self._find_start()
            if start is None:
                return spoken + self._release(len(self._held))
            spoken += self._release(start.at)
            if not start.is_certain and not is_end:
                return spoken
            if (length := self._block_length(start.mark, is_end=is_end)) is None:
                self._open = replace(start, at=0)
                return spoken
            spoken += self._take(start, length, is_cut=is_cut)
        return spoken

    def _is_thinking(self) -> bool:
        """True inside of `<think>`, in which a reply may begin and calls are only thought of."""
        if not self._has_begun and self._held.lstrip().startswith(_THINK):
            self._thinks = True
        return self._thinks

    def _release(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        if text:
            self._has_begun = self._has_begun or bool(text.strip())
            last_line = text.rpartition("\n")[2]
            is_blank = not last_line.strip()
            self._is_line_start = is_blank and ("\n" in text or self._is_line_start)
        return text

    # -- beginnings ----------------------------------------------------------------------------

    def _find_start(self) -> _Start | None:
        """Return the first place in the held text at which a call begins or may begin."""
        found = [
            *(self._mark_at(match.start()) for match in _MARK_START.finditer(self._held)),
            *(self._line_at(match.end()) for match in _LINE_START.finditer(self._held)),
        ]
        starts = [start for start in found if start is not None]
        return min(starts, key=lambda start: (start.at, start.mark is None), default=None)

    def _mark_at(self, at: int) -> _Start | None:
        rest = self._held[at : at + 20]
        for mark in (*_END_MARKS, _THINK):
            if rest.startswith(mark) and mark != _THINK:
                return _Start(at, is_certain=True, mark=mark)
            if mark.startswith(rest) and (mark != _THINK or not self._has_begun):
                return _Start(at, is_certain=False, mark=mark)
        return None

    def _line_at(self, at: int) -> _Start | None:
        is_first = "\n" not in self._held[:at]
        if is_first and not self._is_line_start:
            return None
        match _begins_call(self._held[at:], self._names):
            case None:
                return None
            case is_certain:
                return _Start(at, is_certain=is_certain)

    # -- blocks --------------------------------------------------------------------------------

    def _block_length(self, mark: str | None, *, is_end: bool) -> int | None:
        """Return how much of the held text, which begins with a block, is the block.

        None: its end is not there yet.
        """
        if mark is not None:
            length = _end_of_marked(self._held, mark)
        elif self._held.startswith(_FENCE):
            length = _end_of_fence(self._held)
        else:
            length = _end_of_brackets(self._held)
        if length is None and (is_end or len(self._held) > _MAX_HELD):
            return len(self._held)
        return length

    def _take(self, start: _Start, length: int, *, is_cut: bool) -> str:
        """Take the block out of the held text; return it if it is no call."""
        self._open = None
        block = self._held[:length]
        is_whole = length < len(self._held) or not is_cut
        calls = calls_in(_inner(block, start.mark), self._tools) if is_whole else []
        is_marked = start.is_certain and start.mark is not None
        if not is_marked and not self._are_known(calls) and not self._is_torn(start, block):
            return self._release(length)
        self.calls += calls or [unreadable_call(block)]
        self._drops_rest = not calls and length > _MAX_HELD
        self._held = self._held[length:].lstrip()
        self._is_line_start = self._has_begun = True
        return ""

    def _are_known(self, calls: Sequence[AssembledCall]) -> bool:
        return bool(calls) and all(matching_tool(call.name, self._tools) for call in calls)

    def _is_torn(self, start: _Start, block: str) -> bool:
        """True if a reply ended inside a call of an offered tool: nothing that can be spoken."""
        is_open = start.is_certain and len(block) == len(self._held)
        is_open = is_open and _end_of_brackets(block) is None
        return is_open and any(tool.name in block for tool in self._tools)


def _written_names(tools: Sequence[Tool]) -> tuple[str, ...]:
    """Return how a call in Python's form begins."""
    prefixes = ("", "functions.", "tools.", "default_api.", "print(", "print(default_api.")
    return tuple(f"{prefix}{tool.name}(" for tool in tools for prefix in prefixes)


def _begins_call(text: str, names: Sequence[str]) -> bool | None:
    """Return True for a line that begins a call, False for one that may, None for others."""
    if not text:
        return None
    if text[0] == "[":
        inner = text[1:].lstrip()
        return False if not inner else _begins_call(inner, names) if inner[0] != "[" else None
    if text[0] == "{":
        inner = text[1:].lstrip().replace("'", '"')
        return _one_begins(inner, (*_KEYS, *(f'"{name.rstrip("(")}"' for name in names)))
    if _FENCE.startswith(text[:3]):
        return _fence_begins_call(text, names)
    return _one_begins(text, names)


def _fence_begins_call(text: str, names: Sequence[str]) -> bool | None:
    kind, line_end, body = text[3:].partition("\n")
    if not line_end:
        is_open = any(one.startswith(kind.strip()) for one in _FENCED)
        return False if is_open else None
    if kind.strip() not in _FENCED:
        return None
    body = body.lstrip()
    if not body or any(mark.startswith(body[: len(mark)]) for mark in _END_MARKS):
        return False
    return _begins_call(body, names) if not body.startswith(_FENCE) else None


def _one_begins(text: str, beginnings: Sequence[str]) -> bool | None:
    if any(text.startswith(one) for one in beginnings):
        return True
    return False if any(one.startswith(text) for one in beginnings) else None


def _end_of_marked(text: str, mark: str) -> int | None:
    ends = []
    for end in _END_MARKS.get(mark, ()):
        at = text.find(end, len(mark))
        if at >= 0:
            ends.append(at if end == mark else at + len(end))
    return min(ends, default=None)


def _end_of_fence(text: str) -> int | None:
    at = text.find(f"\n{_FENCE}")
    return None if at < 0 else at + 1 + len(_FENCE)


def _end_of_brackets(text: str) -> int | None:
    """Return the end of the bracket that opens first, quotes considered; None: it is still open."""
    depth, quote, is_escaped = 0, "", False
    for index, letter in enumerate(text):
        if quote:
            if is_escaped or letter == "\\":
                is_escaped = not is_escaped
            elif letter == quote:
                quote = ""
        elif letter in "\"'" and depth:
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if depth <= 0:
                return index + 1
    return None


def _length_without(text: str, mark: str) -> int:
    """Return the length of the text before what may be the beginning of the mark at its end."""
    for size in range(min(len(mark) - 1, len(text)), 0, -1):
        if mark.startswith(text[-size:]):
            return len(text) - size
    return len(text)


def _inner(block: str, mark: str | None) -> str:
    """Return a block without its marks."""
    if mark is None and block.startswith(_FENCE):
        block = block.removeprefix(_FENCE).partition("\n")[2].rstrip().removesuffix(_FENCE).strip()
        mark = next((one for one in _END_MARKS if block.startswith(one)), None)
    if mark is None or mark == "<function=":
        return block
    inner = block.removeprefix(mark)
    for end in _END_MARKS[mark]:
        inner = inner.removesuffix(end)
    return inner
