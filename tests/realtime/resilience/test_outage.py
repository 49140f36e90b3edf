"""Which provider is asked next."""

from __future__ import annotations

import random

from realtime.model import RealtimeModelConfig
from realtime.openai.model import OpenAIRealtimeModel
from realtime.resilience.outage import STABLE_S, OutageWatch
from realtime.resilience.provider_session import ModelSource
from realtime.resilience.retry_policy import Failure, RecoveryAction, RetryPolicy

CONFIG = RealtimeModelConfig(model="m", base_uri="ws://127.0.0.1:9")
FIRST, SECOND = (ModelSource(name, OpenAIRealtimeModel, CONFIG) for name in ("first", "second"))
POLICY = RetryPolicy(budget_s=60, patience_s=4, patience_attempts=2)


def watch(*sources: ModelSource) -> OutageWatch:
    return OutageWatch(sources, POLICY, random.Random(1))


def test_the_second_provider_takes_over_and_the_first_gets_another_chance() -> None:
    outages = watch(FIRST, SECOND)
    outages.handle_loss(opened_s=0, now_s=100)
    assert outages.next_step(Failure("disconnected"), now_s=100).step is RecoveryAction.RETRY
    for _ in range(POLICY.patience_attempts):
        outages.handle_failure()
    decision = outages.next_step(Failure("unreachable"), now_s=101)
    assert (decision.step, decision.delay_s) == (RecoveryAction.FALLBACK, 0), "nobody waits for it"
    assert outages.source is SECOND
    outages.handle_loss(opened_s=101, now_s=101 + STABLE_S)
    assert outages.source is FIRST


def test_two_that_refuse_are_the_end() -> None:
    outages = watch(FIRST, SECOND)
    outages.handle_loss(opened_s=0, now_s=100)
    assert outages.next_step(Failure("invalid_api_key", is_retryable=False), now_s=100).step is (
        RecoveryAction.FALLBACK
    )
    assert outages.next_step(Failure("insufficient_quota", is_retryable=False), now_s=100).step is (
        RecoveryAction.FATAL
    )


def test_sessions_that_hardly_live_are_one_outage() -> None:
    outages = watch(FIRST)
    outages.handle_loss(opened_s=0, now_s=100)
    delays, now_s = [], 100.0
    step = RecoveryAction.RETRY
    while step is RecoveryAction.RETRY:
        decision = outages.next_step(Failure("disconnected"), now_s=now_s)
        step, now_s = decision.step, now_s + decision.delay_s + 1
        delays.append(decision.delay_s)
        outages.handle_loss(opened_s=now_s - 1, now_s=now_s)
    assert step is RecoveryAction.FATAL
    assert now_s >= 100 + POLICY.budget_s
    assert delays[0] == 0
    assert max(delays) <= POLICY.max_delay_s
    assert len(delays) < 40, "it does not hammer"
