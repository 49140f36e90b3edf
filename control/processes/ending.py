"""`Ending`: why an agent's process is to end, and the climb of the stop ladder that sees to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from control.processes.ladder import SIGNALS, Deadlines, Rung
from control.processes.link import ChildMessage, Link, LinkBrokenError, Stop
from control.processes.started import StartedProcess
from conversation.lifecycle import ExitReason

_log = logging.getLogger("control.process")

# An agent cancels its own goodbyes somewhat before we lose patience: that end is still an orderly one.
_CHILDS_SHARE = 0.8


class Ending:
    """The end of one run: of several reasons the first counts, and the climb begins with it."""

    def __init__(self, channel_name: str, deadlines: Deadlines, *, has_goodbye: bool) -> None:
        """has_goodbye: whether a drained agent has something to say before it leaves"""
        self.wanted: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()
        # What was wrong with it, where the first reason came with an explanation.
        self.problem: str | None = None
        # The last rung that was tried on it; None while it ends by itself.
        self.rung: Rung | None = None
        self.is_link_over = False
        self._channel_name = channel_name
        self._deadlines = deadlines
        self._has_goodbye = has_goodbye
        self._is_polite = True

    @property
    def reason(self) -> ExitReason | None:
        """Why it should end; None while it should go on."""
        return self.wanted.result() if self.wanted.done() else None

    def want(
        self, reason: ExitReason, *, problem: str | None = None, is_polite: bool = True
    ) -> None:
        """Begin to end the run, whatever its process is doing.

        is_polite: false where a goodbye is impossible, or wrong because another process goes on
        """
        if not self.wanted.done():
            self.problem = problem
            self._is_polite = is_polite
            self.wanted.set_result(reason)

    def handle_link_over(self) -> None:
        """No link, no agent: usually it is exiting anyway; if not, the ladder sees to it."""
        self.is_link_over = True
        self.want(ExitReason.CRASHED)

    def kill(self, process: StartedProcess) -> None:
        """The last rung at once."""
        self._send(Rung.KILL, process)

    async def climb(self, link: Link[ChildMessage], process: StartedProcess) -> bool:
        """Once the end is wanted, go from rung to rung; false when `process` survived them all."""
        reason = await asyncio.shield(self.wanted)
        is_spoken = reason is ExitReason.DRAINED and self._has_goodbye
        deadlines = self._deadlines.with_goodbye() if is_spoken else self._deadlines
        for rung, deadline_s in deadlines.ladder(is_polite=self._is_polite):
            if rung is not Rung.ASK:
                self._send(rung, process)
            else:
                self._ask(link, reason, deadline_s)
            try:
                async with asyncio.timeout(deadline_s):
                    await process.exited.wait()
            except TimeoutError:
                _log.warning("%s: no exit after %s", self._channel_name, rung)
            else:
                return True
        return False

    def _send(self, rung: Rung, process: StartedProcess) -> None:
        self.rung = rung
        process.send_signal(SIGNALS[rung])

    def _ask(self, link: Link[ChildMessage], reason: ExitReason, deadline_s: float) -> None:
        if not self.is_link_over:
            self.rung = Rung.ASK
        with contextlib.suppress(LinkBrokenError):  # Then the next rung is due.
            link.send(Stop(reason=reason, deadline_s=_CHILDS_SHARE * deadline_s))
