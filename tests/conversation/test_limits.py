from __future__ import annotations

from conversation.lifecycle import ExitReason
from conversation.limits import CallLimits, LimitNear, LimitReached, LimitWatch
from conversation.prices import parse_prices


def test_without_limits_nothing_is_ever_due() -> None:
    watch = LimitWatch(CallLimits(), now_s=0)
    watch.note_reply(10**9, 10**9, {})
    assert watch.observe(now_s=10**6, is_quiet=True) == []


def test_the_longest_call_is_warned_of_once_and_then_ended() -> None:
    watch = LimitWatch(CallLimits(), 600, now_s=5)
    assert watch.observe(now_s=574, is_quiet=False) == []
    assert watch.observe(now_s=576, is_quiet=False) == [LimitNear(ExitReason.MAX_DURATION, 29)]
    assert watch.observe(now_s=577, is_quiet=False) == []
    assert watch.observe(now_s=605, is_quiet=False) == [LimitReached(ExitReason.MAX_DURATION)]


def test_of_a_short_limit_the_second_half_is_the_warning() -> None:
    watch = LimitWatch(CallLimits(), 10, now_s=0)
    assert watch.observe(now_s=4.9, is_quiet=True) == []
    assert watch.observe(now_s=5, is_quiet=True) == [LimitNear(ExitReason.MAX_DURATION, 5)]


def test_only_silence_of_both_sides_is_idle() -> None:
    watch = LimitWatch(CallLimits(idle_timeout_s=30), now_s=0)
    assert watch.observe(now_s=15, is_quiet=True) == []
    # A long reply: the user is not expected to speak meanwhile.
    assert watch.observe(now_s=100, is_quiet=False) == []
    assert watch.observe(now_s=106, is_quiet=True) == [LimitNear(ExitReason.IDLE, 9)]
    watch.note_user()
    assert watch.observe(now_s=110, is_quiet=True) == []
    assert watch.observe(now_s=127, is_quiet=True) == [LimitNear(ExitReason.IDLE, 9)]
    assert watch.observe(now_s=136, is_quiet=True) == [LimitReached(ExitReason.IDLE)]


def test_tokens_of_earlier_processes_count() -> None:
    watch = LimitWatch(CallLimits(max_tokens=1_000, spent_tokens=700), now_s=0)
    assert watch.observe(now_s=1, is_quiet=True) == []
    watch.note_reply(60, 40, {})
    assert watch.observe(now_s=2, is_quiet=True) == [LimitNear(ExitReason.BUDGET_SPENT)]
    watch.note_reply(100, 100, {})
    assert watch.observe(now_s=3, is_quiet=True) == [LimitReached(ExitReason.BUDGET_SPENT)]
    assert watch.tokens == 1_000


def test_cost_counts_by_the_table() -> None:
    prices = parse_prices("m=input:1,output:10")
    watch = LimitWatch(CallLimits(max_cost=0.02, prices=prices, spent_cost=0.005), now_s=0)
    watch.note_reply(1_000, 1_000, {})
    assert round(watch.cost, 6) == 0.016
    assert watch.observe(now_s=1, is_quiet=True) == [LimitNear(ExitReason.BUDGET_SPENT)]
    watch.note_reply(4_000, 0, {})
    assert watch.observe(now_s=2, is_quiet=True) == [LimitReached(ExitReason.BUDGET_SPENT)]
