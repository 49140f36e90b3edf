"""`Access`: what a request may do, and whose calls it sees. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field


class Scope(StrEnum):
    """A kind of use that a key allows.

    START: start and stop agents, mint tokens for people. STEER: commands to live agents, and stop
    them. LISTEN: mint tokens with which one hears a call. READ_CALLS: stored calls and live events.
    ADMIN: all of these, deletion and the management of keys.
    """

    START = "start"
    STEER = "steer"
    LISTEN = "listen"
    READ_CALLS = "read_calls"
    ADMIN = "admin"


ANY_SCOPE: Final = frozenset(Scope)
"""For what every key may do."""


TeamName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""Name of a team, and of a key: neither a blank nor a slash, which separate it from other names."""


class KeyLimits(BaseModel):
    """Limits of one key; null: none. A day is one of UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    agents: int | None = Field(default=None, ge=0, le=100_000, description="live at once")
    starts_per_minute: int | None = Field(default=None, ge=1, le=100_000)
    minutes_per_day: float | None = Field(default=None, ge=0, le=1e9, description="of all calls")
    cost_per_day: float | None = Field(default=None, ge=0, le=1e12, description="by MODEL_PRICES")


NO_LIMITS: Final = KeyLimits()


@dataclass(frozen=True)
class Access:
    """Rights of a request. The default: all, of a server without keys.

    key: name of its API key, "" without one
    team: that of the key, "" for none; an admin key without a team is for all teams
    """

    key: str = ""
    team: str = ""
    scopes: frozenset[Scope] = frozenset({Scope.ADMIN})
    limits: KeyLimits = NO_LIMITS

    def may(self, wanted: Collection[Scope]) -> bool:
        """Return true if the key has one of these scopes, or is an admin."""
        return Scope.ADMIN in self.scopes or not self.scopes.isdisjoint(wanted)

    @property
    def is_of_all_teams(self) -> bool:
        """True for an admin key without a team: it sees everything of the server."""
        return Scope.ADMIN in self.scopes and not self.team

    def sees(self, team: str) -> bool:
        """Return true if calls of this team are shown to the request."""
        return self.is_of_all_teams or team == self.team

    @property
    def only_team(self) -> str | None:
        """The one team whose calls are shown; None: those of all teams."""
        return None if self.is_of_all_teams else self.team


EVERYTHING: Final = Access()
