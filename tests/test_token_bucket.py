"""The token bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from utils import TokenBucket


def test_allows_a_burst_then_the_rate() -> None:
    limit = TokenBucket(10, 3)
    assert [limit.allow(0.0) for _ in range(4)] == [True, True, True, False]
    assert [limit.allow(0.1), limit.allow(0.1)] == [True, False]
    assert [limit.allow(60.0) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.floats(0, 0.5), max_size=200))
def test_never_allows_more_than_burst_and_rate_together(gaps_s: list[float]) -> None:
    limit = TokenBucket(20, 5)
    now_s = 0.0
    allowed = 0
    for gap_s in gaps_s:
        now_s += gap_s
        allowed += limit.allow(now_s)
    assert allowed <= 5 + 20 * now_s + 1e-6
