"""What to do about trouble with a provider: one pure decision, and how long to wait before it.

Every end and every error is a `Trouble` under a code. `decide` looks the code up in one table and
answers with the step to take; what was tried so far in this outage is an argument, and so is time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """What to do. WAIT: nothing, the session goes on. FATAL: nothing helps any more."""

    WAIT = "wait"
    ROTATE = "rotate"
    RETRY = "retry"
    RETRY_FRESH = "retry_fresh"
    FALLBACK = "fallback"
    FATAL = "fatal"


class Cause(StrEnum):
    """What kind of trouble it is: kinds differ in what helps."""

    LOST = "lost"
    EXPIRED = "expired"
    BUSY = "busy"
    REFUSED = "refused"
    LEAVING = "leaving"
    HICCUP = "hiccup"


CAUSES: dict[str, Cause] = {
    # The way to the provider broke: another attempt may find it whole again.
    "disconnected": Cause.LOST,
    "unreachable": Cause.LOST,
    "proxy_refused": Cause.LOST,
    "timeout": Cause.LOST,
    "handshake_failed": Cause.LOST,
    "send_stalled": Cause.LOST,
    "reply_stalled": Cause.LOST,
    "malformed_burst": Cause.LOST,
    "protocol_violation": Cause.LOST,
    "no_api_key": Cause.LOST,
    "server_error": Cause.LOST,
    "internal": Cause.LOST,
    # The session is used up, the provider is well: a fresh one will do, at once.
    "session_expired": Cause.EXPIRED,
    "deadline_expired": Cause.EXPIRED,
    "idle": Cause.EXPIRED,
    "stale_resumption_handle": Cause.EXPIRED,
    # Asking at once again makes it worse.
    "rate_limited": Cause.BUSY,
    "rate_limit_exceeded": Cause.BUSY,
    "overloaded": Cause.BUSY,
    # The answer will be the same every time.
    "invalid_api_key": Cause.REFUSED,
    "insufficient_quota": Cause.REFUSED,
    "billing_hard_limit_reached": Cause.REFUSED,
    "account_deactivated": Cause.REFUSED,
    "model_not_found": Cause.REFUSED,
    "beta_api_shape_disabled": Cause.REFUSED,
    "invalid_settings": Cause.REFUSED,
    "invalid_uri": Cause.REFUSED,
    "untrusted_certificate": Cause.REFUSED,
    "tls_failed": Cause.REFUSED,
    "redirected": Cause.REFUSED,
    "invalid_proxy": Cause.REFUSED,
    # Still open.
    "go_away": Cause.LEAVING,
    "malformed_event": Cause.HICCUP,
}
"""Cause by code. A code that is not here is judged by whether it is said to be retryable."""

_MERE_CLOSE_CODES = ("closed_", "invalid_argument", "policy_violation")
"""How codes begin that stand for a close code by which servers refuse, and no words with it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that went wrong.

    is_over: the session is gone, or never came to be; otherwise it is still open
    is_retryable: what the provider's adapter thinks of a code that `CAUSES` does not know
    had_handle: it happened when resuming an earlier session
    """

    code: str
    is_over: bool = True
    is_retryable: bool = True
    had_handle: bool = False

    @property
    def cause(self) -> Cause:
        """The kind of trouble."""
        if (known := CAUSES.get(self.code)) is not None and self._agrees_with(known):
            return known
        if not self.is_over:
            return Cause.HICCUP
        return Cause.LOST if self.is_retryable else Cause.REFUSED

    @property
    def is_refusal(self) -> bool:
        """Whether asking this provider again is useless."""
        return self.cause is Cause.REFUSED

    @property
    def is_unexplained(self) -> bool:
        """Whether the socket was closed as if we were refused, and no word says what is refused."""
        return self.is_refusal and self.code.startswith(_MERE_CLOSE_CODES)

    def _agrees_with(self, known: Cause) -> bool:
        """A handshake refused for good is no lost line, whatever it is called."""
        return self.is_retryable or known is not Cause.LOST


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of one outage.

    budget_s: after this long without a stable session nothing helps any more
    patience_s: after this long a fallback takes over, if there is one
    patience_attempts: or after this many failures in a row
    first_delay_s, max_delay_s, busy_delay_s: of the pauses between attempts; `busy` is the least
        pause when the provider asked for fewer requests
    """

    budget_s: float = 90.0
    patience_s: float = 4.0
    patience_attempts: int = 2
    first_delay_s: float = 0.25
    max_delay_s: float = 5.0
    busy_delay_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Outage:
    """What was tried since the last stable session.

    provider_began_s: since when with the present provider
    attempts: failed ones in a row with the present provider
    has_other: there is another provider that did not refuse us
    """

    began_s: float
    provider_began_s: float
    attempts: int = 0
    has_other: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """A step, and the least pause before it."""

    step: Step
    delay_s: float = 0.0


def decide(trouble: Trouble, outage: Outage, policy: RetryPolicy, *, now_s: float) -> Decision:
    """The step that `trouble` calls for."""
    cause = trouble.cause
    if not trouble.is_over:
        return Decision(Step.ROTATE if cause is Cause.LEAVING else Step.WAIT)
    is_handle_doubtful = cause is not Cause.LOST or outage.attempts >= policy.patience_attempts
    if trouble.had_handle and is_handle_doubtful:
        return Decision(Step.RETRY_FRESH)
    if now_s - outage.began_s >= policy.budget_s:
        return Decision(Step.FATAL)
    if trouble.is_unexplained and not outage.attempts and not outage.has_other:
        # A session that had worked: whatever it was, a new one need not meet it again.
        return Decision(Step.RETRY)
    if cause is Cause.REFUSED:
        return Decision(Step.FALLBACK if outage.has_other else Step.FATAL)
    if cause is Cause.BUSY:
        return Decision(Step.FALLBACK) if outage.has_other else _busy(policy)
    is_patience_spent = (
        outage.attempts >= policy.patience_attempts
        or now_s - outage.provider_began_s >= policy.patience_s
    )
    if outage.has_other and is_patience_spent:
        return Decision(Step.FALLBACK)
    return Decision(Step.RETRY)


def _busy(policy: RetryPolicy) -> Decision:
    return Decision(Step.RETRY, policy.busy_delay_s)


MAX_REPEATS = 2


def repeat_delay_s(reason: str | None, failures: int, policy: RetryPolicy) -> float | None:
    """How long to wait before a reply that failed is asked for again; None: never.

    failures: replies that failed in a row, this one included
    """
    cause = CAUSES.get(reason or "")
    if failures > MAX_REPEATS or cause not in (Cause.LOST, Cause.BUSY):
        return None
    return policy.busy_delay_s if cause is Cause.BUSY else policy.first_delay_s


def backoff(policy: RetryPolicy, rng: random.Random) -> Iterator[float]:
    """Pauses before each attempt in seconds: none, then doubling up to the cap.

    Each is drawn from its upper half, so that the calls of a machine do not come back in step.
    """
    yield 0.0
    ceiling_s = policy.first_delay_s
    while True:
        yield ceiling_s * rng.uniform(0.5, 1.0)
        ceiling_s = min(policy.max_delay_s, ceiling_s * 2)
