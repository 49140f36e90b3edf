"""Decides which user turns are answered, and when to ask for it, where the provider leaves that to
the agent. Pure.

One reply answers everything said so far. A turn is answered once: when it is part of the
conversation, no interruption is pending on it and, for a model with early transcripts, its words
are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from utils import BoundedDict

# Turns that may still be open; a turn is settled within seconds.
_REMEMBERED: Final = 64


@dataclass
class _Turn:
    is_committed: bool = False
    is_known: bool = False  # its words are
    is_pending: bool = False
    is_dismissed: bool = False  # the model should forget it
    is_settled: bool = False  # answered or forgotten


class Answers:
    """Follows turns by their item id. Methods return true if a reply should be asked for now."""

    def __init__(self, *, waits_for_words: bool) -> None:
        self._waits_for_words = waits_for_words
        self._turns: BoundedDict[str, _Turn] = BoundedDict(_REMEMBERED)
        # A turn whose speaker went on before it could be answered: the next one's reply is its.
        self._is_reply_pending = False

    def begin(self, item_id: str, *, is_pending: bool) -> None:
        """Note the start of a turn; one that is pending is not answered before `accept`."""
        self._turn(item_id).is_pending = is_pending

    def commit(self, item_id: str) -> bool:
        """Note that the turn is part of the conversation at the provider."""
        if item_id not in self._turns:
            return False
        self._turns[item_id].is_committed = True
        return self._is_due(item_id)

    def words_known(self, item_id: str, *, has_words: bool, is_user_speaking: bool) -> bool:
        """Note that the turn's words are known. is_user_speaking: in a later turn already."""
        if item_id not in self._turns:
            return False
        self._turns[item_id].is_known = True
        if not self._waits_for_words:
            return False
        is_due = self._is_due(item_id)
        if is_due and is_user_speaking:
            self._is_reply_pending = True
            return False
        if is_due and not has_words and not self._is_reply_pending:
            return False
        self._is_reply_pending = self._is_reply_pending and not is_due
        return is_due

    def accept(self, item_ids: tuple[str, ...]) -> bool:
        """Let pending or dismissed turns count after all."""
        due = False
        for item_id in item_ids:
            turn = self._turn(item_id)
            turn.is_pending = turn.is_dismissed = turn.is_settled = False
            # What counts has been judged by its words already, or must not wait for them.
            turn.is_known = True
            due = self._is_due(item_id) or due
        return due

    def dismiss(self, item_id: str) -> bool:
        """Note that the turn means nothing; return true if its item should be deleted now."""
        turn = self._turn(item_id)
        turn.is_dismissed = True
        return self.should_delete(item_id)

    def should_delete(self, item_id: str) -> bool:
        """Return true, only once, if the turn's item should be deleted at the provider now."""
        turn = self._turns.get(item_id)
        if turn is None or not (turn.is_dismissed and turn.is_committed) or turn.is_settled:
            return False
        turn.is_settled = True
        return True

    def _is_due(self, item_id: str) -> bool:
        turn = self._turns[item_id]
        is_ready = turn.is_committed and (turn.is_known or not self._waits_for_words)
        if not is_ready or turn.is_pending or turn.is_settled:
            return False
        turn.is_settled = True
        return True

    def _turn(self, item_id: str) -> _Turn:
        return self._turns.setdefault(item_id, _Turn())
