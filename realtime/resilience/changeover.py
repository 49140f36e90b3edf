"""`Changeover`: the wanted change of a conversation to another provider, model or voice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from realtime.model import ModelSettings
from realtime.resilience.provider_session import ModelSource, ProviderSession

CALL_PATIENCE_S: Final = 0.5
"""So long is the end of the reply awaited that called the tool which wants the change."""

PATIENCE_S: Final = 3.0
"""So long is the end of a reply, or of speech, awaited; then the change cuts into it."""


@dataclass(slots=True, eq=False)
class Changeover:
    """A session that is open and is to get the floor.

    source, settings: of the conversation from then on
    done: set when it has the floor; fails when it never will
    """

    session: ProviderSession
    source: ModelSource
    settings: ModelSettings
    asked_at_s: float
    done: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def is_due(self, present: ProviderSession, *, now_s: float) -> bool:
        """Return true if the present session may lose the floor now."""
        waited_s = now_s - self.asked_at_s
        if waited_s >= PATIENCE_S or present.ended.done():
            return True
        if present.turns.speaking is not None:
            return False
        is_idle = present.replies.is_idle(now_s=now_s)
        return is_idle or (waited_s >= CALL_PATIENCE_S and present.replies.waits_for_tools)
