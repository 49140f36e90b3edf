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

    @property
    def heartbeat_age_s(self) -> float | None:
        """Since its loop last answered; None until it did."""
        return None if self._answered_s is None else time.monotonic() - self._answered_s

    def handle_pong(self, message: Pong) -> None:
        """Its loop answered."""
        self._answered_s = time.monotonic()
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
            await asyncio.sleep(interval_s)
            await self._read_figures()
            self._judge()

    async def _read_figures(self) -> None:
        now_s = time.monotonic()
        if now_s - self._figures_at_s >= FIGURES_INTERVAL_S:
            self._figures_at_s = now_s
            self.figures = await self._reader.read(self._pid) or self.figures

    def _judge(self) -> None:
        findings = self._watch.observe(
            now_s=time.monotonic(),
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
