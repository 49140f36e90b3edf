"""A black box records events, never words, and is never large."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.black_box.box import MAX_EVENTS, MAX_STATES, Box
from control.black_box.curve import FIRST_STEP_MS, MAX_SAMPLES, Curve
from control.black_box.models import ResourceSample
from control.health.rules import Action, Finding
from control.placement import AgentStatus
from conversation.events import server_events as out
from conversation.events.parts import ToolResult, ToolUse
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentState, ExitReason
from tests.control.store.test_live_call import exit_record

AGENT: Any = {"agent_id": "agent-1", "agent_name": "Parley"}
SECRET = "my card is 4111 1111"
SPOKEN = {
    *("delta", "transcript", "message", "heard", "output", "text", "input", "metadata", "reason"),
}


def delta(n: int, item_id: str = "i") -> out.AgentResponseAudioTranscriptDelta:
    return out.AgentResponseAudioTranscriptDelta(
        **AGENT, response_id="r", item_id=item_id, delta=f"word {n}"
    )


def status(**more: Any) -> AgentStatus:
    values: dict[str, Any] = {
        "agent_id": "agent-1",
        "channel_name": "demo",
        "uid": 1,
        "state": AgentState.READY,
        "pid": 7,
        "provider": "local",
        "model": "local",
        "uptime_s": 1.0,
        "timings_ms": {},
        "loop_lag_ms": None,
        "private_bytes": None,
        "heartbeat_age_s": None,
    }
    return AgentStatus(**(values | more))


def test_equal_events_in_a_row_are_counted() -> None:
    box = Box()
    for n in range(3):
        box.handle_event(delta(n), at_ms=n)
    box.handle_event(delta(3, "other"), at_ms=3)
    first, second = box.content().events
    assert (first.count, first.characters, first.at_ms) == (3, 18, 0)
    assert first.marks == {"response_id": "r", "item_id": "i"}
    assert (second.count, second.marks["item_id"]) == (1, "other")


@pytest.mark.parametrize(
    "event",
    [
        out.AgentInputTranscriptionDone(**AGENT, transcript=SECRET, item_id="i"),
        delta(0).model_copy(update={"delta": SECRET}),
        out.AgentResponseToolUseDone(
            **AGENT,
            response_id="r",
            item_id="i",
            tool_use=ToolUse(id="c", name="pay", input={"card": SECRET}),
        ),
        out.AgentResponseToolResult(
            **AGENT, tool_result=ToolResult(id="c", name="pay", output=SECRET)
        ),
        out.AgentError(**AGENT, error_type="provider", code="bad", message=SECRET),
    ],
    ids=lambda event: event.type,
)
def test_no_word_is_kept(event: ServerEvent) -> None:
    box = Box()
    box.handle_event(event, at_ms=1)
    text = box.content().model_dump_json()
    assert event.type in text
    assert "4111" not in text


def test_every_event_can_be_kept_and_only_known_words_of_programs_are_marks() -> None:
    kinds = get_args(get_args(ServerEvent)[0])
    assert len(kinds) > 20
    box = Box()
    for kind in kinds:
        box.handle_event(kind.model_construct(**_filled(kind)), at_ms=1)
    assert [seen.type for seen in box.content().events] == [
        kind.model_fields["type"].default for kind in kinds
    ]
    marks = {name for seen in box.content().events for name in seen.marks}
    assert not marks & (SPOKEN - {"reason"})


def _filled(kind: Any) -> dict[str, Any]:
    return {name: "x" for name in kind.model_fields if name != "type"}


def test_tools_are_named() -> None:
    box = Box()
    use = ToolUse(id="call-1", name="look_up")
    box.handle_event(
        out.AgentResponseToolUseDone(**AGENT, response_id="r", item_id="i", tool_use=use), at_ms=1
    )
    assert box.content().events[0].marks == {
        "response_id": "r",
        "item_id": "i",
        "call_id": "call-1",
        "tool": "look_up",
    }


def test_it_is_bounded_and_counts_dropped_events() -> None:
    box = Box()
    for n in range(MAX_EVENTS + 30):
        box.handle_event(delta(n, f"item {n}"), at_ms=n)
    for n in range(MAX_STATES + 30):
        box.handle_state(AgentState.READY, process=n, at_ms=n)
    content = box.content()
    assert (len(content.events), content.forgotten_events) == (MAX_EVENTS, 30)
    assert content.events[-1].marks["item_id"] == f"item {MAX_EVENTS + 29}"
    assert (len(content.states), content.states[-1].process) == (MAX_STATES, MAX_STATES + 29)
    assert len(content.model_dump_json()) < 100_000


def test_a_second_record_of_an_end_replaces_the_first() -> None:
    box = Box()
    box.handle_exit(exit_record(is_restarted=True))
    box.handle_exit(exit_record(exit_reason=ExitReason.STOPPED))
    box.handle_exit(exit_record(ended_at_ms=99))
    assert [one.exit_reason for one in box.content().exits] == [
        ExitReason.STOPPED,
        ExitReason.CRASHED,
    ]


def test_findings_and_the_worst_lag_between_samples_are_kept() -> None:
    box = Box()
    box.handle_finding(
        Finding("memory", Action.WARN, ExitReason.OUT_OF_MEMORY, "it uses much"), at_ms=3
    )
    for lag_ms in (1.0, 90.0, 2.0):
        box.handle_lag(lag_ms)
    box.handle_sample(status(private_bytes=5, descriptors=9), at_ms=5_000)
    box.handle_sample(status(private_bytes=4), at_ms=10_000)
    content = box.content()
    assert [(one.sign, one.action, one.at_ms) for one in content.noticed] == [("memory", "warn", 3)]
    assert content.curve == (
        ResourceSample(at_ms=5_000, private_bytes=5, descriptors=9, loop_lag_ms=90.0),
        ResourceSample(at_ms=10_000, private_bytes=4),
    )


@given(st.lists(st.tuples(st.integers(1, 60_000), st.integers(0, 10**9)), max_size=600))
def test_a_curve_of_any_length_is_short_and_keeps_its_peak(steps: list[tuple[int, int]]) -> None:
    curve, at_ms = Curve(), 1_700_000_000_000
    for pause_ms, private_bytes in steps:
        at_ms += pause_ms
        curve.add(ResourceSample(at_ms=at_ms, private_bytes=private_bytes))
    samples = curve.samples
    assert len(samples) <= MAX_SAMPLES
    times = [sample.at_ms for sample in samples]
    assert times == sorted(set(times))
    if steps:
        assert times[-1] == at_ms
        peak = max(private_bytes for _, private_bytes in steps)
        assert max(sample.private_bytes or 0 for sample in samples) == peak


def test_a_day_is_recorded_in_even_steps() -> None:
    curve = Curve()
    for n in range(24 * 720):
        curve.add(ResourceSample(at_ms=n * FIRST_STEP_MS, private_bytes=n))
    samples = curve.samples
    assert MAX_SAMPLES // 2 <= len(samples) <= MAX_SAMPLES
    steps = {b.at_ms - a.at_ms for a, b in itertools.pairwise(samples[:-1])}
    assert len(steps) == 1
