"""Decides when to ask the model to continue after tool calls: once per response, after its last
output.
"""

from __future__ import annotations


class ToolBatches:
    """Counts the open calls of each response.

    A reply may call several tools at once. A follow-up after each output would make the model
    answer half the facts and race with itself. A batch without an answer to reply to has nothing
    to follow up.
    """

    def __init__(self) -> None:
        # Calls without an output, by response.
        self._open: dict[str, set[str]] = {}
        # Responses that may still call further tools.
        self._is_generating: set[str] = set()
        # Responses with at least one output to reply to.
        self._has_news: set[str] = set()

    def call_started(self, response_id: str, call_id: str) -> None:
        """Add a call of this response."""
        self._open.setdefault(response_id, set()).add(call_id)
        self._is_generating.add(response_id)

    def call_answered(self, response_id: str, call_id: str) -> bool:
        """Note that an output was sent; return true if the follow-up is due now."""
        self._has_news.add(response_id)
        return self.call_closed(response_id, call_id)

    def call_closed(self, response_id: str, call_id: str) -> bool:
        """Note a call that was cancelled or has a silent result; return true if the follow-up is
        due now, with the outputs of the others.
        """
        self._open.get(response_id, set()).discard(call_id)
        return self._is_due(response_id)

    def response_done(self, response_id: str) -> bool:
        """Note the end of the response; return true if the follow-up is due now."""
        self._is_generating.discard(response_id)
        return self._is_due(response_id)

    def _is_due(self, response_id: str) -> bool:
        if response_id in self._is_generating or self._open.get(response_id):
            return False
        was_open = self._open.pop(response_id, None) is not None
        has_news = response_id in self._has_news
        self._has_news.discard(response_id)
        return was_open and has_news
