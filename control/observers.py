"""`CallObserver`: callbacks for everything that happens to agents; `Observers` calls several."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence

from config.agent import AgentConfig
from control.health.rules import Finding
from control.ipc.link import ChildMessage
from control.placement import ExitRecord
from conversation.lifecycle import AgentState

_log = logging.getLogger("control.observers")


class CallObserver:
    """Callbacks of a supervisor; subclasses override those they need.

    Each is called on the supervisor's loop and must return at once. `config.agent_id` identifies the
    call; all processes of a call have it in common.
    """

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """Handle that a process is about to be started, before the call's state becomes STARTING.

        Args:
            config: its `conversation_seed` is what this very process receives.
            restarts: processes of this call that were lost before it.
        """

    def handle_state(self, config: AgentConfig, state: AgentState, *, at_ms: int) -> None:
        """Handle a step of the agent's state in the supervisor's view; at_ms: Unix time."""

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """Handle a message of an agent process; the supervisor has already acted on it."""

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """Handle that an agent is ready; timings_ms: every phase of the start, and `total`."""

    def handle_finding(self, config: AgentConfig, finding: Finding) -> None:
        """Handle a health rule that was violated, also when the supervisor only warns."""

    def handle_exit(self, record: ExitRecord) -> None:
        """Handle the loss of a process; its channel is free unless `record.is_restarted`."""

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Delete everything kept of these calls, which are over."""


class Observers(CallObserver):
    """Calls several observers; one that raises is logged and affects neither the others nor the call."""

    def __init__(self, observers: Sequence[CallObserver] = ()) -> None:
        self._observers = tuple(observers)

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """See `CallObserver.handle_start`."""
        # Typed calls, not by method name: a rename fails in the type checker.
        for observer in self._observers:
            with _isolated(observer):
                observer.handle_start(config, restarts=restarts)

    def handle_state(self, config: AgentConfig, state: AgentState, *, at_ms: int) -> None:
        """See `CallObserver.handle_state`."""
        for observer in self._observers:
            with _isolated(observer):
                observer.handle_state(config, state, at_ms=at_ms)

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """See `CallObserver.handle_message`."""
        for observer in self._observers:
            with _isolated(observer):
                observer.handle_message(config, message)

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """See `CallObserver.handle_ready`."""
        for observer in self._observers:
            with _isolated(observer):
                observer.handle_ready(config, timings_ms)

    def handle_finding(self, config: AgentConfig, finding: Finding) -> None:
        """See `CallObserver.handle_finding`."""
        for observer in self._observers:
            with _isolated(observer):
                observer.handle_finding(config, finding)

    def handle_exit(self, record: ExitRecord) -> None:
        """See `CallObserver.handle_exit`."""
        for observer in self._observers:
            with _isolated(observer):
                observer.handle_exit(record)

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """See `CallObserver.forget_calls`."""
        for observer in self._observers:
            with _isolated(observer):
                observer.forget_calls(call_ids)


@contextlib.contextmanager
def _isolated(observer: CallObserver) -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - a defect of an observer must not end the call
        _log.exception("observer %s failed", type(observer).__name__)
