"""`CallFilter`: which calls a query wants, as conditions on the table's columns. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func

from control.store.records import CallRecord
from control.store.schema import CALLS
from conversation.lifecycle import ExitReason

_COLUMNS: Final = frozenset(
    {
        *("call_id", "team", "thread_id", "channel_name", "person_id", "agent", "provider"),
        *("started_at_ms", "ended_at_ms", "exit_reason"),
    }
)


@dataclass(frozen=True, kw_only=True)
class CallFilter:
    """Conditions that all hold; None: any.

    since_ms, until_ms: bounds of the start, Unix ms; the first is included, the second is not
    min_duration_ms, max_duration_ms: included; a live call has lasted until now
    min_cost, max_cost: included
    team: whose calls they are; "": those of no team
    text: part of channel, thread, person or agent, in any case of letters
    """

    team: str | None = None
    channel_name: str | None = None
    thread_id: str | None = None
    person_id: str | None = None
    agent: str | None = None
    provider: str | None = None
    exit_reason: ExitReason | None = None
    is_live: bool | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    min_duration_ms: float | None = None
    max_duration_ms: float | None = None
    min_cost: float | None = None
    max_cost: float | None = None
    text: str | None = None

    def conditions(self, now_ms: int) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions. now_ms: end of live calls as yet, Unix ms"""
        columns = CALLS.c
        for column, value in (
            (columns.team, self.team),
            (columns.channel_name, self.channel_name),
            (columns.thread_id, self.thread_id),
            (columns.person_id, self.person_id),
            (columns.agent, self.agent),
            (columns.provider, self.provider),
            (columns.exit_reason, self.exit_reason),
        ):
            if value is not None:
                yield column == value
        if self.is_live is not None:
            is_live = columns.ended_at_ms.is_(None)
            yield is_live if self.is_live else ~is_live
        duration_ms = func.coalesce(columns.ended_at_ms, now_ms) - columns.started_at_ms
        for least, at_most, measured in (
            (self.min_duration_ms, self.max_duration_ms, duration_ms),
            (self.min_cost, self.max_cost, columns.cost),
        ):
            if least is not None:
                yield measured >= least
            if at_most is not None:
                yield measured <= at_most
        if self.since_ms is not None:
            yield columns.started_at_ms >= self.since_ms
        if self.until_ms is not None:
            yield columns.started_at_ms < self.until_ms
        if self.text:
            yield columns.search.contains(self.text.lower(), autoescape=True)


ANY_CALL: Final = CallFilter()


def row_of(record: CallRecord) -> dict[str, Any]:
    """Return the columns that a record fills: those of queries, and all of it as JSON."""
    names = (record.channel_name, record.thread_id, record.person_id, record.agent)
    return record.model_dump(include=set(_COLUMNS)) | {
        "cost": record.usage.cost,
        "search": "\n".join(names).lower(),
        "record": record.model_dump_json(exclude={"has_recording"}),
    }
