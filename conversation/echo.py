"""Whether what was heard is the agent's own voice, come back through somebody's loudspeaker."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Final

from conversation.backchannel import is_order, words_of

_RECENT_WORDS: Final = 40
# A fragment is an echo only of what was said just now: later, somebody asks back.
_FRAGMENT_WORDS: Final = 2
_LAST_WORDS: Final = 6
_LIKENESS: Final = 0.7
_MIN_LETTERS: Final = 3


def is_echo(heard: list[str], spoken: str) -> bool:
    """Whether `heard` (see `words_of`) repeats `spoken`, what the agent said up to now.

    Recognisers mishear echoes, so longer ones need to be alike only. An order is never an echo:
    a reply lost to an echo is a smaller harm than a `stop` that is not obeyed.
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
    """The share of `heard` that `spoken` has in the same order."""
    blocks = SequenceMatcher(None, spoken, heard, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(heard)
