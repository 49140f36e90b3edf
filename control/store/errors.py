"""What an archive refuses: `ArchiveError` is the base; each says what to answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_MAX_PROBLEM_CHARACTERS: Final = 300


def first_line(error: BaseException) -> str:
    """What a driver says, without the statement and its values, which SQLAlchemy appends."""
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip().partition("\n")[0] or type(cause).__name__
    return text[:_MAX_PROBLEM_CHARACTERS]


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


class NotDeletedError(ArchiveError):
    """Something of these calls cannot be deleted: they are kept, so that it can be tried again."""

    status = 500
    code = "not_deleted"

    def __init__(self, call_ids: Collection[str]) -> None:
        self.call_ids = frozenset(call_ids)
        names = ", ".join(sorted(call_ids))
        text = f"the recording of {names} cannot be deleted: mend RECORDINGS_DIR and ask again"
        super().__init__(text)


class UnknownCallError(ArchiveError):
    """There is no record of such a call."""

    status = 404
    code = "unknown_call"

    def __init__(self) -> None:
        super().__init__("no such call is stored")
