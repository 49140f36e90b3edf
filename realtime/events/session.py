"""Changes of the provider's session: opened, updated, failing, closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ConnectionStatus(StrEnum):
    """State of the socket to the provider; see `realtime.model.RealtimeModel.events`."""

    CONNECTING = "connecting"
    OPEN = "open"
    RECONNECTING = "reconnecting"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The provider accepted us and our settings; `expires_at_s` is Unix time, if it said so."""

    session_id: str
    expires_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    """The provider took over changed settings."""

    session_id: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The provider session is gone for good; no event follows it.

    code: machine word of the cause (`disconnected`, `session_expired`, `idle`, ...)
    is_retryable: whether a new session can be expected to work
    """

    reason: str
    code: str = "disconnected"
    is_retryable: bool = True


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The provider will close this session soon; `time_left_ms` is None when it did not say when."""

    time_left_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ResumptionUpdated:
    """A later session may go on where this one is now; None: not at this point."""

    handle: str | None


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """The socket changed state."""

    status: ConnectionStatus
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RateLimitsUpdated:
    """The provider's limits by name: what remains, of how much, and seconds until it is reset."""

    remaining: Mapping[str, int]
    limits: Mapping[str, int] = field(default_factory=dict)
    reset_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderError:
    """The provider complained. `is_fatal`: the session cannot go on and retrying is useless."""

    code: str
    message: str
    is_fatal: bool = False
    event_id: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class UnknownEventReceived:
    """A provider event that this version does not know, with all it carried."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class RawEventReceived:
    """A provider event as it came, before the events that it means, for those who asked for them.

    type: of a provider whose messages have none, their fields joined by commas
    data: empty for a frame of more than `realtime.raw_events.MAX_RAW_CHARACTERS`
    """

    type: str
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
