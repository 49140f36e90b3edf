"""Options and statistics of resilience."""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.resilience.replay import ReplayBudget
from realtime.resilience.retry_policy import RetryPolicy


@dataclass(frozen=True, slots=True)
class ResilienceOptions:
    """Retry policy and replay budget."""

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
    unreplayable: entries that a new session took in no form
    """

    reconnects: int = 0
    rotations: int = 0
    fallbacks: int = 0
    resent_samples: int = 0
    dropped_samples: int = 0
    stale_ids: int = 0
    unreplayable: int = 0
