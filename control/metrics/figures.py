"""Metrics that are counted as events happen, with their labels. No label is a channel, uid or call,
and no label value comes from a request, so that their number is bounded.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.process_collector import ProcessCollector

PREFIX: Final = "parley"
_QUICK_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_START_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
_TURN_S: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10)
_DELAY_S: Final = (0.0, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.4, 1)
_CALL_S: Final = (1, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_OUTAGE_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90)


class Figures:
    """A registry and its metrics; nothing is shared with other registries of the process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry, namespace=PREFIX)
        self._make_requests()
        self._make_agents()
        self._make_calls()
        self._make_providers()

    def _make_requests(self) -> None:
        self.requests = self._counter(
            "http_requests", "Requests, by route template", "method", "route", "status"
        )
        self.request_seconds = self._histogram(
            "http_request_seconds", "Time to the answer, without WebSockets and event streams", "route",
            buckets=(*_QUICK_S, 30, 60),
        )  # fmt: skip
        self.refusals = self._counter(
            "http_refusals", "Requests answered with an error, by code", "code"
        )

    def _make_agents(self) -> None:
        self.starts = self._counter("agent_starts", "Agent processes started, restarts included")
        self.restarts = self._counter("agent_restarts", "Processes started to continue a call")
        self.start_failures = self._counter(
            "agent_start_failures", "Failed starts, by the phase that the agent reported", "phase"
        )
        self.start_seconds = self._histogram(
            "agent_start_seconds", "Phases of successful starts; total: all of them", "phase",
            buckets=_START_S,
        )  # fmt: skip
        self.exits = self._counter(
            "agent_exits", "Agent processes that ended, by reason", "reason", "is_restarted"
        )
        self.loop_lag_seconds = self._histogram(
            "agent_loop_lag_seconds", "Largest event loop lag of an agent between heartbeats",
            buckets=_QUICK_S,
        )  # fmt: skip

    def _make_calls(self) -> None:
        self.call_seconds = self._histogram(
            "call_seconds", "From the first start to the last exit of a call", buckets=_CALL_S
        )
        self.turn_seconds = self._histogram(
            "turn_seconds", "Steps of turns; total: from the last word to the reply being heard",
            "step", "provider",
            buckets=_TURN_S,
        )  # fmt: skip
        self.interruptions = self._counter("interruptions", "Replies cut by a voice")
        self.false_alarms = self._counter(
            "false_alarms", "Pauses that were no interruption", "cause"
        )
        self.tool_calls = self._counter("tool_calls", "Tool calls answered", "is_error")
        self.input_failures = self._counter(
            "input_failures", "Inputs of all agents whose handling failed unexpectedly", "kind"
        )
        self.media = self._counter(
            "media", "Packets and frames of all agents, as docs/observability.md says", "count"
        )
        self.jitter_delay_seconds = self._histogram(
            "media_jitter_delay_seconds", "Jitter buffer delay at each heartbeat",
            buckets=_DELAY_S,
        )  # fmt: skip

    def _make_providers(self) -> None:
        self.provider_sessions = self._counter(
            "provider_sessions", "Agents that became ready with a session", "provider"
        )
        self.provider_drops = self._counter(
            "provider_drops", "Sessions lost in the middle of a call", "provider"
        )
        self.provider_outage_seconds = self._histogram(
            "provider_outage_seconds", "From a lost session to the next", "provider",
            buckets=_OUTAGE_S,
        )  # fmt: skip
        self.provider_errors = self._counter(
            "provider_errors", "Errors that a provider reported", "provider"
        )
        self.responses = self._counter("responses", "Replies by their end", "provider", "status")
        self.tokens = self._counter("tokens", "Tokens of replies", "provider", "direction")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, registry=self.registry, buckets=buckets)
