"""Which turns of the user are answered, and when to ask for it, where that is left to us. Pure.

One reply answers everything said so far. A turn is answered once, when it is part of the
conversation, nothing about it is in doubt and, for a model that knows words early, they are there.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

_REMEMBERED: Final = 64


@dataclass
class _Turn:
    is_committed: bool = False
    is_known: bool = False  # its words are
    is_doubted: bool = False
    is_unmeant: bool = False  # the model should forget it
    is_settled: bool = False  # answered or forgotten


class Answers:
    """Follows turns by their item id. Methods tell whether to ask for a reply now."""

    def __init__(self, *, waits_for_words: bool) -> None:
        self._waits_for_words = waits_for_words
        self._turns: OrderedDict[str, _Turn] = OrderedDict()
        # A turn whose speaker went on before it could be answered: the next one's reply is its.
        self._is_owed = False

    def begin(self, item_id: str, *, is_doubted: bool) -> None:
        """A turn began; one in doubt is not answered before `accept`."""
        self._turn(item_id).is_doubted = is_doubted

    def commit(self, item_id: str) -> bool:
        """The turn is part of the conversation at the provider."""
        if item_id not in self._turns:
            return False
        self._turns[item_id].is_committed = True
        return self._is_due(item_id)

    def hear(self, item_id: str, *, has_words: bool, is_user_speaking: bool) -> bool:
        """The turn's words are known. is_user_speaking: in a later turn already."""
        if item_id not in self._turns:
            return False
        self._turns[item_id].is_known = True
        if not self._waits_for_words:
            return False
        is_due = self._is_due(item_id)
        if is_due and is_user_speaking:
            self._is_owed = True
            return False
        if is_due and not has_words and not self._is_owed:
            return False
        self._is_owed = self._is_owed and not is_due
        return is_due

    def accept(self, item_ids: tuple[str, ...]) -> bool:
        """These turns count after all."""
        due = False
        for item_id in item_ids:
            turn = self._turn(item_id)
            turn.is_doubted = turn.is_unmeant = turn.is_settled = False
            # What counts has been judged by its words already, or must not wait for them.
            turn.is_known = True
            due = self._is_due(item_id) or due
        return due

    def forget(self, item_id: str) -> bool:
        """The turn means nothing; True when the model should be told so now."""
        turn = self._turn(item_id)
        turn.is_unmeant = True
        return self.should_forget(item_id)

    def should_forget(self, item_id: str) -> bool:
        """Whether the model should be told to forget this turn now; True only once."""
        turn = self._turns.get(item_id)
        if turn is None or not (turn.is_unmeant and turn.is_committed) or turn.is_settled:
            return False
        turn.is_settled = True
        return True

    def _is_due(self, item_id: str) -> bool:
        turn = self._turns[item_id]
        is_ready = turn.is_committed and (turn.is_known or not self._waits_for_words)
        if not is_ready or turn.is_doubted or turn.is_settled:
            return False
        turn.is_settled = True
        return True

    def _turn(self, item_id: str) -> _Turn:
        turn = self._turns.setdefault(item_id, _Turn())
        while len(self._turns) > _REMEMBERED:
            self._turns.popitem(last=False)
        return turn
