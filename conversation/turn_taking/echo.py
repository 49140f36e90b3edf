"""Recognises the agent's own voice, returned by a listener's loudspeaker."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Final

from conversation.turn_taking.backchannel import is_order, words_of

# About 15 s of speech: an echo returns within less.
_RECENT_WORDS: Final = 40
# A fragment is an echo of the last words only: of earlier ones it is the user asking back.
_FRAGMENT_WORDS: Final = 2
_LAST_WORDS: Final = 6
# Share of words in the same order that makes an echo: recognition garbles some of them.
_LIKENESS: Final = 0.7
# A shorter fragment could be anything.
_MIN_LETTERS: Final = 3


def is_echo(heard: list[str], spoken: str) -> bool:
    """Return true if `heard` (see `words_of`) repeats `spoken`, the words of the agent up to now.

    Speech recognition garbles echoes, so that longer ones only need to be similar. An order such as
    `stop` is never an echo: a reply cut by its own echo is a smaller harm than an ignored order.
    """
    if not heard or any(is_order(word) for word in heard):
        return False
    recent = words_of(spoken)[-_RECENT_WORDS:]
    if len(heard) <= _FRAGMENT_WORDS:
        last = recent[-_LAST_WORDS:]
        has_substance = sum(map(len, heard)) >= _MIN_LETTERS
        return has_substance and _contains(last, heard)
    return _likeness(heard, recent) >= _LIKENESS


def _contains(words: list[str], part: list[str]) -> bool:
    return any(words[at : at + len(part)] == part for at in range(len(words) - len(part) + 1))


def _likeness(heard: list[str], spoken: list[str]) -> float:
    """Return the share of `heard` that `spoken` has in the same order."""
    blocks = SequenceMatcher(None, spoken, heard, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(heard)
