"""The decision about each kind of trouble, row by row, and the pauses."""

from __future__ import annotations

import itertools
import random

import pytest

from realtime.resilience.retry_policy import (
    Failure,
    Outage,
    RecoveryAction,
    RetryPolicy,
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
    ("disconnected", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("unreachable", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("timeout", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("handshake_failed", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("handshake_failed", False, RecoveryAction.FATAL, RecoveryAction.FALLBACK),
    ("send_stalled", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("reply_stalled", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("malformed_burst", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("server_error", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("session_expired", False, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("idle", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("rate_limited", True, RecoveryAction.RETRY, RecoveryAction.FALLBACK),
    ("rate_limit_exceeded", True, RecoveryAction.RETRY, RecoveryAction.FALLBACK),
    ("invalid_api_key", False, RecoveryAction.FATAL, RecoveryAction.FALLBACK),
    ("insufficient_quota", False, RecoveryAction.FATAL, RecoveryAction.FALLBACK),
    ("model_not_found", False, RecoveryAction.FATAL, RecoveryAction.FALLBACK),
    ("invalid_settings", False, RecoveryAction.FATAL, RecoveryAction.FALLBACK),
    ("untrusted_certificate", False, RecoveryAction.FATAL, RecoveryAction.FALLBACK),
    ("never_seen_before", True, RecoveryAction.RETRY, RecoveryAction.RETRY),
    ("never_seen_before", False, RecoveryAction.FATAL, RecoveryAction.FALLBACK),
]


@pytest.mark.parametrize(("code", "is_retryable", "alone", "with_other"), ROWS)
def test_each_end_has_its_step(
    code: str, is_retryable: bool, alone: RecoveryAction, with_other: RecoveryAction
) -> None:
    failure = Failure(code, is_retryable=is_retryable)
    assert decide(failure, FRESH, POLICY, now_s=101).step is alone
    assert decide(failure, WITH_OTHER, POLICY, now_s=101).step is with_other


@pytest.mark.parametrize(
    "code", ["closed_1003", "closed_1008", "closed_4001", "policy_violation", "invalid_argument"]
)
def test_a_refusal_without_a_word_is_believed_when_it_comes_again(code: str) -> None:
    failure = Failure(code, is_retryable=False)
    assert decide(failure, FRESH, POLICY, now_s=101).step is RecoveryAction.RETRY
    assert decide(failure, TRIED, POLICY, now_s=101).step is RecoveryAction.FATAL
    assert decide(failure, WITH_OTHER, POLICY, now_s=101).step is RecoveryAction.FALLBACK
    assert decide(failure, FRESH, POLICY, now_s=190).step is RecoveryAction.FATAL


@pytest.mark.parametrize(
    ("code", "step"),
    [
        ("go_away", RecoveryAction.ROTATE),
        ("malformed_event", RecoveryAction.WAIT),
        ("invalid_value", RecoveryAction.WAIT),
        ("server_error", RecoveryAction.WAIT),
        ("rate_limit_exceeded", RecoveryAction.WAIT),
    ],
)
def test_trouble_within_an_open_session_does_not_end_it(code: str, step: RecoveryAction) -> None:
    failure = Failure(code, is_over=False, is_retryable=False)
    assert decide(failure, FRESH, POLICY, now_s=100).step is step


@pytest.mark.parametrize(
    ("outage", "now_s", "step"),
    [
        (FRESH, 189.9, RecoveryAction.RETRY),
        (FRESH, 190.0, RecoveryAction.FATAL),
        (TRIED, 101, RecoveryAction.RETRY),
        (WITH_OTHER, 103.9, RecoveryAction.RETRY),
        (WITH_OTHER, 104.0, RecoveryAction.FALLBACK),
        (TRIED_WITH_OTHER, 100.5, RecoveryAction.FALLBACK),
        (WITH_OTHER, 190.0, RecoveryAction.FATAL),
    ],
)
def test_patience_and_budget(outage: Outage, now_s: float, step: RecoveryAction) -> None:
    assert decide(Failure("disconnected"), outage, POLICY, now_s=now_s).step is step


@pytest.mark.parametrize(
    ("attempts", "has_other", "step"),
    [
        (2, False, RecoveryAction.RETRY),
        (3, False, RecoveryAction.FATAL),
        (3, True, RecoveryAction.FALLBACK),
    ],
)
def test_attempts_may_be_limited(attempts: int, has_other: bool, step: RecoveryAction) -> None:
    policy = RetryPolicy(max_attempts=3, patience_attempts=9, patience_s=60)
    outage = Outage(0, 0, attempts=attempts, has_other=has_other)
    assert decide(Failure("timeout"), outage, policy, now_s=1).step is step


def test_a_busy_provider_is_left_alone_for_a_while() -> None:
    assert decide(Failure("rate_limited"), FRESH, POLICY, now_s=101).delay_s == 2


@pytest.mark.parametrize("code", ["invalid_value", "session_expired", "closed_1008"])
def test_a_refused_handle_is_stale(code: str) -> None:
    failure = Failure(code, is_retryable=False, had_handle=True)
    assert decide(failure, FRESH, POLICY, now_s=101).step is RecoveryAction.RETRY_FRESH
    lost = Failure("unreachable", had_handle=True)
    assert decide(lost, FRESH, POLICY, now_s=101).step is RecoveryAction.RETRY, (
        "no word about the handle"
    )
    assert decide(lost, TRIED, POLICY, now_s=101).step is RecoveryAction.RETRY_FRESH


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
