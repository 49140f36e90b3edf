"""Metrics: their values, access to them, and labels that never hold content."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from pydantic import SecretStr

from config.agent import AgentConfig
from config.providers import ProviderConfig
from config.settings import Settings
from control.ipc.link import Event, Pong, StartFailed
from control.metrics.calls import CallMetrics
from control.metrics.current import CurrentCollector, Reading
from control.metrics.figures import Figures
from control.placement import ExitRecord
from control.supervisor.pool import PoolStatistics
from conversation.events import server_events as out
from conversation.events.parts import ToolResult
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import ExitReason
from conversation.turn_timings import TurnTimings
from conversation.vitals import InputFailures, MediaCounts, Vitals
from tests.control.served_api import SECRET, serve_api
from tests.test_docs import names, rows

KEY, TOKEN = "a-key-of-the-api", "a-token-of-metrics"
OPEN_SERVER = Settings(local_model_uri="ws://127.0.0.1:9")
WITH_KEYS = Settings(
    local_model_uri="ws://127.0.0.1:9",
    api_keys=(SecretStr(KEY),),
    room_token_secret=SecretStr(SECRET),
)
WITH_BOTH = WITH_KEYS.model_copy(update={"metrics_token": SecretStr(TOKEN)})


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of an exposition."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


class Counted:
    """A server's figures without the server: calls as their observer sees them."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.calls = CallMetrics(self.figures)

    def of(self, name: str, **labels: str) -> float:
        return self.figures.registry.get_sample_value(f"parley_{name}", labels) or 0.0

    def say(self, event: ServerEvent, config: AgentConfig | None = None) -> None:
        self.calls.handle_message(config or agent(), Event(event=event))

    def beat(self, **media: int) -> None:
        vitals = Vitals(media=MediaCounts(**media), jitter_delay_ms=40.0)
        self.calls.handle_message(agent(), Pong(n=1, loop_lag_ms=2.0, vitals=vitals))

    def end(self, *, is_restarted: bool = False) -> None:
        self.calls.handle_exit(
            ExitRecord(
                agent_id="a1",
                channel_name="demo",
                uid=1,
                pid=7,
                exit_reason=ExitReason.CRASHED,
                exit_code=-9,
                stopped_by=None,
                uptime_s=1.0,
                ended_at_ms=1,
                is_restarted=is_restarted,
            )
        )


def agent() -> AgentConfig:
    return AgentConfig(
        agent_id="a1",
        channel_name="demo",
        uid=1,
        room_url="http://127.0.0.1:9",
        provider=ProviderConfig(name="openai", model="m", base_uri="ws://127.0.0.1:9"),
    )


def event(kind: Any, **fields: Any) -> ServerEvent:
    made: ServerEvent = kind(agent_id="a1", agent_name="A", **fields)
    return made


# -- calls -----------------------------------------------------------------------------------------


def test_a_life_with_a_restart() -> None:
    counted = Counted()
    counted.calls.handle_start(agent(), restarts=0)
    counted.calls.handle_ready(agent(), {"joining": 5.0, "total": 30.0, "made_up": 1.0})
    counted.end(is_restarted=True)
    counted.calls.handle_start(agent(), restarts=1)
    counted.end()
    assert (counted.of("agent_starts_total"), counted.of("agent_restarts_total")) == (2, 1)
    crashed = {"reason": "crashed"}
    assert counted.of("agent_exits_total", **crashed, is_restarted="true") == 1
    assert counted.of("agent_exits_total", **crashed, is_restarted="false") == 1
    assert counted.of("agent_start_seconds_sum", phase="total") == 0.03
    assert counted.of("agent_start_seconds_count", phase="other") == 1
    assert counted.of("call_seconds_count") == 1


def test_a_call_that_ends_between_two_processes_had_one_exit() -> None:
    counted = Counted()
    counted.calls.handle_start(agent(), restarts=0)
    counted.end(is_restarted=True)
    counted.end()
    assert counted.of("agent_exits_total", reason="crashed", is_restarted="true") == 1
    assert counted.of("agent_exits_total", reason="crashed", is_restarted="false") == 0
    assert counted.of("call_seconds_count") == 1


def test_media_never_falls_over_processes() -> None:
    counted = Counted()
    sent: list[float] = []
    for packets, is_lost in [(100, False), (150, True), (20, False), (60, True)]:
        counted.beat(packets_sent=packets, packets_lost=1)
        sent.append(counted.of("media_total", count="packets_sent"))
        if is_lost:
            counted.end(is_restarted=True)
    assert sent == [100, 150, 170, 210]
    assert counted.of("media_total", count="packets_lost") == 2
    assert counted.of("media_jitter_delay_seconds_sum") == pytest.approx(0.16)


def test_failures_of_inputs_never_fall_over_processes() -> None:
    counted = Counted()
    for chats, is_lost in [(1, False), (3, True), (2, False)]:
        vitals = Vitals(input_failures=InputFailures(chat=chats, tool=1))
        counted.calls.handle_message(agent(), Pong(n=1, loop_lag_ms=1.0, vitals=vitals))
        if is_lost:
            counted.end(is_restarted=True)
    assert counted.of("input_failures_total", kind="chat") == 5
    assert counted.of("input_failures_total", kind="tool") == 2
    assert counted.of("input_failures_total", kind="client_event") == 0


def test_turns_replies_and_tools() -> None:
    counted = Counted()
    timings = TurnTimings(turn=1, speech_end_to_endpoint_ms=500.0, endpoint_to_first_byte_ms=250.0)
    counted.say(event(out.AgentTurnMeasured, timings=timings))
    done = {"response_id": "r", "input_tokens": 10, "output_tokens": 3}
    counted.say(event(out.AgentResponseDone, **done))
    counted.say(event(out.AgentResponseDone, **done, status="eaten by a grue"))
    result = ToolResult(id="c", name="secret_tool", output="42", is_error=True)
    counted.say(event(out.AgentResponseToolResult, tool_result=result))
    counted.say(event(out.AgentResumed, cause="noise"))
    provider = {"provider": "openai"}
    assert counted.of("turn_seconds_sum", step="endpointing", **provider) == 0.5
    assert counted.of("turn_seconds_sum", step="total", **provider) == 0.75
    assert counted.of("turn_seconds_count", step="playout", **provider) == 0
    assert counted.of("responses_total", status="completed", **provider) == 1
    assert counted.of("responses_total", status="other", **provider) == 1
    assert counted.of("tokens_total", direction="input", **provider) == 20
    assert counted.of("tool_calls_total", is_error="true") == 1
    assert counted.of("false_alarms_total", cause="noise") == 1


def test_a_lost_model_is_timed_until_it_is_back() -> None:
    counted = Counted()
    counted.calls.handle_start(agent(), restarts=0)
    for status in ("reconnecting", "open", "open", "reconnecting", "closed"):
        counted.say(event(out.AgentConnectionChanged, status=status))
    assert counted.of("provider_drops_total", provider="openai") == 2
    assert counted.of("provider_outage_seconds_count", provider="openai") == 1


def test_failed_starts_by_phase() -> None:
    counted = Counted()
    for phase in ("connecting", "demo"):
        failed = StartFailed(phase=phase, code="invalid_api_key", message="no")
        counted.calls.handle_message(agent(), failed)
    assert counted.of("agent_start_failures_total", phase="connecting") == 1
    assert counted.of("agent_start_failures_total", phase="other") == 1


def test_figures_of_the_moment() -> None:
    figures = Figures()
    readings = [Reading("waiting", "w", 3.0), Reading("lost", "l", 2.0, is_count=True)]
    pool = PoolStatistics(idle=2, taken=5, missed=1, died=4)
    now = CurrentCollector(list, lambda: pool, lambda: False, lambda: readings)
    figures.registry.register(now)
    samples = read(generate_latest(figures.registry).decode())
    assert samples["parley_waiting", ()] == 3
    assert samples["parley_lost_total", ()] == 2
    assert samples["parley_ready", ()] == 0
    assert samples["parley_pool_idle", ()] == 2
    assert samples["parley_pool_claims_total", (("is_hit", "true"),)] == 5
    assert samples["parley_pool_deaths_total", ()] == 4
    assert samples["parley_agents", (("state", "running"),)] == 0
    assert samples["parley_agent_memory_bytes", (("kind", "pss"), ("of", "max"))] == 0


# -- the route -------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_exposition_parses_and_knows_routes_by_template() -> None:
    async with serve_api(OPEN_SERVER) as api:
        await api.post("/start_agent", json={"channel_name": "very-private", "uid": 4711})
        await api.get("/agents/very-private")
        await api.get("/agents/unknown")
        await api.get("/nowhere/very-private")
        await api.request("PROPFIND", "/agents")
        text = await (await api.get("/metrics")).text()
        samples = read(text)
        assert "very-private" not in text
        assert '"4711"' not in text

        def requests(method: str, route: str, status: str) -> float:
            labels = (("method", method), ("route", route), ("status", status))
            return samples.get(("parley_http_requests_total", labels), 0)

        assert requests("GET", "/agents/{channel}", "200") == 1
        assert requests("GET", "/agents/{channel}", "404") == 1
        assert requests("GET", "none", "404") == 1
        assert requests("other", "none", "405") + requests("other", "/agents", "405") == 1
        assert samples["parley_http_refusals_total", (("code", "not_running"),)] == 1
        timed = ("parley_http_request_seconds_count", (("route", "/agents/{channel}"),))
        assert samples[timed] == 2


@pytest.mark.asyncio
async def test_openmetrics_is_served_on_request() -> None:
    async with serve_api(OPEN_SERVER) as api:
        wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
        answer = await api.get("/metrics", headers=wanted)
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        text = await answer.text()
        names = {family.name for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
        assert "parley_http_requests" in names


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("settings", "shown", "status"),
    [
        (OPEN_SERVER, None, 200),
        (WITH_KEYS, None, 401),
        (WITH_KEYS, KEY, 200),
        (WITH_KEYS, TOKEN, 401),
        (WITH_BOTH, None, 401),
        (WITH_BOTH, KEY, 200),
        (WITH_BOTH, TOKEN, 200),
    ],
)
async def test_access_to_the_metrics(settings: Settings, shown: str | None, status: int) -> None:
    headers = {"Authorization": f"Bearer {shown}"} if shown else {}
    async with serve_api(settings) as api:
        assert (await api.get("/metrics", headers=headers)).status == status


@pytest.mark.asyncio
async def test_the_token_of_metrics_opens_nothing_else() -> None:
    async with serve_api(WITH_BOTH) as api:
        answer = await api.get("/agents", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status == 401


@pytest.mark.asyncio
async def test_foreign_pages_cannot_read() -> None:
    async with serve_api(OPEN_SERVER) as api:
        assert (await api.get("/metrics", headers={"Host": "evil.example"})).status == 403


def test_every_figure_is_documented() -> None:
    figures = Figures()
    pool = PoolStatistics(idle=0, taken=0, missed=0, died=0)
    figures.registry.register(CurrentCollector(list, lambda: pool, bool))
    known = {
        family.name.removeprefix("parley_") + ("_total" if family.type == "counter" else "")
        for family in figures.registry.collect()
        if not family.name.startswith("parley_process_")
    }
    table = rows("observability.md", "| name (`parley_…`)")
    documented = {name for row in table for name in names(row[0])} - {"process_…"}
    of_the_servers_parts = {
        "forks_refused_total",
        "forkserver_restarts_total",
        *("local_model_ready", "log_lines_lost_total"),
        "store_waiting",
        *("webhooks_waiting", "after_call_waiting"),
        "store_given_up_total",
        "webhooks_dropped_total",
        *("audit_waiting", "audit_lost_total", "key_requests_total", "key_starts_total"),
        *("key_refusals_total", "key_agents", "key_minutes_today", "key_cost_today"),
        *("connections", "connections_ended_total"),
        *("connections_refused_total", "connections_malformed_total"),
    }
    assert documented == known | of_the_servers_parts
