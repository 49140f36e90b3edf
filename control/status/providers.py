"""`ProviderFigures`: what recent starts and calls say of each provider."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final, Literal

from pydantic import BaseModel, Field

from config.agent import AgentConfig
from control.ipc.link import ChildMessage, Event, StartFailed
from control.observers import CallObserver
from conversation.events import server_events as out
from utils import wall_clock_ms

WINDOW_S: Final = 900.0
"""What happened within this time counts."""

MAX_NOTES: Final = 500
_CONNECTING: Final = "connecting"


class Kind(StrEnum):
    """An event of a provider's session."""

    SESSION = "session"
    REFUSED = "refused"
    DROP = "drop"
    BACK = "back"
    ERROR = "error"


@dataclass(frozen=True)
class Note:
    """One thing that happened. at_s: monotonic; at_ms: Unix time; value_ms: of what has a duration."""

    kind: Kind
    at_s: float
    at_ms: int
    text: str = ""
    value_ms: float | None = None


class ProviderHealth(BaseModel):
    """A provider by the starts and calls of the last 15 minutes."""

    name: str
    state: Literal["ok", "unstable", "failing", "unused"] = Field(
        description="failing: its last session could not be opened, or was lost and is not back; "
        "unstable: sessions were lost, refused or reported errors; unused: nothing was asked of it"
    )
    sessions: int = Field(description="agents that became ready with it")
    refused: int = Field(description="starts that it refused or did not answer")
    drops: int = Field(description="sessions lost in the middle of a call")
    errors: int = Field(description="errors that it reported in a call")
    connect_ms: float | None = Field(description="median time to open a session")
    last_problem: str = Field(description="of its last refusal, drop or error; empty without one")
    last_problem_at_ms: int | None = Field(description="Unix time")


def health_of(name: str, notes: list[Note]) -> ProviderHealth:
    """Judge a provider by what happened, oldest first. Pure."""
    counts = {kind: sum(note.kind is kind for note in notes) for kind in Kind}
    problems = [note for note in notes if note.kind in (Kind.REFUSED, Kind.DROP, Kind.ERROR)]
    decisive = [note.kind for note in notes if note.kind is not Kind.ERROR]
    if not notes:
        state: Literal["ok", "unstable", "failing", "unused"] = "unused"
    elif decisive and decisive[-1] in (Kind.REFUSED, Kind.DROP):
        state = "failing"
    else:
        state = "unstable" if problems else "ok"
    times = [note.value_ms for note in notes if note.value_ms is not None]
    return ProviderHealth(
        name=name,
        state=state,
        sessions=counts[Kind.SESSION],
        refused=counts[Kind.REFUSED],
        drops=counts[Kind.DROP],
        errors=counts[Kind.ERROR],
        connect_ms=median(times) if times else None,
        last_problem=problems[-1].text if problems else "",
        last_problem_at_ms=problems[-1].at_ms if problems else None,
    )


class ProviderFigures(CallObserver):
    """Notes what happens with each provider; `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._notes: dict[str, deque[Note]] = {}

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """See `CallObserver.handle_ready`."""
        self._note(config, Kind.SESSION, value_ms=timings_ms.get(_CONNECTING))

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """See `CallObserver.handle_message`."""
        match message:
            case StartFailed(phase="connecting" | "model"):
                self._note(config, Kind.REFUSED, message.message)
            case Event(event=out.AgentConnectionChanged(status="reconnecting")):
                self._note(config, Kind.DROP, "a session was lost in a call")
            case Event(event=out.AgentConnectionChanged(status="open")):
                self._note(config, Kind.BACK)
            case Event(event=out.AgentError(error_type="provider") as event):
                # Its text may repeat what people said.
                self._note(config, Kind.ERROR, f"it reported {event.code}")
            case _:
                pass

    def _note(
        self, config: AgentConfig, kind: Kind, text: str = "", value_ms: float | None = None
    ) -> None:
        note = Note(kind, self._clock(), wall_clock_ms(), text, value_ms)
        self._notes.setdefault(config.provider.name, deque(maxlen=MAX_NOTES)).append(note)

    def of(self, name: str) -> ProviderHealth:
        """Return the health of one provider now."""
        since_s = self._clock() - WINDOW_S
        return health_of(name, [note for note in self._notes.get(name, ()) if note.at_s >= since_s])

    @property
    def names(self) -> list[str]:
        """Providers that were asked for a session since the server's start."""
        return sorted(self._notes)
