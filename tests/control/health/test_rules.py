from __future__ import annotations

from typing import Any

import pytest

from config.limits import LimitSettings
from control.health.rules import MIB, Action, Finding, HealthLimits, HealthRules, ProcStats
from control.machine.memory import Memory
from conversation.lifecycle import ExitReason
from conversation.vitals import Vitals

LIMITS = HealthLimits(memory_bytes=200 * MIB)


def proc_stats(private_mib: float = 10, descriptors: int = 20) -> ProcStats:
    private_bytes = int(private_mib * MIB)
    return ProcStats(private_bytes, 2 * private_bytes, descriptors, max_descriptors=1000)


def vitals(**changes: Any) -> Vitals:
    return Vitals(**({"users": 1, "connected_users": 1} | changes))


@pytest.mark.parametrize(
    ("seen", "action", "exit_reason"),
    [
        ({}, None, None),
        ({"silent_s": 2.9}, None, None),
        ({"silent_s": 3.0}, Action.WARN, None),
        ({"silent_s": 8.0}, Action.RESTART, ExitReason.UNRESPONSIVE),
        ({"loop_lag_ms": 249.0}, None, None),
        ({"loop_lag_ms": 5000.0}, Action.WARN, None),
        ({"proc_stats": proc_stats(99)}, None, None),
        ({"proc_stats": proc_stats(100)}, Action.WARN, None),
        ({"proc_stats": proc_stats(200)}, Action.RESTART, ExitReason.OUT_OF_MEMORY),
        ({"proc_stats": proc_stats(descriptors=499)}, None, None),
        ({"proc_stats": proc_stats(descriptors=500)}, Action.WARN, None),
        ({"proc_stats": proc_stats(descriptors=900)}, Action.RESTART, ExitReason.UNHEALTHY),
        ({"vitals": vitals(is_saving_work=True)}, Action.WARN, None),
        ({"vitals": vitals(unanswered_s=9.9)}, None, None),
        ({"vitals": vitals(unanswered_s=10.0)}, Action.WARN, None),
        ({"vitals": vitals(unanswered_s=20.0)}, Action.RENEW_MODEL, None),
        ({"vitals": vitals(unanswered_s=500.0)}, Action.RENEW_MODEL, None),
        ({"vitals": vitals(inbound_age_s=59.0)}, None, None),
        ({"vitals": vitals(inbound_age_s=61.0)}, Action.WARN, None),
        ({"vitals": vitals(users=0, connected_users=0, inbound_age_s=61.0)}, None, None),
        # What a silent process said last is old, and no reason to do anything else.
        (
            {"silent_s": 4.0, "loop_lag_ms": 900.0, "vitals": vitals(unanswered_s=99)},
            Action.WARN,
            None,
        ),
    ],
)
def test_each_sign_has_its_thresholds(
    seen: dict[str, Any], action: Action | None, exit_reason: ExitReason | None
) -> None:
    found = HealthRules(LIMITS).observe(now_s=0.0, **seen)
    assert [one.action for one in found] == ([] if action is None else [action])
    if exit_reason is not None:
        assert found[0].exit_reason is exit_reason


def test_a_step_is_taken_once_until_the_sign_is_gone() -> None:
    watch = HealthRules(LIMITS)

    def actions(silent_s: float) -> list[Action]:
        return [one.action for one in watch.observe(now_s=0.0, silent_s=silent_s)]

    assert actions(3.5) == [Action.WARN]
    assert actions(4.5) == []
    assert actions(8.5) == [Action.RESTART]
    assert actions(9.5) == []
    assert actions(0.1) == []
    assert actions(3.5) == [Action.WARN]


def test_a_finding_says_what_was_seen() -> None:
    (finding,) = HealthRules(LIMITS).observe(now_s=0.0, silent_s=8.26)
    assert finding == Finding(
        "silent", Action.RESTART, ExitReason.UNRESPONSIVE, "its loop has not answered for 8.3 s"
    )


def follow(told: list[tuple[float, Vitals]]) -> list[tuple[float, Action, ExitReason]]:
    """Return all findings of a process with these readings, with their times."""
    watch = HealthRules(LIMITS)
    found: list[tuple[float, Action, ExitReason]] = []
    for now_s, each in told:
        watch.handle_vitals(each, now_s=now_s)
        found += [
            (now_s, one.action, one.exit_reason)
            for one in watch.observe(now_s=now_s, silent_s=0.0, vitals=each)
            if one.action is not Action.WARN
        ]
    return found


def test_a_voice_that_does_not_leave_is_a_dead_call() -> None:
    stuck = vitals(is_speaking=True, packets_sent=100)
    told = [(float(now_s), stuck) for now_s in range(20)]
    assert follow(told) == [(8.0, Action.RESTART, ExitReason.UNHEALTHY)]


def test_a_voice_that_leaves_or_a_silence_is_none() -> None:
    speaking = [(float(n), vitals(is_speaking=True, packets_sent=50 * n)) for n in range(60)]
    silent = [(float(n), vitals(packets_sent=100)) for n in range(60)]
    unheard = [(float(n), vitals(is_speaking=True, connected_users=0)) for n in range(60)]
    assert follow(speaking) == follow(silent) == follow(unheard) == []


def test_an_agent_that_reaches_nobody_leaves_in_the_end() -> None:
    alone = vitals(users=2, connected_users=0)
    told = [(float(n), alone) for n in range(0, 400, 5)]
    assert follow(told) == [(180.0, Action.LEAVE, ExitReason.ROOM_LOST)]
    empty = [(float(n), vitals(users=0, connected_users=0)) for n in range(0, 400, 5)]
    assert follow(empty) == []


def test_no_process_may_take_more_than_half_of_the_machine() -> None:
    assert HealthLimits.for_machine(Memory(512 * MIB, 0)).memory_bytes == 256 * MIB
    assert HealthLimits.for_machine(Memory(64 * 1024 * MIB, 0)).memory_bytes == 1024 * MIB


def test_thresholds_are_the_owners_choice() -> None:
    machine = Memory(4096 * MIB, 0)
    assert HealthLimits.of(LimitSettings(), machine) == HealthLimits.for_machine(machine)
    settings = LimitSettings(
        agent_memory_limit_mib=64, agent_unresponsive_s=2, agent_unanswered_s=6
    )
    limits = HealthLimits.of(settings, machine)
    assert (limits.memory_bytes, limits.silent_warning_s) == (64 * MIB, 1)
    watch = HealthRules(limits)
    assert [found.action for found in watch.observe(now_s=0, silent_s=1.5)] == [Action.WARN]
    assert [found.action for found in watch.observe(now_s=1, silent_s=2.5)] == [Action.RESTART]
    asked = HealthRules(limits).observe(now_s=0, vitals=Vitals(unanswered_s=6.5))
    assert [(found.sign, found.action) for found in asked] == [("unanswered", Action.RENEW_MODEL)]
