"""`HealthMonitor`: heartbeats and kernel statistics of one agent process, judged by the rules."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from control.health.proc_stats import ProcStatsReader
from control.health.rules import Action, Finding, HealthLimits, HealthRules, ProcStats
from control.ipc.link import ChildMessage, Link, LinkBrokenError, Ping, Pong
from conversation.lifecycle import ExitReason
from conversation.vitals import Vitals

STATS_INTERVAL_S: Final = 5.0
"""Longest age of the memory statistics while they change little."""

_log = logging.getLogger("control.health")


class HealthMonitor:
    """One per process. The public attributes are its latest readings, for the agent's status."""

    def __init__(
        self,
        channel_name: str,
        pid: int,
        reader: ProcStatsReader,
        limits: HealthLimits,
        *,
        on_finding: Callable[[Finding], None],
        should_save_work: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            channel_name: for the log.
            pid: of the process.
            reader: of its kernel statistics.
            limits: of the rules.
            on_finding: called for each finding, after it was logged here.
            should_save_work: read for each ping, which passes it on to the agent.
        """
        # Readings of the last pong; None before the first.
        self.loop_lag_ms: float | None = None
        self.vitals: Vitals | None = None
        self.proc_stats: ProcStats | None = None
        self._channel_name = channel_name
        self._pid = pid
        self._reader = reader
        self._rules = HealthRules(limits)
        self._on_finding = on_finding
        self._should_save_work = should_save_work
        # Pings sent so far; the number of the last one.
        self._pings = 0
        self._ponged_s: float | None = None
        # Monotonic time of the last full reading of the statistics.
        self._stats_read_s = float("-inf")
        # Time for which this loop itself was stalled, and could not receive any pong.
        self._stalled_s = 0.0

    @property
    def heartbeat_age_s(self) -> float | None:
        """Seconds since the last pong; None before the first."""
        return None if self._ponged_s is None else self._now_s() - self._ponged_s

    def _now_s(self) -> float:
        """Return a monotonic time that stands still while this server is stopped or starved."""
        return time.monotonic() - self._stalled_s

    def handle_pong(self, message: Pong) -> None:
        """Take the readings of a pong."""
        self._ponged_s = self._now_s()
        self.loop_lag_ms = message.loop_lag_ms
        self.vitals = message.vitals
        self._rules.handle_vitals(message.vitals, now_s=self._ponged_s)

    async def run(self, link: Link[ChildMessage], interval_s: float) -> None:
        """Ping, read statistics and apply the rules, until cancelled or the link breaks."""
        while True:
            self._pings += 1
            try:
                link.send(Ping(n=self._pings, should_save_work=self._should_save_work()))
            except LinkBrokenError as error:
                text = f"it does not read its link: {error}"
                self._report(Finding("silent", Action.RESTART, ExitReason.UNRESPONSIVE, text))
                return
            began_s = time.monotonic()
            await asyncio.sleep(interval_s)
            self._stalled_s += max(0.0, time.monotonic() - began_s - interval_s)
            await self._read_stats()
            self._apply_rules()

    async def _read_stats(self) -> None:
        now_s = time.monotonic()
        is_old = now_s - self._stats_read_s >= STATS_INTERVAL_S
        if is_old:
            self._stats_read_s = now_s
        # Without `known` the memory figures are read again, not reused.
        known = None if is_old else self.proc_stats
        self.proc_stats = await self._reader.read(self._pid, known) or self.proc_stats

    def _apply_rules(self) -> None:
        findings = self._rules.observe(
            now_s=self._now_s(),
            silent_s=self.heartbeat_age_s,
            loop_lag_ms=self.loop_lag_ms,
            proc_stats=self.proc_stats,
            vitals=self.vitals,
        )
        for finding in findings:
            self._report(finding)

    def _report(self, finding: Finding) -> None:
        _log.warning("%s: %s (%s)", self._channel_name, finding.text, finding.action)
        self._on_finding(finding)
