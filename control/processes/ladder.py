"""The stop ladder: how a process is ended, from polite to certain, and how long each wait may last."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from conversation.limits import MAX_GOODBYE_S


class Rung(StrEnum):
    """One step of the stop ladder."""

    ASK = "ask"
    TERMINATE = "terminate"
    DUMP = "dump"
    KILL = "kill"


SIGNALS: Final = {
    Rung.TERMINATE: signal.SIGTERM,
    Rung.DUMP: signal.SIGUSR1,
    Rung.KILL: signal.SIGKILL,
}
"""What is sent on each rung but the first, which asks over the link."""


@dataclass(frozen=True)
class Deadlines:
    """How long each wait for an agent process may last.

    ask_s: for the agent's own goodbyes; terminate_s: after SIGTERM; dump_s: to write its stacks
    """

    start_s: float = 25.0
    ask_s: float = 8.0
    terminate_s: float = 2.0
    dump_s: float = 0.3
    kill_s: float = 5.0
    ping_interval_s: float = 1.0

    def with_goodbye(self) -> Deadlines:
        """For an agent that has something to say before it leaves."""
        return replace(self, ask_s=self.ask_s + MAX_GOODBYE_S)

    def ladder(self, *, is_polite: bool = True) -> Iterator[tuple[Rung, float]]:
        """The rungs of a stop, from polite to certain, each with the time it gets.

        is_polite: false where a goodbye is impossible, or wrong because another process goes on
        """
        if is_polite:
            yield Rung.ASK, self.ask_s
            yield Rung.TERMINATE, self.terminate_s
        yield Rung.DUMP, self.dump_s
        yield Rung.KILL, self.kill_s


DEFAULT_DEADLINES = Deadlines()
