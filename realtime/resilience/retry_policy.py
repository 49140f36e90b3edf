"""Recovery from a provider's failure: one pure decision, and the delay before it.

Every end and every error is a `Failure` under a code. `decide` looks the code up in one table and
returns the action to take; the attempts of this outage are an argument, and so is time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class RecoveryAction(StrEnum):
    """The action to take. WAIT: none, the session goes on. FATAL: no retry can help."""

    WAIT = "wait"
    ROTATE = "rotate"
    RETRY = "retry"
    RETRY_FRESH = "retry_fresh"
    FALLBACK = "fallback"
    FATAL = "fatal"


class FailureKind(StrEnum):
    """The kind of a failure: kinds differ in the action that helps."""

    LOST = "lost"
    EXPIRED = "expired"
    BUSY = "busy"
    REFUSED = "refused"
    LEAVING = "leaving"
    HICCUP = "hiccup"


CAUSES: dict[str, FailureKind] = {
    # The way to the provider broke: another attempt may find it whole again.
    "disconnected": FailureKind.LOST,
    "unreachable": FailureKind.LOST,
    "proxy_refused": FailureKind.LOST,
    "timeout": FailureKind.LOST,
    "handshake_failed": FailureKind.LOST,
    "send_stalled": FailureKind.LOST,
    "reply_stalled": FailureKind.LOST,
    "malformed_burst": FailureKind.LOST,
    "protocol_violation": FailureKind.LOST,
    "no_api_key": FailureKind.LOST,
    "server_error": FailureKind.LOST,
    "internal": FailureKind.LOST,
    # The session is used up, the provider is well: a fresh one will do, at once.
    "session_expired": FailureKind.EXPIRED,
    "deadline_expired": FailureKind.EXPIRED,
    "idle": FailureKind.EXPIRED,
    "stale_resumption_handle": FailureKind.EXPIRED,
    # Asking at once again makes it worse.
    "rate_limited": FailureKind.BUSY,
    "rate_limit_exceeded": FailureKind.BUSY,
    "overloaded": FailureKind.BUSY,
    # The answer will be the same every time.
    "invalid_api_key": FailureKind.REFUSED,
    "insufficient_quota": FailureKind.REFUSED,
    "billing_hard_limit_reached": FailureKind.REFUSED,
    "account_deactivated": FailureKind.REFUSED,
    "model_not_found": FailureKind.REFUSED,
    "beta_api_shape_disabled": FailureKind.REFUSED,
    "invalid_settings": FailureKind.REFUSED,
    "invalid_uri": FailureKind.REFUSED,
    "untrusted_certificate": FailureKind.REFUSED,
    "tls_failed": FailureKind.REFUSED,
    "redirected": FailureKind.REFUSED,
    "invalid_proxy": FailureKind.REFUSED,
    # Still open.
    "go_away": FailureKind.LEAVING,
    "malformed_event": FailureKind.HICCUP,
}
"""Cause by code. A code that is not here is judged by whether it is said to be retryable."""

_MERE_CLOSE_CODES = ("closed_", "invalid_argument", "policy_violation")
"""Prefix of codes for a close code by which servers refuse, without any text."""


@dataclass(frozen=True, slots=True)
class Failure:
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
    def cause(self) -> FailureKind:
        """The kind of trouble."""
        if (known := CAUSES.get(self.code)) is not None and self._agrees_with(known):
            return known
        if not self.is_over:
            return FailureKind.HICCUP
        return FailureKind.LOST if self.is_retryable else FailureKind.REFUSED

    @property
    def is_refusal(self) -> bool:
        """True if asking this provider again is useless."""
        return self.cause is FailureKind.REFUSED

    @property
    def is_unexplained(self) -> bool:
        """True if the close code means a refusal and no text says of what."""
        return self.is_refusal and self.code.startswith(_MERE_CLOSE_CODES)

    def _agrees_with(self, known: FailureKind) -> bool:
        """A handshake refused for good is no lost line, whatever it is called."""
        return self.is_retryable or known is not FailureKind.LOST


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of one outage.

    budget_s: after this long without a stable session nothing helps any more
    patience_s: after this long a fallback takes over, if there is one
    patience_attempts: or after this many failures in a row
    first_delay_s, max_delay_s, busy_delay_s: of the pauses between attempts; `busy` is the least
        pause when the provider asked for fewer requests
    max_attempts: failures in a row with one provider after which the other one takes over, or
        nothing helps if there is no other; None: as many as fit into `budget_s`
    """

    budget_s: float = 90.0
    max_attempts: int | None = None
    patience_s: float = 4.0
    patience_attempts: int = 2
    first_delay_s: float = 0.25
    max_delay_s: float = 5.0
    busy_delay_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Outage:
    """Attempts since the last stable session.

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

    step: RecoveryAction
    delay_s: float = 0.0


def decide(failure: Failure, outage: Outage, policy: RetryPolicy, *, now_s: float) -> Decision:
    """The step that `failure` calls for."""
    cause = failure.cause
    if not failure.is_over:
        return Decision(
            RecoveryAction.ROTATE if cause is FailureKind.LEAVING else RecoveryAction.WAIT
        )
    is_handle_doubtful = (
        cause is not FailureKind.LOST or outage.attempts >= policy.patience_attempts
    )
    if failure.had_handle and is_handle_doubtful:
        return Decision(RecoveryAction.RETRY_FRESH)
    if now_s - outage.began_s >= policy.budget_s:
        return Decision(RecoveryAction.FATAL)
    if policy.max_attempts is not None and outage.attempts >= policy.max_attempts:
        return Decision(RecoveryAction.FALLBACK if outage.has_other else RecoveryAction.FATAL)
    if failure.is_unexplained and not outage.attempts and not outage.has_other:
        # A session that had worked: whatever it was, a new one need not meet it again.
        return Decision(RecoveryAction.RETRY)
    if cause is FailureKind.REFUSED:
        return Decision(RecoveryAction.FALLBACK if outage.has_other else RecoveryAction.FATAL)
    if cause is FailureKind.BUSY:
        return Decision(RecoveryAction.FALLBACK) if outage.has_other else _busy(policy)
    is_patience_spent = (
        outage.attempts >= policy.patience_attempts
        or now_s - outage.provider_began_s >= policy.patience_s
    )
    if outage.has_other and is_patience_spent:
        return Decision(RecoveryAction.FALLBACK)
    return Decision(RecoveryAction.RETRY)


def _busy(policy: RetryPolicy) -> Decision:
    return Decision(RecoveryAction.RETRY, policy.busy_delay_s)


MAX_REPEATS = 2


def repeat_delay_s(reason: str | None, failures: int, policy: RetryPolicy) -> float | None:
    """Return the delay before a failed reply is requested again; None: never.

    failures: replies that failed in a row, this one included
    """
    cause = CAUSES.get(reason or "")
    if failures > MAX_REPEATS or cause not in (FailureKind.LOST, FailureKind.BUSY):
        return None
    return policy.busy_delay_s if cause is FailureKind.BUSY else policy.first_delay_s


def backoff(policy: RetryPolicy, rng: random.Random) -> Iterator[float]:
    """Pauses before each attempt in seconds: none, then doubling up to the cap.

    Each is drawn from its upper half, so that the calls of a machine do not come back in step.
    """
    yield 0.0
    ceiling_s = policy.first_delay_s
    while True:
        yield ceiling_s * rng.uniform(0.5, 1.0)
        ceiling_s = min(policy.max_delay_s, ceiling_s * 2)
