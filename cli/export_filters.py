"""Options of the command `export`. Imports nothing: the parser needs them before anything runs."""

from __future__ import annotations

from typing import Final

EXPORT_FILTERS: Final = {
    "team": "of this team, for keys of no team",
    "channel": "in this channel",
    "agent": "of this agent of the app",
    "thread": "of this conversation",
    "person": "with this person",
    "exit_reason": "that ended so",
    "provider": "with this provider",
    "since": "begun then or later: 2026-02-01, 2026-02-01T09:00:00Z or Unix milliseconds",
    "until": "begun earlier than that",
    "min_duration_s": "that lasted at least so long",
    "max_duration_s": "that lasted at most so long",
    "min_cost": "that cost at least so much",
    "max_cost": "that cost at most so much",
    "is_live": "that go on: true, or are over: false",
    "text": "with this in channel, thread, person or agent",
}
"""Options that are filters of `GET /calls`, by the same names."""
