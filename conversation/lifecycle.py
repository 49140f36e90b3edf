"""The life of one agent as a table: states, exit reasons, and which step may follow which."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class AgentState(StrEnum):
    """Where an agent is. READY: joined and connected, nobody to talk to yet. RUNNING: in a call."""

    STARTING = "starting"
    JOINING = "joining"
    CONNECTING = "connecting"
    READY = "ready"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPING = "stopping"
    EXITED = "exited"
    BACKOFF = "backoff"
    FATAL = "fatal"


class ExitReason(StrEnum):
    """Why an agent ended."""

    STOPPED = "stopped"
    DRAINED = "drained"
    USER_LEFT = "user_left"
    NO_USER = "no_user"
    IDLE = "idle"
    MAX_DURATION = "max_duration"
    BUDGET_SPENT = "budget_spent"
    PROVIDER_FAILED = "provider_failed"
    ROOM_LOST = "room_lost"
    START_FAILED = "start_failed"
    CRASHED = "crashed"
    UNRESPONSIVE = "unresponsive"
    UNHEALTHY = "unhealthy"
    OUT_OF_MEMORY = "out_of_memory"
    SUPERVISOR_GONE = "supervisor_gone"


_ENDING = {AgentState.STOPPING, AgentState.EXITED}

TRANSITIONS: dict[AgentState, set[AgentState]] = {
    AgentState.STARTING: {AgentState.JOINING} | _ENDING,
    AgentState.JOINING: {AgentState.CONNECTING} | _ENDING,
    AgentState.CONNECTING: {AgentState.READY} | _ENDING,
    AgentState.READY: {AgentState.RUNNING, AgentState.DRAINING} | _ENDING,
    AgentState.RUNNING: {AgentState.READY, AgentState.DRAINING} | _ENDING,
    AgentState.DRAINING: _ENDING,
    AgentState.STOPPING: {AgentState.EXITED},
    AgentState.EXITED: {AgentState.BACKOFF, AgentState.FATAL},
    AgentState.BACKOFF: {AgentState.STARTING, AgentState.FATAL},
    AgentState.FATAL: set(),
}
"""Every step that may happen. BACKOFF and FATAL exist only in the supervisor's view."""

LIVE_STATES = frozenset(
    {
        AgentState.STARTING,
        AgentState.JOINING,
        AgentState.CONNECTING,
        AgentState.READY,
        AgentState.RUNNING,
        AgentState.DRAINING,
        AgentState.STOPPING,
    }
)
"""States in which a process exists (or is about to) and holds its channel."""


class IllegalTransitionError(RuntimeError):
    """A step that the table does not allow; nothing was changed."""


class Lifecycle:
    """One agent's state. Steps go through `advance`, which checks, changes, then tells."""

    def __init__(self, on_change: Callable[[AgentState, AgentState], None] | None = None) -> None:
        """on_change: called with (old, new) after each step; must not raise."""
        self._state = AgentState.STARTING
        self._on_change = on_change

    @property
    def state(self) -> AgentState:
        """The state the agent is in now."""
        return self._state

    def advance(self, new: AgentState) -> bool:
        """Step to `new`; False when already there.

        Raises:
            IllegalTransitionError: the table has no such step.
        """
        old = self._state
        if new is old:
            return False
        if new not in TRANSITIONS[old]:
            raise IllegalTransitionError(f"an agent cannot go from {old} to {new}")
        self._state = new
        if self._on_change is not None:
            self._on_change(old, new)
        return True
