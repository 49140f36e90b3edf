"""When an agent process is in trouble, and what to do about it: one table, and pure.

Each sign has a measure and steps: from a threshold on, an action. A step is taken once, until the
sign has gone below its first threshold again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from control.machine.memory import Memory
from conversation.lifecycle import ExitReason
from conversation.vitals import Vitals
from limit_settings import LimitSettings

MIB: Final = 1024 * 1024


class Action(StrEnum):
    """What to do. WARN: tell people. RESTART: kill it, another process goes on with the
    conversation. LEAVE: end the call politely.
    """

    WARN = "warn"
    RENEW_MODEL = "renew_model"
    RESTART = "restart"
    LEAVE = "leave"


@dataclass(frozen=True)
class ProcessFigures:
    """What the kernel says of a process. private_bytes: memory of its own; pss_bytes: with its
    share of what it has in common with others; anonymous_bytes: of no file, its own or in common
    """

    private_bytes: int
    pss_bytes: int
    descriptors: int
    max_descriptors: int
    anonymous_bytes: int = 0


@dataclass(frozen=True)
class Observation:
    """All that is known of an agent process at a moment; None: not known yet.

    silent_s: since its loop last answered
    voice_stuck_s: how long it has had voice to send and sent none
    alone_s: how long there have been people in the room and media with none of them
    """

    silent_s: float | None = None
    loop_lag_ms: float | None = None
    figures: ProcessFigures | None = None
    vitals: Vitals | None = None
    voice_stuck_s: float = 0.0
    alone_s: float = 0.0


@dataclass(frozen=True)
class Step:
    """From the threshold `at` on. exit_reason: of a restarted or leaving agent."""

    at: float
    action: Action
    exit_reason: ExitReason = ExitReason.UNHEALTHY


@dataclass(frozen=True)
class Rule:
    """One sign. text: `{:g}` stands for the value."""

    sign: str
    measure: Callable[[Observation], float | None]
    steps: Sequence[Step]
    text: str


@dataclass(frozen=True)
class Finding:
    """A step that is due now, and why."""

    sign: str
    action: Action
    exit_reason: ExitReason
    text: str


@dataclass(frozen=True)
class WatchLimits:
    """Thresholds that depend on the machine or on taste; each limit is warned of before.

    silent: its loop does not answer; memory_bytes: private memory of one agent process
    voice_stuck: it speaks, and sends nothing; unanswered: what somebody said has had no reply
    alone: people are in the room and none has media with it
    """

    silent_warning_s: float = 3.0
    silent_limit_s: float = 8.0
    lag_warning_ms: float = 250.0
    memory_bytes: float = 1024 * MIB
    voice_stuck_limit_s: float = 8.0
    unanswered_limit_s: float = 20.0
    alone_limit_s: float = 180.0

    @classmethod
    def for_machine(cls, memory: Memory) -> WatchLimits:
        """No process may take more than half of what there is."""
        return cls(memory_bytes=min(cls.memory_bytes, memory.total_bytes / 2))

    @classmethod
    def of(cls, settings: LimitSettings, memory: Memory) -> WatchLimits:
        """As the settings say; where they leave memory to us, what suits this machine."""
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
    return None if seen.figures is None else seen.figures.private_bytes / MIB


def _descriptors_percent(seen: Observation) -> float | None:
    figures = seen.figures
    return None if figures is None else 100 * figures.descriptors / figures.max_descriptors


def _heard_s(seen: Observation) -> float | None:
    vitals = seen.vitals
    return vitals.inbound_age_s if vitals is not None and vitals.connected_users else None


def rules(limits: WatchLimits) -> tuple[Rule, ...]:
    """The table; what is first, a loop that does not answer, makes old news of the rest."""
    return (
        *_loop_rules(limits),
        *_resource_rules(limits),
        *_reply_rules(limits),
        *_room_rules(limits),
    )


def _loop_rules(limits: WatchLimits) -> tuple[Rule, ...]:
    return (
        Rule(
            "silent",
            lambda seen: seen.silent_s,
            (
                Step(limits.silent_warning_s, Action.WARN),
                Step(limits.silent_limit_s, Action.RESTART, ExitReason.UNRESPONSIVE),
            ),
            "its loop has not answered for {:g} s",
        ),
        Rule(
            "lag",
            lambda seen: seen.loop_lag_ms,
            (Step(limits.lag_warning_ms, Action.WARN),),
            "its loop was late by {:g} ms",
        ),
    )


def _resource_rules(limits: WatchLimits) -> tuple[Rule, ...]:
    return (
        Rule(
            "memory",
            _private_mib,
            (
                Step(limits.memory_bytes / MIB / 2, Action.WARN),
                Step(limits.memory_bytes / MIB, Action.RESTART, ExitReason.OUT_OF_MEMORY),
            ),
            "it uses {:g} MiB of its own",
        ),
        Rule(
            "descriptors",
            _descriptors_percent,
            (Step(50, Action.WARN), Step(90, Action.RESTART)),
            "it has {:g} % of the descriptors it may have",
        ),
    )


def _reply_rules(limits: WatchLimits) -> tuple[Rule, ...]:
    return (
        Rule(
            "voice_stuck",
            lambda seen: seen.voice_stuck_s,
            (
                Step(min(3.0, limits.voice_stuck_limit_s / 2), Action.WARN),
                Step(limits.voice_stuck_limit_s, Action.RESTART),
            ),
            "it speaks, and has sent nothing for {:g} s",
        ),
        Rule(
            "unanswered",
            lambda seen: seen.vitals.unanswered_s if seen.vitals else None,
            (
                Step(limits.unanswered_limit_s / 2, Action.WARN),
                Step(limits.unanswered_limit_s, Action.RENEW_MODEL),
            ),
            "what somebody said has had no reply for {:g} s",
        ),
    )


def _room_rules(limits: WatchLimits) -> tuple[Rule, ...]:
    return (
        Rule(
            "alone",
            lambda seen: seen.alone_s,
            (
                Step(min(15.0, limits.alone_limit_s / 2), Action.WARN),
                Step(limits.alone_limit_s, Action.LEAVE, ExitReason.ROOM_LOST),
            ),
            "nobody in the room has had media with it for {:g} s",
        ),
        Rule(
            "deaf",
            # People send nothing while they are silent, so this alone is no reason to act.
            _heard_s,
            (Step(60, Action.WARN),),
            "nothing has been heard of anybody for {:g} s",
        ),
    )


class Watch:
    """Follows one agent process; time is an argument (monotonic)."""

    def __init__(self, limits: WatchLimits) -> None:
        self._rules = rules(limits)
        # How many steps of each sign were taken.
        self._taken: dict[str, int] = {}
        self._packets_sent = -1
        self._voice_ok_s: float | None = None
        self._media_ok_s: float | None = None

    def handle_vitals(self, vitals: Vitals, *, now_s: float) -> None:
        """The agent told how its call is."""
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
        figures: ProcessFigures | None = None,
        vitals: Vitals | None = None,
    ) -> list[Finding]:
        """What is due now; `vitals` as `handle_vitals` got them last."""
        seen = Observation(
            silent_s=silent_s,
            loop_lag_ms=loop_lag_ms,
            figures=figures,
            vitals=vitals,
            voice_stuck_s=0.0 if self._voice_ok_s is None else now_s - self._voice_ok_s,
            alone_s=0.0 if self._media_ok_s is None else now_s - self._media_ok_s,
        )
        if silent_s is not None and silent_s >= self._rules[0].steps[0].at:
            # What it said last is old: only that it says nothing counts.
            seen = Observation(silent_s=silent_s, figures=figures)
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
