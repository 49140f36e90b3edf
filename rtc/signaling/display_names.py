"""Names that members give themselves: fit to be shown, and no agent's unless it is one. Pure."""

from __future__ import annotations

import unicodedata
from typing import Final

from rtc.signaling.protocol import MAX_NAME_CHARACTERS

# Some scripts and emoji need these two; they change the direction of nothing.
_JOINERS: Final = frozenset("\u200c\u200d")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def shown_name(name: str) -> str:
    """`name` in one line, without characters that are not seen or that turn what is around them."""
    seen = (
        one if one in _JOINERS or unicodedata.category(one) not in _UNSEEN else " " for one in name
    )
    return " ".join("".join(seen).split())


def name_key(name: str) -> str:
    """Return a key that is equal for names which look the same; empty for none."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(one for one in folded if one.isalnum())


def marked_name(name: str, uid: int) -> str:
    """Return `name` with the uid behind it, for a member that shares the name of another."""
    mark = f" ({uid})"
    return name[: MAX_NAME_CHARACTERS - len(mark)] + mark
