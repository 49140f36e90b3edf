"""Tool calls from their pieces, whichever way a server marks what belongs together. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from speech.language_model.chunks import CallPiece

MAX_CALLS: Final = 16
"""Further calls of one reply are left out: a model that repeats itself has no end."""

MAX_ARGUMENT_CHARACTERS: Final = 64_000
"""Further characters are left out, which makes the arguments invalid."""


@dataclass(slots=True)
class AssembledCall:
    """A tool call as the model gave it: name and arguments may be invalid."""

    name: str
    arguments: str = ""
    call_id: str = ""
    index: int | None = None


class CallAssembler:
    """Joins pieces.

    OpenAI numbers calls by `index`. Others leave it out, or number every call 0 and give each an id,
    or repeat name and id in every piece.
    """

    def __init__(self) -> None:
        self.calls: list[AssembledCall] = []
        self._left_out: AssembledCall | None = None

    def add(self, pieces: Iterable[CallPiece]) -> None:
        """Take the pieces of one chunk."""
        for piece in pieces:
            call = self._open_call(piece) or self._begin(piece)
            call.call_id = call.call_id or piece.call_id
            room = MAX_ARGUMENT_CHARACTERS - len(call.arguments)
            call.arguments += piece.arguments[: max(0, room)]

    def _open_call(self, piece: CallPiece) -> AssembledCall | None:
        """Return the call that the piece continues; None: it begins one."""
        call = self._latest(piece)
        if call is None or (not piece.name and not piece.call_id):
            return call
        if piece.call_id and call.call_id and piece.call_id != call.call_id:
            return None
        if not piece.name or not call.name:
            call.name = call.name or piece.name
            return call
        # A second whole call with the same number, or the name repeated in every piece?
        is_repeated = piece.name == call.name and not _is_object(call.arguments)
        return call if is_repeated else None

    def _latest(self, piece: CallPiece) -> AssembledCall | None:
        for call in reversed([*self.calls, *([self._left_out] if self._left_out else [])]):
            if piece.index is None or call.index is None or call.index == piece.index:
                return call
        return None

    def _begin(self, piece: CallPiece) -> AssembledCall:
        call = AssembledCall(piece.name, index=piece.index)
        if len(self.calls) < MAX_CALLS:
            self.calls.append(call)
        else:
            self._left_out = call
        return call


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
