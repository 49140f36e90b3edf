from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control.restart import RestartBudget, RestartPolicy


def test_delays_double_up_to_the_cap_until_the_budget_is_spent() -> None:
    budget = RestartBudget(RestartPolicy(first_s=1, cap_s=3, budget=4, window_s=100))
    assert [budget.next_delay_s(10.0) for _ in range(5)] == [1, 2, 3, 3, None]


def test_what_is_long_ago_is_forgiven() -> None:
    budget = RestartBudget(RestartPolicy(first_s=1, cap_s=3, budget=1, window_s=100))
    assert budget.next_delay_s(0.0) == 1
    assert budget.next_delay_s(99.9) is None
    assert budget.next_delay_s(100.0) == 1


@given(st.lists(st.floats(min_value=0, max_value=1000), max_size=60).map(sorted))
def test_never_more_restarts_in_a_window_than_the_budget(times_s: list[float]) -> None:
    policy = RestartPolicy(budget=3, window_s=50)
    budget = RestartBudget(policy)
    granted = [at for at in times_s if budget.next_delay_s(at) is not None]
    for at in granted:
        assert sum(at - policy.window_s < other <= at for other in granted) <= policy.budget
