"""Errors of the archive, each with its HTTP status and code; `ArchiveError` is the base."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_MAX_PROBLEM_CHARACTERS: Final = 300
_MAX_LISTED: Final = 100


def first_line(error: BaseException) -> str:
    """Return a driver's message, without the statement and values that SQLAlchemy appends."""
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip().partition("\n")[0] or type(cause).__name__
    return text[:_MAX_PROBLEM_CHARACTERS]


class ArchiveError(Exception):
    """Base. status, code: of the HTTP answer."""

    status = 500
    code = "internal_error"


class StoreUnavailableError(ArchiveError):
    """The store cannot be written or read now; calls go on."""

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
    """The call is live: it must be stopped first."""

    status = 409
    code = "call_is_live"

    def __init__(self, call_id: str) -> None:
        super().__init__(f"{call_id} is live: stop its agent first")


class CallsAreLiveError(ArchiveError):
    """Some of the calls that are to be deleted together are live. call_ids: these, the first 100"""

    status = 409
    code = "call_is_live"

    def __init__(self, call_ids: Collection[str]) -> None:
        self.call_ids = tuple(sorted(call_ids)[:_MAX_LISTED])
        text = f"{len(call_ids)} of the calls are live: stop them first; nothing is deleted"
        super().__init__(text)


class NotDeletedError(ArchiveError):
    """Files of these calls cannot be deleted; the calls are kept for another attempt."""

    status = 500
    code = "not_deleted"

    def __init__(self, call_ids: Collection[str]) -> None:
        self.call_ids = frozenset(call_ids)
        names = ", ".join(sorted(call_ids))
        text = f"the recording of {names} cannot be deleted: repair RECORDINGS_DIR and try again"
        super().__init__(text)


class UnknownCallError(ArchiveError):
    """There is no record of the call."""

    status = 404
    code = "unknown_call"

    def __init__(self) -> None:
        super().__init__("no such call is stored")
