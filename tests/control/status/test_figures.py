"""Figures of live calls and of providers, and what they say of capacity."""

from __future__ import annotations

from typing import Any

from config.agent import AgentConfig
from config.providers import ProviderConfig
from control.admission.policy import MIB, AdmissionLimits, Load
from control.api.status import capacity_of, loss_percent
from control.ipc.link import Event, StartFailed
from control.machine.memory import Memory
from control.placement import AgentStatus, ExitRecord
from control.status.providers import WINDOW_S, ProviderFigures
from control.status.turns import KEPT_TURNS, TurnFigures
from conversation.events import server_events as out
from conversation.lifecycle import AgentState, ExitReason
from conversation.turn_timings import TurnTimings
from conversation.vitals import MediaCounts, Vitals

AGENT = AgentConfig(
    agent_id="a1",
    channel_name="demo",
    uid=1,
    room_url="http://127.0.0.1:9",
    provider=ProviderConfig(name="openai", model="m", base_uri="ws://127.0.0.1:9"),
)
NAMES: dict[str, Any] = {"agent_id": "a1", "agent_name": "Parley"}


def ended(*, is_restarted: bool) -> ExitRecord:
    return ExitRecord(
        agent_id="a1",
        channel_name="demo",
        uid=1,
        pid=7,
        exit_reason=ExitReason.CRASHED,
        exit_code=1,
        stopped_by=None,
        uptime_s=1.0,
        ended_at_ms=1,
        is_restarted=is_restarted,
    )


def test_turns_of_a_call_have_a_last_and_a_median() -> None:
    figures = TurnFigures()

    def take_turn(total_ms: float | None) -> None:
        timings = TurnTimings(
            turn=1, endpoint_to_first_byte_ms=0.0, first_byte_to_first_audio_ms=total_ms
        )
        event = out.AgentTurnMeasured(**NAMES, timings=timings)
        figures.handle_message(AGENT, Event(event=event))

    assert figures.of("a1").model_dump() == {"count": 0, "last_ms": None, "median_ms": None}
    for total_ms in (400.0, None, 900.0, 500.0):
        take_turn(total_ms)
    assert figures.of("a1").model_dump() == {"count": 3, "last_ms": 500.0, "median_ms": 500.0}
    figures.handle_exit(ended(is_restarted=True))
    for _ in range(KEPT_TURNS):
        take_turn(100.0)
    summary = figures.of("a1")
    assert (summary.count, summary.median_ms) == (3 + KEPT_TURNS, 100.0)
    figures.handle_exit(ended(is_restarted=False))
    assert figures.of("a1").count == 0


def test_a_provider_is_judged_by_what_happened_lately() -> None:
    now_s = 1000.0
    figures = ProviderFigures(lambda: now_s)

    def state() -> str:
        return figures.of("openai").state

    def change(status: str) -> None:
        event = out.AgentConnectionChanged.model_validate({**NAMES, "status": status})
        figures.handle_message(AGENT, Event(event=event))

    assert state() == "unused"
    figures.handle_ready(AGENT, {"connecting": 120.0, "total": 300.0})
    figures.handle_ready(AGENT, {"connecting": 80.0})
    assert state() == "ok"
    assert figures.of("openai").connect_ms == 100.0
    change("reconnecting")
    assert state() == "failing"
    change("open")
    assert state() == "unstable"
    refused = StartFailed(phase="connecting", code="invalid_api_key", message="check the API key")
    figures.handle_message(AGENT, refused)
    unrelated = StartFailed(phase="joining", code="room_full", message="full")
    figures.handle_message(AGENT, unrelated)
    health = figures.of("openai")
    assert (health.state, health.refused, health.last_problem) == (
        "failing",
        1,
        "check the API key",
    )
    figures.handle_ready(AGENT, {})
    error = out.AgentError(
        **NAMES, error_type="provider", code="rate_limited", message="words of people"
    )
    figures.handle_message(AGENT, Event(event=error))
    health = figures.of("openai")
    assert (health.state, health.errors, health.drops) == ("unstable", 1, 1)
    assert health.last_problem == "it reported rate_limited"
    now_s += WINDOW_S + 1
    assert state() == "unused"
    assert figures.names == ["openai"]


def test_capacity_says_why_the_next_start_would_be_refused() -> None:
    memory = Memory(8192 * MIB, 4096 * MIB)
    limits = AdmissionLimits(max_agents=3, max_cpu_share=0.85, min_free_bytes=128 * MIB)
    free = capacity_of(Load(2, 0, 0.5, 2.0, memory), limits)
    assert (free.has_room, free.reason, free.text) == (True, None, "")
    assert (free.cpu_percent, free.max_cpu_percent, free.free_mib) == (50.0, 85.0, 4096)
    full = capacity_of(Load(3, 0, 0.5, 2.0, memory), limits)
    assert (full.has_room, full.reason) == (False, "agents")
    assert full.text == "3 agents are live, the limit is 3"


def test_loss_is_a_share_of_what_was_expected() -> None:
    def status(media: MediaCounts | None) -> AgentStatus:
        return AgentStatus(
            agent_id="a1",
            channel_name="demo",
            uid=1,
            state=AgentState.RUNNING,
            pid=7,
            provider="local",
            model="m",
            uptime_s=1.0,
            timings_ms={},
            loop_lag_ms=None,
            private_bytes=None,
            heartbeat_age_s=None,
            vitals=None if media is None else Vitals(media=media),
        )

    assert loss_percent(status(None)) is None
    assert loss_percent(status(MediaCounts())) is None
    assert loss_percent(status(MediaCounts(packets_received=950, packets_lost=50))) == 5.0
