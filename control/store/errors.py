"""What an archive refuses: `ArchiveError` is the base; each says what to answer."""

from __future__ import annotations


class ArchiveError(Exception):
    """status, code: of the answer"""

    status = 500
    code = "internal_error"


class StoreUnavailableError(ArchiveError):
    """The store cannot be written or read at present; calls go on."""

    status = 503
    code = "store_unavailable"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the store is not available: {problem}")


class ThreadBusyError(ArchiveError):
    """Another live call has this conversation."""

    status = 409
    code = "thread_busy"

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"a live call has the conversation {thread_id}: stop it first")


class CallIsLiveError(ArchiveError):
    """The call goes on: it must be stopped first."""

    status = 409
    code = "call_is_live"

    def __init__(self, call_id: str) -> None:
        super().__init__(f"{call_id} goes on: stop its agent first")


class UnknownCallError(ArchiveError):
    """There is no record of such a call."""

    status = 404
    code = "unknown_call"

    def __init__(self) -> None:
        super().__init__("no such call is stored")
