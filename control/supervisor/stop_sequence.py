"""`StopSequence`: the end of one agent process, from a request over its link to SIGKILL."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from control.forkserver.started_process import StartedProcess
from control.ipc.link import ChildMessage, Link, LinkBrokenError, Stop
from conversation.lifecycle import ExitReason
from conversation.limits import MAX_GOODBYE_S

_log = logging.getLogger("control.process")

# Share of the ASK deadline after which an agent cancels its own cleanup: an orderly exit still.
_CHILD_DEADLINE_SHARE = 0.8


class StopStep(StrEnum):
    """Step of the stop sequence. ASK goes over the link, the others are signals."""

    ASK = "ask"
    TERMINATE = "terminate"
    DUMP = "dump"
    KILL = "kill"


SIGNALS: Final = {
    StopStep.TERMINATE: signal.SIGTERM,
    StopStep.DUMP: signal.SIGUSR1,
    StopStep.KILL: signal.SIGKILL,
}


@dataclass(frozen=True)
class Deadlines:
    """Longest waits for an agent process, in seconds.

    start_s: from the fork to ready.
    ask_s: for a graceful exit after ASK.
    terminate_s: for the exit after SIGTERM.
    dump_s: for the process to write its stacks.
    kill_s: for the exit after SIGKILL.
    ping_interval_s: between two heartbeats.
    """

    start_s: float = 25.0
    ask_s: float = 8.0
    terminate_s: float = 2.0
    dump_s: float = 0.3
    kill_s: float = 5.0
    ping_interval_s: float = 1.0

    def with_goodbye(self) -> Deadlines:
        """Return the deadlines of an agent that speaks a goodbye before it leaves."""
        return replace(self, ask_s=self.ask_s + MAX_GOODBYE_S)

    def stop_steps(self, *, is_graceful: bool = True) -> Iterator[tuple[StopStep, float]]:
        """Yield the steps of a stop in order, each with its deadline in seconds.

        is_graceful: false where a graceful exit is impossible, or wrong because another process
            continues the call.
        """
        if is_graceful:
            yield StopStep.ASK, self.ask_s
            yield StopStep.TERMINATE, self.terminate_s
        yield StopStep.DUMP, self.dump_s
        yield StopStep.KILL, self.kill_s


DEFAULT_DEADLINES = Deadlines()


class StopSequence:
    """Ends one process once requested; of several requests the first one counts."""

    def __init__(self, channel_name: str, deadlines: Deadlines, *, has_goodbye: bool) -> None:
        """has_goodbye: true if a drained agent speaks a goodbye before it leaves."""
        # Done with the reason once the end is requested.
        self.requested: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()
        # Explanation that came with the request, if any.
        self.problem: str | None = None
        # Last step that was taken; None if the process ends on its own.
        self.step: StopStep | None = None
        # True once the link is closed: the process can no longer be asked.
        self.is_link_closed = False
        self._channel_name = channel_name
        self._deadlines = deadlines
        self._has_goodbye = has_goodbye
        self._is_graceful = True

    @property
    def reason(self) -> ExitReason | None:
        """Reason of the request; None while none was made."""
        return self.requested.result() if self.requested.done() else None

    def request(
        self, reason: ExitReason, *, problem: str | None = None, is_graceful: bool = True
    ) -> None:
        """Request the end, whatever the process is doing. Idempotent.

        is_graceful: see `Deadlines.stop_steps`.
        """
        if not self.requested.done():
            self.problem = problem
            self._is_graceful = is_graceful
            self.requested.set_result(reason)

    def handle_link_closed(self) -> None:
        """Request the end of a process whose link is closed; usually it is exiting already."""
        self.is_link_closed = True
        self.request(ExitReason.CRASHED)

    def kill(self, process: StartedProcess) -> None:
        """Send SIGKILL at once."""
        self._send_signal(StopStep.KILL, process)

    async def run(self, link: Link[ChildMessage], process: StartedProcess) -> bool:
        """Wait for a request, then take the steps; false if `process` survives all of them."""
        reason = await asyncio.shield(self.requested)
        is_spoken = reason is ExitReason.DRAINED and self._has_goodbye
        deadlines = self._deadlines.with_goodbye() if is_spoken else self._deadlines
        for step, deadline_s in deadlines.stop_steps(is_graceful=self._is_graceful):
            if step is StopStep.ASK:
                self._ask(link, reason, deadline_s)
            else:
                self._send_signal(step, process)
            try:
                async with asyncio.timeout(deadline_s):
                    await process.exited.wait()
            except TimeoutError:
                _log.warning("%s: no exit after %s", self._channel_name, step)
            else:
                return True
        return False

    def _send_signal(self, step: StopStep, process: StartedProcess) -> None:
        self.step = step
        process.send_signal(SIGNALS[step])

    def _ask(self, link: Link[ChildMessage], reason: ExitReason, deadline_s: float) -> None:
        if not self.is_link_closed:
            self.step = StopStep.ASK
        with contextlib.suppress(LinkBrokenError):  # The next step follows in that case.
            link.send(Stop(reason=reason, deadline_s=_CHILD_DEADLINE_SHARE * deadline_s))
