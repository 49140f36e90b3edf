"""The decision about each kind of trouble, row by row, and the pauses."""

from __future__ import annotations

import itertools
import random

import pytest

from realtime.lasting.retry import (
    Outage,
    RetryPolicy,
    Step,
    Trouble,
    backoff,
    decide,
    repeat_delay_s,
)

POLICY = RetryPolicy(budget_s=90, patience_s=4, patience_attempts=2, busy_delay_s=2)

FRESH = Outage(began_s=100, provider_began_s=100)
TRIED = Outage(began_s=100, provider_began_s=100, attempts=2)
WITH_OTHER = Outage(began_s=100, provider_began_s=100, has_other=True)
TRIED_WITH_OTHER = Outage(began_s=100, provider_began_s=100, attempts=2, has_other=True)

ROWS = [
    # what happened                                     alone            with another provider
    ("disconnected", True, Step.RETRY, Step.RETRY),
    ("unreachable", True, Step.RETRY, Step.RETRY),
    ("timeout", True, Step.RETRY, Step.RETRY),
    ("handshake_failed", True, Step.RETRY, Step.RETRY),
    ("handshake_failed", False, Step.FATAL, Step.FALLBACK),
    ("send_stalled", True, Step.RETRY, Step.RETRY),
    ("reply_stalled", True, Step.RETRY, Step.RETRY),
    ("malformed_burst", True, Step.RETRY, Step.RETRY),
    ("server_error", True, Step.RETRY, Step.RETRY),
    ("session_expired", False, Step.RETRY, Step.RETRY),
    ("idle", True, Step.RETRY, Step.RETRY),
    ("rate_limited", True, Step.RETRY, Step.FALLBACK),
    ("rate_limit_exceeded", True, Step.RETRY, Step.FALLBACK),
    ("invalid_api_key", False, Step.FATAL, Step.FALLBACK),
    ("insufficient_quota", False, Step.FATAL, Step.FALLBACK),
    ("model_not_found", False, Step.FATAL, Step.FALLBACK),
    ("invalid_settings", False, Step.FATAL, Step.FALLBACK),
    ("untrusted_certificate", False, Step.FATAL, Step.FALLBACK),
    ("never_seen_before", True, Step.RETRY, Step.RETRY),
    ("never_seen_before", False, Step.FATAL, Step.FALLBACK),
]


@pytest.mark.parametrize(("code", "is_retryable", "alone", "with_other"), ROWS)
def test_each_end_has_its_step(
    code: str, is_retryable: bool, alone: Step, with_other: Step
) -> None:
    trouble = Trouble(code, is_retryable=is_retryable)
    assert decide(trouble, FRESH, POLICY, now_s=101).step is alone
    assert decide(trouble, WITH_OTHER, POLICY, now_s=101).step is with_other


@pytest.mark.parametrize(
    "code", ["closed_1003", "closed_1008", "closed_4001", "policy_violation", "invalid_argument"]
)
def test_a_refusal_without_a_word_is_believed_when_it_comes_again(code: str) -> None:
    trouble = Trouble(code, is_retryable=False)
    assert decide(trouble, FRESH, POLICY, now_s=101).step is Step.RETRY
    assert decide(trouble, TRIED, POLICY, now_s=101).step is Step.FATAL
    assert decide(trouble, WITH_OTHER, POLICY, now_s=101).step is Step.FALLBACK
    assert decide(trouble, FRESH, POLICY, now_s=190).step is Step.FATAL


@pytest.mark.parametrize(
    ("code", "step"),
    [
        ("go_away", Step.ROTATE),
        ("malformed_event", Step.WAIT),
        ("invalid_value", Step.WAIT),
        ("server_error", Step.WAIT),
        ("rate_limit_exceeded", Step.WAIT),
    ],
)
def test_trouble_within_an_open_session_does_not_end_it(code: str, step: Step) -> None:
    trouble = Trouble(code, is_over=False, is_retryable=False)
    assert decide(trouble, FRESH, POLICY, now_s=100).step is step


@pytest.mark.parametrize(
    ("outage", "now_s", "step"),
    [
        (FRESH, 189.9, Step.RETRY),
        (FRESH, 190.0, Step.FATAL),
        (TRIED, 101, Step.RETRY),
        (WITH_OTHER, 103.9, Step.RETRY),
        (WITH_OTHER, 104.0, Step.FALLBACK),
        (TRIED_WITH_OTHER, 100.5, Step.FALLBACK),
        (WITH_OTHER, 190.0, Step.FATAL),
    ],
)
def test_patience_and_budget(outage: Outage, now_s: float, step: Step) -> None:
    assert decide(Trouble("disconnected"), outage, POLICY, now_s=now_s).step is step


def test_a_busy_provider_is_left_alone_for_a_while() -> None:
    assert decide(Trouble("rate_limited"), FRESH, POLICY, now_s=101).delay_s == 2


@pytest.mark.parametrize("code", ["invalid_value", "session_expired", "closed_1008"])
def test_a_refused_handle_is_stale(code: str) -> None:
    trouble = Trouble(code, is_retryable=False, had_handle=True)
    assert decide(trouble, FRESH, POLICY, now_s=101).step is Step.RETRY_FRESH
    lost = Trouble("unreachable", had_handle=True)
    assert decide(lost, FRESH, POLICY, now_s=101).step is Step.RETRY, "no word about the handle"
    assert decide(lost, TRIED, POLICY, now_s=101).step is Step.RETRY_FRESH


def test_pauses_begin_at_nothing_double_and_stay_below_the_cap() -> None:
    policy = RetryPolicy(first_delay_s=0.25, max_delay_s=2.0)
    pauses = list(itertools.islice(backoff(policy, random.Random(1)), 8))
    assert pauses[0] == 0
    ceilings = [0.25, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0]
    for pause, ceiling in zip(pauses[1:], ceilings, strict=True):
        assert ceiling / 2 <= pause <= ceiling
    others = list(itertools.islice(backoff(policy, random.Random(2)), 8))
    assert others[1:] != pauses[1:], "calls of one machine do not come back in step"


@pytest.mark.parametrize(
    ("reason", "failures", "delay_s"),
    [
        ("server_error", 1, 0.25),
        ("server_error", 2, 0.25),
        ("server_error", 3, None),
        ("rate_limit_exceeded", 1, 2.0),
        ("insufficient_quota", 1, None),
        ("content_filter", 1, None),
        (None, 1, None),
    ],
)
def test_a_reply_that_failed_is_asked_for_again_where_that_can_help(
    reason: str | None, failures: int, delay_s: float | None
) -> None:
    assert repeat_delay_s(reason, failures, POLICY) == delay_s
