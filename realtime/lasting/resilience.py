"""How hard a conversation is kept alive, and what that took."""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.lasting.replay import ReplayBudget
from realtime.lasting.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class ResilienceOptions:
    """How hard to try, and how much to tell."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    replay: ReplayBudget = field(default_factory=ReplayBudget)


@dataclass(slots=True)
class ResilienceStatistics:
    """Counts since the conversation began.

    reconnects: sessions that were lost and replaced
    rotations: sessions that were replaced before they ended
    fallbacks: changes of provider
    resent_samples: user audio that was sent again because the session that got it was lost
    dropped_samples: user audio that no session ever got
    stale_ids: commands about items that the present session does not have, left out
    untellable: entries that a new session would not be told in any form
    """

    reconnects: int = 0
    rotations: int = 0
    fallbacks: int = 0
    resent_samples: int = 0
    dropped_samples: int = 0
    stale_ids: int = 0
    untellable: int = 0
