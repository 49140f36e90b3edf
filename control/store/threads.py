"""`OpenThreads`: conversations held by live calls. Pure."""

from __future__ import annotations

from control.store.errors import ThreadBusyError


class OpenThreads:
    """Maps conversations to live calls, one call per conversation."""

    def __init__(self) -> None:
        # Thread -> its call, and call -> its thread.
        self._calls: dict[str, str] = {}
        self._threads: dict[str, str] = {}

    def claim(self, thread_id: str, call_id: str) -> None:
        """Reserve the thread, by its name in the store, for this call, which holds no other.

        Raises:
            ThreadBusyError: another call holds it.
        """
        if self._calls.setdefault(thread_id, call_id) != call_id:
            raise ThreadBusyError(thread_id.rpartition("/")[2])
        self._threads[call_id] = thread_id

    def holder(self, thread_id: str) -> str | None:
        """Return the call that holds the thread; None if it is free."""
        return self._calls.get(thread_id)

    def release(self, call_id: str) -> bool:
        """Release the call's thread; return true if it held one."""
        if (thread_id := self._threads.pop(call_id, None)) is None:
            return False
        del self._calls[thread_id]
        return True
