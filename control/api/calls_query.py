"""Query strings of stored calls: filter and page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
)

from config.agent import ThreadId
from control.keys.access import Access, TeamName
from control.store.call_filter import CallFilter
from control.store.store import Cursor
from conversation.lifecycle import ExitReason
from parley.agent import NAME_PATTERN
from realtime.providers import PROVIDER_PATTERN
from rtc.identifiers import ChannelName

MAX_PAGE: Final = 200
_MAX_UNIX_MS: Final = 10**15
_SECONDS: Final = 10**9
_AGENTS_PATTERN: Final = rf"^{NAME_PATTERN}(\+{NAME_PATTERN})*$"


def _as_unix_ms(value: Any) -> Any:
    """Return Unix milliseconds for a time in the form of ISO 8601; UTC if it names no zone."""
    if not isinstance(value, str) or value.isdecimal():
        return value
    # In a query string a plus that was not escaped is read as a blank.
    text = value.replace(" ", "+") if "T" in value else value
    try:
        at = datetime.fromisoformat(text)
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("Unix milliseconds, or a time such as 2026-02-01T09:00:00Z") from None


Moment = Annotated[
    int,
    Field(ge=0, le=_MAX_UNIX_MS),
    BeforeValidator(_as_unix_ms),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": _MAX_UNIX_MS},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
]
Seconds = Annotated[float, Field(ge=0, le=_SECONDS, allow_inf_nan=False)]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class CallsFilter(BaseModel):
    """Which calls are wanted: those for which all that is given holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    team: TeamName | Literal[""] | None = Field(
        default=None, description="for keys of no team; others see the calls of their own alone"
    )
    channel: ChannelName | None = None
    agent: str | None = Field(
        default=None,
        max_length=300,
        pattern=_AGENTS_PATTERN,
        description="agent of the server's app; those of a chat room are joined by +",
    )
    thread: ThreadId | None = None
    person: ThreadId | None = Field(default=None, description="`person_id` of the start")
    exit_reason: ExitReason | None = None
    provider: str | None = Field(default=None, pattern=PROVIDER_PATTERN)
    since: Moment | None = Field(
        default=None, description="begun then or later: Unix milliseconds or ISO 8601"
    )
    until: Moment | None = Field(default=None, description="begun earlier than that")
    min_duration_s: Seconds | None = Field(
        default=None, description="a live call has lasted until now"
    )
    max_duration_s: Seconds | None = None
    min_cost: Cost | None = Field(default=None, description="by MODEL_PRICES")
    max_cost: Cost | None = None
    is_live: bool | None = None
    text: str | None = Field(
        default=None,
        max_length=128,
        description="part of channel, thread, person or agent, in any case of letters",
    )

    @field_validator("agent", mode="before")
    @classmethod
    def _with_plus(cls, value: Any) -> Any:
        # In a query string a plus that was not escaped is read as a blank.
        return value.replace(" ", "+") if isinstance(value, str) else value

    def wanted(self, access: Access) -> CallFilter:
        """Return it for the store. access: of the request, whose team's calls alone are wanted"""
        only_team = access.only_team
        return CallFilter(
            team=self.team if only_team is None else only_team,
            channel_name=self.channel,
            agent=self.agent,
            thread_id=self.thread,
            person_id=self.person,
            exit_reason=self.exit_reason,
            provider=self.provider,
            since_ms=self.since,
            until_ms=self.until,
            min_duration_ms=None if self.min_duration_s is None else self.min_duration_s * 1000,
            max_duration_ms=None if self.max_duration_s is None else self.max_duration_s * 1000,
            min_cost=self.min_cost,
            max_cost=self.max_cost,
            is_live=self.is_live,
            text=self.text,
        )


class CallsQuery(CallsFilter):
    """Filter and page of the list of calls."""

    limit: int = Field(default=50, ge=1, le=MAX_PAGE)
    after: str | None = Field(default=None, description="`next` of the page before")

    @field_validator("after")
    @classmethod
    def _check_after(cls, value: str | None) -> str | None:
        if value is not None:
            Cursor.parse(value)
        return value
