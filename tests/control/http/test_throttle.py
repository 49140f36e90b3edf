from __future__ import annotations

from control.http.throttle import MAX_REMEMBERED, MIN_BURST, OpenRequests, Throttle


def test_a_burst_then_the_rate_and_each_for_itself() -> None:
    throttle = Throttle(2.0)
    assert [throttle.wait_s("a", now_s=0) for _ in range(MIN_BURST)] == [0.0] * MIN_BURST
    assert throttle.wait_s("a", now_s=0) == 0.5
    assert throttle.wait_s("b", now_s=0) == 0.0
    assert throttle.wait_s("a", now_s=0.5) == 0.0
    assert throttle.wait_s("a", now_s=0.5) > 0


def test_a_debt_has_to_be_waited_out_but_is_no_life_sentence() -> None:
    throttle = Throttle(1.0)
    for _ in range(100):
        throttle.charge("a", 20)
    wait_s = throttle.wait_s("a", now_s=0)
    assert wait_s == 1 + MIN_BURST
    assert throttle.wait_s("a", now_s=wait_s) == 0.0


def test_the_table_is_bounded_and_forgets_the_client_idle_longest() -> None:
    throttle = Throttle(1.0)
    for _ in range(MIN_BURST):
        throttle.wait_s("loud", now_s=0)
    for number in range(MAX_REMEMBERED - 1):
        throttle.wait_s(f"other {number}", now_s=0)
    assert throttle.wait_s("loud", now_s=0) > 0
    throttle.wait_s("one more", now_s=0)
    assert len(throttle) == MAX_REMEMBERED
    assert throttle.wait_s("loud", now_s=0) > 0


def test_open_requests_are_counted_each_and_together() -> None:
    requests = OpenRequests(limit=3, limit_each=2)
    requests.enter("a")
    requests.enter("a")
    assert requests.is_enough("a")
    assert not requests.is_enough("b")
    requests.enter("b")
    assert requests.is_full
    requests.leave("a")
    assert not requests.is_full
    assert not requests.is_enough("a")
