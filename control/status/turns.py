"""`TurnFigures`: how long the turns of each live call took."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

from pydantic import BaseModel, Field

from config.agent import AgentConfig
from control.ipc.link import ChildMessage, Event
from control.observers import CallObserver
from control.placement import ExitRecord
from conversation.events.server_events import AgentTurnMeasured

KEPT_TURNS: Final = 50
"""Turns of a call that the median is of: the last ones."""


class TurnSummary(BaseModel):
    """Latency of a call's turns, from the last word to the reply being heard."""

    count: int = Field(default=0, description="turns measured in this call")
    last_ms: float | None = None
    median_ms: float | None = Field(default=None, description=f"of the last {KEPT_TURNS}")


class _Turns:
    def __init__(self) -> None:
        self.count = 0
        self.totals_ms: deque[float] = deque(maxlen=KEPT_TURNS)


class TurnFigures(CallObserver):
    """Keeps the last turns of each live call, by the agent's id."""

    def __init__(self) -> None:
        self._calls: dict[str, _Turns] = {}

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """See `CallObserver.handle_message`."""
        match message:
            # A reply that was given up before it was heard has no latency.
            case Event(event=AgentTurnMeasured(timings=timings)) if (
                timings.first_byte_to_first_audio_ms is not None
            ):
                turns = self._calls.setdefault(config.agent_id, _Turns())
                turns.count += 1
                turns.totals_ms.append(timings.total_ms)
            case _:
                pass

    def handle_exit(self, record: ExitRecord) -> None:
        """See `CallObserver.handle_exit`."""
        if not record.is_restarted:
            self._calls.pop(record.agent_id, None)

    def of(self, agent_id: str) -> TurnSummary:
        """Return the figures of a call; those of one without a turn have no times."""
        turns = self._calls.get(agent_id)
        if turns is None:
            return TurnSummary()
        kept = turns.totals_ms
        return TurnSummary(count=turns.count, last_ms=kept[-1], median_ms=median(kept))
