from __future__ import annotations

import pytest

from control.keys.access import KeyLimits
from control.keys.limits import DAY_MS, MINUTE_MS, Allowance, KeyLimitError, KeyUse

NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def refusal(use: KeyUse, limits: KeyLimits, *, now_ms: int) -> tuple[str, float, int]:
    with pytest.raises(KeyLimitError) as caught:
        use.admit("shop", "another", limits, now_ms=now_ms)
    assert caught.value.limit in str(caught.value)
    assert "another" not in use.live
    return caught.value.limit, caught.value.used, caught.value.retry_after_s


def test_agents_at_once() -> None:
    use, limits = KeyUse(), KeyLimits(agents=2)
    for name in ("a", "b"):
        assert use.admit("shop", name, limits, now_ms=NOON_MS) == Allowance()
    assert refusal(use, limits, now_ms=NOON_MS) == ("agents", 2, 5)
    use.end("a", now_ms=NOON_MS)
    use.give_up("b")
    use.give_up("b")
    use.admit("shop", "c", limits, now_ms=NOON_MS)
    assert (use.started, use.refused, list(use.live)) == (3, 1, ["c"])
    assert refusal(use, KeyLimits(agents=0), now_ms=NOON_MS)[0] == "agents"


def test_starts_per_minute_say_when_the_next_one_may_come() -> None:
    use, limits = KeyUse(), KeyLimits(starts_per_minute=2)
    use.admit("shop", "a", limits, now_ms=NOON_MS)
    use.admit("shop", "b", limits, now_ms=NOON_MS + 20_000)
    assert refusal(use, limits, now_ms=NOON_MS + 30_000) == ("starts_per_minute", 2, 30)
    use.admit("shop", "c", limits, now_ms=NOON_MS + MINUTE_MS)
    assert refusal(use, limits, now_ms=NOON_MS + MINUTE_MS)[2] == 20
    # A clock that is set back refuses nothing for longer than that.
    use.admit("shop", "d", limits, now_ms=NOON_MS - DAY_MS)


def test_minutes_of_a_day_are_those_of_all_calls_and_limit_the_next() -> None:
    use, limits = KeyUse(), KeyLimits(minutes_per_day=30)
    use.admit("shop", "a", limits, now_ms=NOON_MS)
    use.end("a", now_ms=NOON_MS + 10 * MINUTE_MS)
    allowance = use.admit("shop", "b", limits, now_ms=NOON_MS + 10 * MINUTE_MS)
    assert allowance.duration_s == 20 * 60
    late_ms = NOON_MS + 30 * MINUTE_MS
    assert use.minutes(late_ms) == 30
    limit, used, wait_s = refusal(use, limits, now_ms=late_ms)
    assert (limit, used) == ("minutes_per_day", 30)
    assert late_ms + wait_s * 1000 == 20_001 * DAY_MS
    # At midnight the minutes of a call that goes on begin anew.
    morning_ms = 20_001 * DAY_MS + 5 * MINUTE_MS
    assert use.minutes(morning_ms) == 5
    use.end("b", now_ms=morning_ms)
    assert use.minutes(morning_ms) == 5


def test_cost_of_a_day() -> None:
    use, limits = KeyUse(), KeyLimits(cost_per_day=2.0)
    use.admit("shop", "a", limits, now_ms=NOON_MS)
    use.handle_cost("a", 1.5)
    use.handle_cost("a", 1.0)  # of a process that was lost
    use.handle_cost("unknown", 9.0)
    assert use.admit("shop", "b", limits, now_ms=NOON_MS).cost == 0.5
    use.end("a", now_ms=NOON_MS)
    use.handle_cost("b", 0.5)
    assert refusal(use, limits, now_ms=NOON_MS)[:2] == ("cost_per_day", 2.0)
    use.end("b", now_ms=NOON_MS)
    assert use.admit("shop", "c", limits, now_ms=NOON_MS + DAY_MS).cost == 2.0


def test_calls_that_the_store_has_are_counted_by_their_day() -> None:
    use, midnight_ms = KeyUse(), 20_000 * DAY_MS
    values = {"cost": 1.0, "now_ms": NOON_MS}
    use.count(began_ms=midnight_ms - MINUTE_MS, ended_ms=midnight_ms + MINUTE_MS, **values)  # type: ignore[arg-type]
    use.count(began_ms=midnight_ms - MINUTE_MS, ended_ms=midnight_ms - 1, **values)  # type: ignore[arg-type]
    assert (use.minutes(NOON_MS), use.cost(NOON_MS)) == (1, 1.0)
