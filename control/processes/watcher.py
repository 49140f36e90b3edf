"""`Watcher`: asks one agent process again and again how it is, and says what should be done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from control.processes.link import ChildMessage, Link, LinkBrokenError, Ping, Pong
from control.processes.proc_figures import FigureReader
from control.processes.watch import Action, Finding, ProcessFigures, Watch, WatchLimits
from conversation.lifecycle import ExitReason
from conversation.vitals import Vitals

FIGURES_INTERVAL_S: Final = 5.0
"""How old the figures of its memory may be while they change little."""

_log = logging.getLogger("control.watcher")


class Watcher:
    """One a process. What it knows is public, for whoever shows it."""

    def __init__(
        self,
        channel_name: str,
        pid: int,
        reader: FigureReader,
        limits: WatchLimits,
        *,
        on_finding: Callable[[Finding], None],
    ) -> None:
        """on_finding: acts on it, unless it is only a warning; everything is logged here."""
        self.loop_lag_ms: float | None = None
        self.vitals: Vitals | None = None
        self.figures: ProcessFigures | None = None
        self._channel_name = channel_name
        self._pid = pid
        self._reader = reader
        self._watch = Watch(limits)
        self._on_finding = on_finding
        self._asked = 0
        self._answered_s: float | None = None
        self._figures_at_s = float("-inf")
        # How long we were held up ourselves, so that we could not hear it.
        self._deaf_s = 0.0

    @property
    def heartbeat_age_s(self) -> float | None:
        """Since its loop last answered; None until it did."""
        return None if self._answered_s is None else self._now_s() - self._answered_s

    def _now_s(self) -> float:
        """Of a clock that stands while this server is stopped, or starved."""
        return time.monotonic() - self._deaf_s

    def handle_pong(self, message: Pong) -> None:
        """Its loop answered."""
        self._answered_s = self._now_s()
        self.loop_lag_ms = message.loop_lag_ms
        self.vitals = message.vitals
        self._watch.handle_vitals(message.vitals, now_s=self._answered_s)

    async def run(self, link: Link[ChildMessage], interval_s: float) -> None:
        """Ask and judge, until cancelled or the link breaks."""
        while True:
            self._asked += 1
            try:
                link.send(Ping(n=self._asked))
            except LinkBrokenError as error:
                text = f"it does not read: {error}"
                self._tell(Finding("silent", Action.RESTART, ExitReason.UNRESPONSIVE, text))
                return
            began_s = time.monotonic()
            await asyncio.sleep(interval_s)
            self._deaf_s += max(0.0, time.monotonic() - began_s - interval_s)
            await self._read_figures()
            self._judge()

    async def _read_figures(self) -> None:
        now_s = time.monotonic()
        is_old = now_s - self._figures_at_s >= FIGURES_INTERVAL_S
        if is_old:
            self._figures_at_s = now_s
        known = None if is_old else self.figures
        self.figures = await self._reader.read(self._pid, known) or self.figures

    def _judge(self) -> None:
        findings = self._watch.observe(
            now_s=self._now_s(),
            silent_s=self.heartbeat_age_s,
            loop_lag_ms=self.loop_lag_ms,
            figures=self.figures,
            vitals=self.vitals,
        )
        for finding in findings:
            self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        _log.warning("%s: %s (%s)", self._channel_name, finding.text, finding.action)
        self._on_finding(finding)
