"""Reasoning that the server's prompt template began, so that only its closing tag is in the reply. Pure."""

from __future__ import annotations

import re
from typing import Final

# A tag after a backtick is quoted, not meant.
_TAG: Final = re.compile(r"(?<!`)(?:(?P<opening><think>|◁think▷)|</think>|◁/think▷)")
_LONGEST: Final = len("</think>")


class OpenedReasoning:
    """Drops `reasoning</think>` from the beginning of a reply, once the server is known to send such.

    Templates of Qwen3 and DeepSeek-R1 end a prompt with `<think>`, and a server without a parser for it (vLLM
    without `--reasoning-parser`) sends what follows as text. In the first reply that cannot be known before
    the closing tag, so it passes; the text of later ones is held until theirs.
    """

    def __init__(self, *, is_expected: bool) -> None:
        """is_expected: `is_opened` of the server's last reply"""
        self.is_opened = is_expected
        """True if replies of this server begin inside of reasoning, as far as is known by now."""
        self._is_decided = False
        # While it is not decided: all of the reply if it is held, else the end that may begin a tag.
        self._held = ""

    def push(self, text: str) -> str:
        """Take more of the reply; return what of it may pass now."""
        if self._is_decided:
            return text
        seen = len(self._held)
        self._held += text
        if (tag := _TAG.search(self._held, max(0, seen - _LONGEST + 1))) is not None:
            return self._decide(tag, text)
        if self.is_opened:
            return ""
        # The beginning of a tag, and the backtick before it.
        self._held = self._held[-_LONGEST:]
        return text

    def flush(self, *, is_cut: bool) -> str:
        """Return what was held and is the answer after all. is_cut: the reply ended at the token limit"""
        if self._is_decided or not self.is_opened or is_cut:
            return ""
        # It answers without reasoning: what was known of this server holds no longer.
        self.is_opened = False
        return self._held

    def _decide(self, tag: re.Match[str], text: str) -> str:
        held, self._held, self._is_decided = self._held, "", True
        was_held, self.is_opened = self.is_opened, tag["opening"] is None
        if not was_held:
            return text
        return held[tag.end() :] if self.is_opened else held
