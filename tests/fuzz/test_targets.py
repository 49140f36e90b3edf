"""The fuzzing in small; `make soak` runs it at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.__main__ import feed_many, run_guided
from tests.fuzz.targets import TARGETS, Target, seed_bytes


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_whatever_comes_is_read_or_refused(target: Target) -> None:
    assert feed_many(target, 40) >= 20


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_seeds_are_sound(target: Target) -> None:
    """Else nothing would be reached behind the first check."""
    refused = 0
    for seed in target.seeds:
        try:
            target.read(seed_bytes(seed))
        except target.refusals:
            refused += 1
    target.close()
    assert refused == 0 or target.name in {"room_token", "recording_head"}


def test_guided_inputs_find_nothing_in_what_is_sound(tmp_path: Path) -> None:
    target = TARGETS[0]
    done = run_guided(target, 300, tmp_path)
    assert done.returncode == 0, done.stderr[-2_000:]


def test_guided_inputs_find_what_is_wrong(tmp_path: Path) -> None:
    done = run_guided(Target("no_such_target", bytes, (), ()), 300, tmp_path)
    assert done.returncode != 0
