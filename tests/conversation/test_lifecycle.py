"""Transition table of an agent in its process."""

from __future__ import annotations

import pytest

from conversation.lifecycle import TRANSITIONS, AgentState, IllegalTransitionError, Lifecycle

WHOLE_LIFE = [
    AgentState.JOINING,
    AgentState.CONNECTING,
    AgentState.READY,
    AgentState.RUNNING,
    AgentState.READY,
    AgentState.RUNNING,
    AgentState.STOPPING,
    AgentState.EXITED,
]


def test_each_step_of_a_whole_life_is_published() -> None:
    steps: list[tuple[AgentState, AgentState]] = []
    life = Lifecycle(lambda old, new: steps.append((old, new)))
    for state in WHOLE_LIFE:
        assert life.advance(state)
    assert steps == list(zip([AgentState.STARTING, *WHOLE_LIFE], WHOLE_LIFE, strict=False))


@pytest.mark.parametrize("start", list(TRANSITIONS))
def test_a_step_outside_the_table_raises_and_changes_nothing(start: AgentState) -> None:
    for target in set(AgentState) - TRANSITIONS[start] - {start}:
        life = Lifecycle()
        life._state = start
        with pytest.raises(IllegalTransitionError):
            life.advance(target)
        assert life.state is start


def test_states_of_the_supervisors_view_are_no_states_of_a_process() -> None:
    assert set(AgentState) - set(TRANSITIONS) == {AgentState.BACKOFF, AgentState.FATAL}
    assert set().union(*TRANSITIONS.values()) <= set(TRANSITIONS)


def test_staying_is_no_step() -> None:
    life = Lifecycle(lambda _old, _new: pytest.fail("nothing changed"))
    assert not life.advance(AgentState.STARTING)


def test_an_agent_can_end_from_every_live_state() -> None:
    for state in WHOLE_LIFE[:5]:
        assert AgentState.STOPPING in TRANSITIONS[state]
