"""When the model may go on after tool calls: once per response, after the last of its outputs."""

from __future__ import annotations


class ToolBatches:
    """Counts the open calls of each response.

    A reply may call several tools at once; asking for a follow-up after each output would make
    the model answer half the facts and race with itself. A batch whose calls were all given up has
    nothing to go on with.
    """

    def __init__(self) -> None:
        self._open: dict[str, set[str]] = {}
        self._is_generating: set[str] = set()
        self._has_news: set[str] = set()

    def call_started(self, response_id: str, call_id: str) -> None:
        """The model asked for a tool within this response."""
        self._open.setdefault(response_id, set()).add(call_id)
        self._is_generating.add(response_id)

    def call_answered(self, response_id: str, call_id: str) -> bool:
        """An output was sent; True when the model should now be asked to go on."""
        self._has_news.add(response_id)
        return self.call_given_up(response_id, call_id)

    def call_given_up(self, response_id: str, call_id: str) -> bool:
        """This call was stopped; True when the model should go on, with the outputs of others."""
        self._open.get(response_id, set()).discard(call_id)
        return self._is_due(response_id)

    def response_done(self, response_id: str) -> bool:
        """The response ended; True when the model should now be asked to go on."""
        self._is_generating.discard(response_id)
        return self._is_due(response_id)

    def _is_due(self, response_id: str) -> bool:
        if response_id in self._is_generating or self._open.get(response_id):
            return False
        was_open = self._open.pop(response_id, None) is not None
        has_news = response_id in self._has_news
        self._has_news.discard(response_id)
        return was_open and has_news
