"""`SupervisedLifecycle`: an agent's state as its supervisor shows it, across all of its processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Set
from typing import Final

from conversation.lifecycle import (
    LIVE_STATES,
    TRANSITIONS,
    AgentState,
    IllegalTransitionError,
    Lifecycle,
)

_log = logging.getLogger("control.supervisor")

_PROCESS_LOST: Final = {AgentState.EXITED, AgentState.BACKOFF, AgentState.FATAL}

SUPERVISED_TRANSITIONS: Final[Mapping[AgentState, Set[AgentState]]] = {
    **{state: (TRANSITIONS[state] & LIVE_STATES) | _PROCESS_LOST for state in LIVE_STATES},
    AgentState.BACKOFF: {AgentState.STARTING, AgentState.EXITED},
    AgentState.EXITED: frozenset(),
    AgentState.FATAL: frozenset(),
}
"""Every step in the supervisor's view: those of a process as long as it lives; after its loss EXITED
(the call is over), BACKOFF (another process follows) or FATAL (given up)."""

OnState = Callable[[AgentState, int], None]
"""Called with the state that was entered and its Unix time in milliseconds."""


class SupervisedLifecycle:
    """The only place that holds and changes this state; every step is checked, then published."""

    def __init__(self, channel_name: str, on_state: OnState) -> None:
        self._channel_name = channel_name
        self._lifecycle = Lifecycle(self._log_step, transitions=SUPERVISED_TRANSITIONS)
        self._on_state = on_state

    @property
    def state(self) -> AgentState:
        """Current state; STARTING before the first step."""
        return self._lifecycle.state

    @property
    def has_process(self) -> bool:
        """True while a process exists or is about to."""
        return self.state in LIVE_STATES

    def enter(self, state: AgentState, *, at_ms: int) -> None:
        """Set the state and publish it, also when it is the present one (the first STARTING).

        Raises:
            IllegalTransitionError: the table has no such step; nothing was changed.
        """
        self._lifecycle.advance(state)
        self._on_state(state, at_ms)

    def follow(self, state: AgentState, *, at_ms: int) -> None:
        """Set a state that the agent process reported. EXITED is ignored: only a reaped process
        has exited, until then it holds its channel.

        Raises:
            IllegalTransitionError: not a step of a process; nothing was changed.
        """
        # The report precedes the exit; the process may still hang.
        if state is AgentState.EXITED:
            return
        if state not in LIVE_STATES:
            raise IllegalTransitionError(f"a process cannot be in state {state}")
        self.enter(state, at_ms=at_ms)

    def _log_step(self, old: AgentState, new: AgentState) -> None:
        _log.info("%s: agent %s -> %s", self._channel_name, old, new)
