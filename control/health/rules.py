"""Health rules of an agent process: one table of signs, thresholds and actions. Pure.

Each sign has a measure and escalation steps: from a threshold on, an action. A step is taken once,
until the sign has fallen below its first threshold again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from config.limits import LimitSettings
from control.machine.memory import Memory
from conversation.lifecycle import ExitReason
from conversation.vitals import Vitals

MIB: Final = 1024 * 1024


class Action(StrEnum):
    """Reaction to a sign.

    WARN: log only. RENEW_MODEL: replace the provider's session. RESTART: kill the process, another
    one resumes the conversation. LEAVE: end the call gracefully.
    """

    WARN = "warn"
    RENEW_MODEL = "renew_model"
    RESTART = "restart"
    LEAVE = "leave"


@dataclass(frozen=True)
class ProcStats:
    """Kernel statistics of a process.

    private_bytes: memory that no other process shares.
    pss_bytes: proportional set size: private memory plus its share of shared memory.
    anonymous_bytes: memory that is not backed by files, private or shared.
    cpu_s: processor time used so far.
    """

    private_bytes: int
    pss_bytes: int
    descriptors: int
    max_descriptors: int
    anonymous_bytes: int = 0
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Observation:
    """Readings of an agent process at one moment; None: unknown.

    silent_s: time since the last pong.
    voice_stuck_s: time for which the agent has been speaking without sending packets.
    alone_s: time for which users have been in the room and none had a media connection.
    """

    silent_s: float | None = None
    loop_lag_ms: float | None = None
    proc_stats: ProcStats | None = None
    vitals: Vitals | None = None
    voice_stuck_s: float = 0.0
    alone_s: float = 0.0


@dataclass(frozen=True)
class EscalationStep:
    """Action from the threshold `at` on. exit_reason: of a restarted or leaving agent."""

    at: float
    action: Action
    exit_reason: ExitReason = ExitReason.UNHEALTHY


@dataclass(frozen=True)
class Rule:
    """One sign. text: `{:g}` is replaced by the value."""

    sign: str
    measure: Callable[[Observation], float | None]
    steps: Sequence[EscalationStep]
    text: str


@dataclass(frozen=True)
class Finding:
    """Escalation step that is due now, with its explanation."""

    sign: str
    action: Action
    exit_reason: ExitReason
    text: str


@dataclass(frozen=True)
class HealthLimits:
    """Configurable thresholds; below each limit there is a warning.

    silent: no pong from the agent's loop.
    memory_bytes: private memory of one agent process.
    voice_stuck: the agent speaks and sends no packets.
    unanswered: a user turn without a reply.
    alone: users are in the room and none has a media connection.
    """

    silent_warning_s: float = 3.0
    silent_limit_s: float = 8.0
    lag_warning_ms: float = 250.0
    memory_bytes: float = 1024 * MIB
    voice_stuck_limit_s: float = 8.0
    unanswered_limit_s: float = 20.0
    alone_limit_s: float = 180.0

    @classmethod
    def for_machine(cls, memory: Memory) -> HealthLimits:
        """Return limits under which no process takes more than half of the memory."""
        return cls(memory_bytes=min(cls.memory_bytes, memory.total_bytes / 2))

    @classmethod
    def of(cls, settings: LimitSettings, memory: Memory) -> HealthLimits:
        """Return the limits of the settings; without a memory limit there, that of `for_machine`."""
        limit_mib = settings.agent_memory_limit_mib
        limit_bytes = cls.for_machine(memory).memory_bytes if limit_mib is None else limit_mib * MIB
        return cls(
            silent_warning_s=min(cls.silent_warning_s, settings.agent_unresponsive_s / 2),
            silent_limit_s=settings.agent_unresponsive_s,
            lag_warning_ms=settings.agent_lag_warning_ms,
            memory_bytes=limit_bytes,
            voice_stuck_limit_s=settings.agent_voice_stuck_s,
            unanswered_limit_s=settings.agent_unanswered_s,
            alone_limit_s=settings.agent_without_media_s,
        )


def _private_mib(seen: Observation) -> float | None:
    return None if seen.proc_stats is None else seen.proc_stats.private_bytes / MIB


def _descriptors_percent(seen: Observation) -> float | None:
    proc_stats = seen.proc_stats
    return None if proc_stats is None else 100 * proc_stats.descriptors / proc_stats.max_descriptors


def _heard_s(seen: Observation) -> float | None:
    vitals = seen.vitals
    return vitals.inbound_age_s if vitals is not None and vitals.connected_users else None


def rules(limits: HealthLimits) -> tuple[Rule, ...]:
    """Return the table. The first rule, a silent loop, suppresses the others: their data is stale."""
    return (
        *_loop_rules(limits),
        *_resource_rules(limits),
        *_reply_rules(limits),
        *_room_rules(limits),
    )


def _loop_rules(limits: HealthLimits) -> tuple[Rule, ...]:
    return (
        Rule(
            "silent",
            lambda seen: seen.silent_s,
            (
                EscalationStep(limits.silent_warning_s, Action.WARN),
                EscalationStep(limits.silent_limit_s, Action.RESTART, ExitReason.UNRESPONSIVE),
            ),
            "its loop has not answered for {:g} s",
        ),
        Rule(
            "lag",
            lambda seen: seen.loop_lag_ms,
            (EscalationStep(limits.lag_warning_ms, Action.WARN),),
            "its loop was late by {:g} ms",
        ),
    )


def _resource_rules(limits: HealthLimits) -> tuple[Rule, ...]:
    return (
        Rule(
            "memory",
            _private_mib,
            (
                EscalationStep(limits.memory_bytes / MIB / 2, Action.WARN),
                EscalationStep(limits.memory_bytes / MIB, Action.RESTART, ExitReason.OUT_OF_MEMORY),
            ),
            "it uses {:g} MiB of private memory",
        ),
        Rule(
            "descriptors",
            _descriptors_percent,
            (EscalationStep(50, Action.WARN), EscalationStep(90, Action.RESTART)),
            "it has {:g} % of its descriptor limit open",
        ),
        Rule(
            "pressure",
            lambda seen: None if seen.vitals is None else float(seen.vitals.is_saving_work),
            (EscalationStep(1, Action.WARN),),
            "the processors are nearly used up: it takes silence in larger batches",
        ),
    )


def _reply_rules(limits: HealthLimits) -> tuple[Rule, ...]:
    return (
        Rule(
            "voice_stuck",
            lambda seen: seen.voice_stuck_s,
            (
                EscalationStep(min(3.0, limits.voice_stuck_limit_s / 2), Action.WARN),
                EscalationStep(limits.voice_stuck_limit_s, Action.RESTART),
            ),
            "it is speaking and has sent no packets for {:g} s",
        ),
        Rule(
            "unanswered",
            lambda seen: seen.vitals.unanswered_s if seen.vitals else None,
            (
                EscalationStep(limits.unanswered_limit_s / 2, Action.WARN),
                EscalationStep(limits.unanswered_limit_s, Action.RENEW_MODEL),
            ),
            "a user turn has had no reply for {:g} s",
        ),
    )


def _room_rules(limits: HealthLimits) -> tuple[Rule, ...]:
    return (
        Rule(
            "alone",
            lambda seen: seen.alone_s,
            (
                EscalationStep(min(15.0, limits.alone_limit_s / 2), Action.WARN),
                EscalationStep(limits.alone_limit_s, Action.LEAVE, ExitReason.ROOM_LOST),
            ),
            "no user in the room has had a media connection for {:g} s",
        ),
        Rule(
            "deaf",
            # Silent users may send nothing (DTX), so this alone only warns.
            _heard_s,
            (EscalationStep(60, Action.WARN),),
            "no user has sent audio for {:g} s",
        ),
    )


class HealthRules:
    """Apply the rules to one agent process; time is an argument (monotonic)."""

    def __init__(self, limits: HealthLimits) -> None:
        self._rules = rules(limits)
        # Number of escalation steps taken, by sign.
        self._taken: dict[str, int] = {}
        # Packets sent by the agent as of the last pong.
        self._packets_sent = -1
        # Monotonic times at which voice and media were last known to be well.
        self._voice_ok_s: float | None = None
        self._media_ok_s: float | None = None

    def handle_vitals(self, vitals: Vitals, *, now_s: float) -> None:
        """Take the vitals of a pong."""
        is_sending = vitals.packets_sent != self._packets_sent
        if self._media_ok_s is None:
            self._media_ok_s = now_s
        if is_sending or not vitals.is_speaking or not vitals.connected_users:
            self._voice_ok_s = now_s
        if vitals.connected_users or not vitals.users:
            self._media_ok_s = now_s
        self._packets_sent = vitals.packets_sent

    def observe(
        self,
        *,
        now_s: float,
        silent_s: float | None = None,
        loop_lag_ms: float | None = None,
        proc_stats: ProcStats | None = None,
        vitals: Vitals | None = None,
    ) -> list[Finding]:
        """Return the steps that are due now; `vitals` are those last passed to `handle_vitals`."""
        seen = Observation(
            silent_s=silent_s,
            loop_lag_ms=loop_lag_ms,
            proc_stats=proc_stats,
            vitals=vitals,
            voice_stuck_s=0.0 if self._voice_ok_s is None else now_s - self._voice_ok_s,
            alone_s=0.0 if self._media_ok_s is None else now_s - self._media_ok_s,
        )
        if silent_s is not None and silent_s >= self._rules[0].steps[0].at:
            # All it reported is stale: only its silence counts.
            seen = Observation(silent_s=silent_s, proc_stats=proc_stats)
        found = (self._apply(rule, rule.measure(seen)) for rule in self._rules)
        return [finding for finding in found if finding is not None]

    def _apply(self, rule: Rule, value: float | None) -> Finding | None:
        reached = 0 if value is None else sum(value >= step.at for step in rule.steps)
        taken = self._taken.get(rule.sign, 0)
        self._taken[rule.sign] = max(taken, reached) if reached else 0
        if value is None or reached <= taken:
            return None
        step = rule.steps[reached - 1]
        text = rule.text.format(round(value, 1))
        return Finding(rule.sign, step.action, step.exit_reason, text)
