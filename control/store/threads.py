"""`OpenThreads`: which conversations are being continued, and by whom. Pure."""

from __future__ import annotations

from control.store.errors import ThreadBusyError


class OpenThreads:
    """A conversation belongs to one live call at a time."""

    def __init__(self) -> None:
        # Thread -> the call that has it, and the other way round.
        self._calls: dict[str, str] = {}
        self._threads: dict[str, str] = {}

    def claim(self, thread_id: str, call_id: str) -> None:
        """Take it for this call, which has no other.

        Raises:
            ThreadBusyError: another call has it.
        """
        if self._calls.setdefault(thread_id, call_id) != call_id:
            raise ThreadBusyError(thread_id)
        self._threads[call_id] = thread_id

    def holder(self, thread_id: str) -> str | None:
        """The call that has it; None when it is free."""
        return self._calls.get(thread_id)

    def release(self, call_id: str) -> bool:
        """This call is over. Returns whether it had a conversation until now."""
        if (thread_id := self._threads.pop(call_id, None)) is None:
            return False
        del self._calls[thread_id]
        return True
