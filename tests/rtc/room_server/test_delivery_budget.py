"""What the members of a room may make it send: a share for each, and the rest for who comes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtc.room_server.delivery_budget import (
    MEMBER_BURST,
    MEMBER_DELIVERIES_PER_S,
    ROOM_BURST,
    ROOM_DELIVERIES_PER_S,
    DeliveryBudget,
)


def _spend(budget: DeliveryBudget, number: int, cost: int, *, seconds: float) -> int:
    """What a member gets sent that asks for `cost` a hundred times a second."""
    steps = range(int(seconds * 100))
    return sum(cost for step in steps if budget.allow(number, cost, step / 100))


def test_a_member_that_floods_gets_what_the_room_has_and_no_more() -> None:
    budget = DeliveryBudget()
    per_s = ROOM_DELIVERIES_PER_S + MEMBER_DELIVERIES_PER_S
    assert _spend(budget, 1, 31, seconds=10) <= ROOM_BURST + MEMBER_BURST + 10 * per_s
    assert _spend(DeliveryBudget(), 1, 1, seconds=10) == 1000


@given(st.integers(2, 31), st.integers(1, 31))
def test_a_flood_of_others_takes_nobodys_share(flooding: int, cost: int) -> None:
    budget = DeliveryBudget()
    heard = 0
    for step in range(500):
        now_s = step / 100
        for number in range(1, 1 + flooding):
            budget.allow(number, cost, now_s)
        # One frame to all 31 others each second.
        if step % 100 == 0:
            heard += budget.allow(99, 31, now_s)
    assert heard == 5


def test_coming_and_going_is_counted_too() -> None:
    budget = DeliveryBudget()
    budget.charge(ROOM_BURST)
    assert sum(budget.allow(1, 1, 0.0) for _ in range(1000)) == MEMBER_BURST


def test_those_who_are_gone_are_forgotten() -> None:
    budget = DeliveryBudget()
    for number in range(100):
        budget.allow(number, 1, 0.0)
    budget.retain([98, 99, 100])
    assert set(budget._shares) == {98, 99}
