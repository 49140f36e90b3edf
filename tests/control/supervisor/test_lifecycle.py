"""Transition table of the supervisor's view, and its only setter."""

from __future__ import annotations

import itertools

import pytest

from control.supervisor.lifecycle import SUPERVISED_TRANSITIONS, SupervisedLifecycle
from conversation.lifecycle import LIVE_STATES, TRANSITIONS, AgentState, IllegalTransitionError

LOST = {AgentState.EXITED, AgentState.BACKOFF, AgentState.FATAL}
PAIRS = [(old, new) for old, new in itertools.product(AgentState, AgentState) if old is not new]

Published = list[tuple[AgentState, int]]


def lifecycle_in(state: AgentState, published: Published) -> SupervisedLifecycle:
    """One that came to `state` by steps of the table."""
    found = SupervisedLifecycle("demo", lambda state, at_ms: published.append((state, at_ms)))
    paths = {AgentState.STARTING: [AgentState.STARTING]}
    waiting = [AgentState.STARTING]
    while state not in paths:
        old = waiting.pop(0)
        for new in SUPERVISED_TRANSITIONS[old]:
            if new not in paths:
                paths[new] = [*paths[old], new]
                waiting.append(new)
    for step in paths[state]:
        found.enter(step, at_ms=0)
    published.clear()
    return found


def test_every_state_has_a_row() -> None:
    assert set(SUPERVISED_TRANSITIONS) == set(AgentState)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_only_steps_of_the_table_are_taken_and_published(old: AgentState, new: AgentState) -> None:
    published: Published = []
    lifecycle = lifecycle_in(old, published)
    if new in SUPERVISED_TRANSITIONS[old]:
        lifecycle.enter(new, at_ms=7)
        assert (lifecycle.state, published) == (new, [(new, 7)])
    else:
        with pytest.raises(IllegalTransitionError):
            lifecycle.enter(new, at_ms=7)
        assert (lifecycle.state, published) == (old, [])


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_process_can_report_its_own_steps_only(old: AgentState, new: AgentState) -> None:
    if old not in LIVE_STATES or new is AgentState.EXITED:
        return
    published: Published = []
    lifecycle = lifecycle_in(old, published)
    if new in TRANSITIONS[old]:
        lifecycle.follow(new, at_ms=7)
        assert published == [(new, 7)]
    else:
        with pytest.raises(IllegalTransitionError):
            lifecycle.follow(new, at_ms=7)
        assert (lifecycle.state, published) == (old, [])


def test_a_process_that_reports_its_exit_still_holds_its_channel() -> None:
    published: Published = []
    lifecycle = lifecycle_in(AgentState.STOPPING, published)
    lifecycle.follow(AgentState.EXITED, at_ms=7)
    assert (lifecycle.state, lifecycle.has_process) == (AgentState.STOPPING, True)
    lifecycle.enter(AgentState.EXITED, at_ms=8)
    assert not lifecycle.has_process


@pytest.mark.parametrize("state", sorted(LIVE_STATES))
def test_a_process_can_be_lost_in_every_state(state: AgentState) -> None:
    assert SUPERVISED_TRANSITIONS[state] >= LOST


def test_a_call_that_is_over_stays_over() -> None:
    assert not SUPERVISED_TRANSITIONS[AgentState.EXITED]
    assert not SUPERVISED_TRANSITIONS[AgentState.FATAL]
    assert SUPERVISED_TRANSITIONS[AgentState.BACKOFF] == {AgentState.STARTING, AgentState.EXITED}
