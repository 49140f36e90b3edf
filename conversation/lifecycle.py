"""An agent's lifecycle: states, exit reasons, and the table of transitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from enum import StrEnum


class AgentState(StrEnum):
    """State of an agent.

    READY: joined and connected, no user in the room yet. RUNNING: in a call. BACKOFF (another
    process follows) and FATAL (given up) exist only in the supervisor's view.
    """

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
    """Cause of an agent's end."""

    STOPPED = "stopped"
    HUNG_UP = "hung_up"
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


class AgentStartError(Exception):
    """An agent never became ready; nothing of it is left.

    Args:
        phase: `model` (the local model), `starting` (the process), `joining` (the room), `tools`
            (an MCP server), `definition` (the owner's code) or `connecting` (the provider).
        code: machine-readable word for the cause.
        is_retryable: false if another process would fail likewise.
    """

    def __init__(self, phase: str, code: str, message: str, *, is_retryable: bool = True) -> None:
        super().__init__(message)
        self.phase = phase
        self.code = code
        self.is_retryable = is_retryable


_ENDING = {AgentState.STOPPING, AgentState.EXITED}

TRANSITIONS: Mapping[AgentState, Set[AgentState]] = {
    AgentState.STARTING: {AgentState.JOINING} | _ENDING,
    AgentState.JOINING: {AgentState.CONNECTING} | _ENDING,
    AgentState.CONNECTING: {AgentState.READY} | _ENDING,
    AgentState.READY: {AgentState.RUNNING, AgentState.DRAINING} | _ENDING,
    AgentState.RUNNING: {AgentState.READY, AgentState.DRAINING} | _ENDING,
    AgentState.DRAINING: _ENDING,
    AgentState.STOPPING: {AgentState.EXITED},
    AgentState.EXITED: frozenset(),
}
"""Every step of an agent in its process; the supervisor's view has a table of its own."""

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
    """The table does not allow this step; nothing was changed."""


class Lifecycle:
    """One agent's state. Steps go through `advance`, which checks, changes, then notifies."""

    def __init__(
        self,
        on_change: Callable[[AgentState, AgentState], None] | None = None,
        *,
        transitions: Mapping[AgentState, Set[AgentState]] = TRANSITIONS,
    ) -> None:
        """
        Args:
            on_change: called with (old, new) after each step; must not raise.
            transitions: the steps that are allowed.
        """
        self._state = AgentState.STARTING
        self._transitions = transitions
        self._on_change = on_change

    @property
    def state(self) -> AgentState:
        """Current state."""
        return self._state

    def advance(self, new: AgentState) -> bool:
        """Step to `new`; False when already there.

        Raises:
            IllegalTransitionError: the table has no such step.
        """
        old = self._state
        if new is old:
            return False
        if new not in self._transitions[old]:
            raise IllegalTransitionError(f"an agent cannot go from {old} to {new}")
        self._state = new
        if self._on_change is not None:
            self._on_change(old, new)
        return True
