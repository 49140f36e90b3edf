from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.supervisor.restart import EndedRun, RestartBudget, RestartPolicy, judge
from conversation.lifecycle import ExitReason


def test_delays_double_up_to_the_cap_until_the_budget_is_spent() -> None:
    budget = RestartBudget(RestartPolicy(first_s=1, cap_s=3, budget=4, window_s=100))
    assert [budget.next_delay_s(10.0) for _ in range(5)] == [1, 2, 3, 3, None]


def test_what_is_long_ago_is_forgiven() -> None:
    budget = RestartBudget(RestartPolicy(first_s=1, cap_s=3, budget=1, window_s=100))
    assert budget.next_delay_s(0.0) == 1
    assert budget.next_delay_s(99.9) is None
    assert budget.next_delay_s(100.0) == 1


@given(st.lists(st.integers(0, 1000), max_size=60).map(sorted))
def test_never_more_restarts_in_a_window_than_the_budget(times_s: list[int]) -> None:
    policy = RestartPolicy(budget=3, window_s=50)
    budget = RestartBudget(policy)
    granted = [at for at in times_s if budget.next_delay_s(at) is not None]
    for at in granted:
        assert sum(at - policy.window_s < other <= at for other in granted) <= policy.budget


CRASH = EndedRun(ExitReason.CRASHED, has_been_ready=True)
POLICY = RestartPolicy(first_s=1, cap_s=3, budget=3, window_s=100, immediate=1)


@pytest.mark.parametrize(
    ("run", "is_restarted", "is_fatal"),
    [
        (CRASH, True, False),
        (replace(CRASH, exit_reason=ExitReason.UNRESPONSIVE), True, False),
        (replace(CRASH, exit_reason=ExitReason.UNHEALTHY), True, False),
        (replace(CRASH, exit_reason=ExitReason.OUT_OF_MEMORY), True, False),
        (replace(CRASH, exit_reason=ExitReason.START_FAILED), True, False),
        (replace(CRASH, exit_reason=ExitReason.START_FAILED, is_retryable=False), False, True),
        (replace(CRASH, has_been_ready=False), False, False),
        (replace(CRASH, is_stop_requested=True), False, False),
        (replace(CRASH, was_saying_goodbye=True), False, False),
        (replace(CRASH, exit_reason=ExitReason.USER_LEFT), False, False),
        (replace(CRASH, exit_reason=ExitReason.PROVIDER_FAILED), False, False),
        (replace(CRASH, exit_reason=ExitReason.MAX_DURATION), False, False),
    ],
)
def test_what_follows_an_end(run: EndedRun, is_restarted: bool, is_fatal: bool) -> None:
    verdict = judge(run, RestartBudget(POLICY), now_s=0.0)
    assert (verdict.delay_s is not None, verdict.fatal is not None) == (is_restarted, is_fatal)


def test_the_first_restart_is_immediate_and_the_last_is_followed_by_none() -> None:
    budget = RestartBudget(POLICY)
    verdicts = [judge(CRASH, budget, now_s=at) for at in (0.0, 1.0, 2.0, 3.0)]
    assert [verdict.delay_s for verdict in verdicts] == [0.0, 1.0, 2.0, None]
    assert verdicts[-1].fatal == "it ended 4 times within 100 s"
