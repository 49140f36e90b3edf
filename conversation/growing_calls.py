"""Tool calls whose arguments are still being written, and which of their pieces are published. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from utils import BoundedDict

MAX_CALLS: Final = 64
"""At once; of more the oldest is forgotten."""

MAX_CHARACTERS: Final = 8 * 1024
"""Of the arguments that are published while they grow; the whole of them comes with the call."""

# All arguments so far are repeated each time, so that their sum must not grow with the square of them.
_STEP: Final = 8


@dataclass(frozen=True, slots=True)
class Growth:
    """A call at this moment. is_first: nothing of it was published before."""

    name: str
    arguments: str
    is_first: bool


@dataclass(slots=True)
class _Call:
    name: str = ""
    arguments: str = ""
    # Length from which on the next growth is published.
    due_at: int = 1
    is_published: bool = False


class GrowingCalls:
    """Joins the pieces of each call; publishes one each time it is an eighth longer."""

    def __init__(self) -> None:
        self._calls: BoundedDict[str, _Call] = BoundedDict(MAX_CALLS)

    def add(self, call_id: str, name: str, delta: str) -> Growth | None:
        """Add a piece; return the call if it is to be published now."""
        call = self._calls.setdefault(call_id, _Call())
        call.name = call.name or name
        call.arguments = (call.arguments + delta)[: MAX_CHARACTERS + 1]
        size = len(call.arguments)
        if size < call.due_at or size > MAX_CHARACTERS:
            return None
        growth = Growth(call.name, call.arguments, is_first=not call.is_published)
        call.is_published = True
        call.due_at = size + size // _STEP + 1
        return growth

    def end(self, call_id: str) -> None:
        """Forget a call: its arguments are complete."""
        self._calls.pop(call_id, None)
