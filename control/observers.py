"""Who hears of everything that happens to agents: figures, traces, records, event streams."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from config import AgentConfig
from control.placement import ExitRecord
from control.processes.link import ChildMessage
from control.processes.watch import Finding

_log = logging.getLogger("control.observers")


class CallObserver:
    """Overrides what it wants to hear. Its methods must return at once: the supervisor waits.

    `config` tells the agents apart by `agent_id`, which all processes of a call have in common.
    """

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """A process is about to be started; `restarts` of this call were lost before it.

        `config.conversation_seed` is what this very process is told.
        """

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """An agent process said something over its link, and it is carried out already."""

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """An agent is ready; timings_ms: every phase of the start, and `total`."""

    def handle_finding(self, config: AgentConfig, finding: Finding) -> None:
        """The watcher noticed a sign of trouble and does something about it, or only warns."""

    def handle_exit(self, record: ExitRecord) -> None:
        """A process is gone; its channel is free unless `is_restarted`."""

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """These calls, which are over, are deleted: nothing of them may be told any more."""


class Observers(CallObserver):
    """Tells several; one that fails is logged and disturbs neither the others nor the call."""

    def __init__(self, observers: Sequence[CallObserver] = ()) -> None:
        self._observers = tuple(observers)

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """See `CallObserver.handle_start`."""
        self._tell("handle_start", config, restarts=restarts)

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """See `CallObserver.handle_message`."""
        self._tell("handle_message", config, message)

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """See `CallObserver.handle_ready`."""
        self._tell("handle_ready", config, timings_ms)

    def handle_finding(self, config: AgentConfig, finding: Finding) -> None:
        """See `CallObserver.handle_finding`."""
        self._tell("handle_finding", config, finding)

    def handle_exit(self, record: ExitRecord) -> None:
        """See `CallObserver.handle_exit`."""
        self._tell("handle_exit", record)

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """See `CallObserver.forget_calls`."""
        self._tell("forget_calls", call_ids)

    def _tell(self, method: str, *arguments: object, **named: object) -> None:
        for observer in self._observers:
            try:
                getattr(observer, method)(*arguments, **named)
            except Exception:  # noqa: BLE001 - whatever it was, the call goes on
                _log.exception("%s failed in %s", type(observer).__name__, method)
