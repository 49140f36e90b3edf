"""When a path counts as dead: never by loss alone, always within 3 s of its death."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtc.aiortc_hooks.path_monitor import DEAD_AFTER_S, GIVE_UP_AFTER_S, PathHealth, PathMonitor


class _Peer:
    """Drives a watch in simulated time: probes, and answers after `rtt_s` unless lost."""

    def __init__(self, rtt_s: float = 0.05, loss: float = 0.0, seed: int = 0) -> None:
        self.now_s = 100.0
        self.loss = loss
        self.watch = PathMonitor(self.now_s)
        self.probes = 0
        self._rtt_s = rtt_s
        self._rng = random.Random(seed)
        self._answers: list[float] = []

    def run(self, until_s: float) -> None:
        """Go on until then, or until the path is not well."""
        while self.now_s < until_s and self.watch.judge(self.now_s) is PathHealth.WELL:
            self.step()

    def step(self) -> None:
        due_s = max(self.watch.next_probe_at_s, self.now_s)
        if self._answers and self._answers[0] <= due_s:
            self.now_s = max(self.now_s, self._answers.pop(0))
            self.watch.answered(self.now_s)
            return
        self.now_s = due_s
        self.watch.probed(due_s)
        self.probes += 1
        if self._rng.random() >= self.loss:
            self._answers.append(due_s + self._rtt_s)

    def cut(self) -> None:
        self.loss = 1.0
        self._answers.clear()


def test_calm_paths_are_asked_once_a_second() -> None:
    peer = _Peer()
    peer.run(until_s=160.0)
    assert 60 <= peer.probes <= 68


@given(st.floats(0.001, 2.0), st.floats(0.0, 10.0))
def test_a_dead_path_is_noticed_within_3_s_whatever_its_round_trip(
    rtt_s: float, lived_s: float
) -> None:
    peer = _Peer(rtt_s)
    peer.run(until_s=100.0 + lived_s)
    died_at_s = peer.now_s
    peer.cut()
    peer.run(until_s=died_at_s + 60)
    assert peer.watch.health is PathHealth.DEAD
    assert peer.now_s - died_at_s <= 3.0


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_heavy_loss_is_not_death(seed: int) -> None:
    """A third of the round trips lost, for ten minutes."""
    peer = _Peer(loss=0.33, seed=seed)
    peer.run(until_s=700.0)
    assert peer.watch.health is PathHealth.WELL


def test_an_answer_revives_a_dead_path_but_not_one_that_was_given_up() -> None:
    peer = _Peer()
    peer.cut()
    peer.run(until_s=200.0)
    peer.watch.answered(peer.now_s)
    assert peer.watch.judge(peer.now_s) is PathHealth.WELL
    cut_at_s = peer.now_s
    while peer.watch.judge(peer.now_s) is not PathHealth.GONE:
        peer.step()
    assert peer.now_s - cut_at_s == pytest.approx(GIVE_UP_AFTER_S, abs=0.5)
    peer.watch.answered(peer.now_s)
    assert peer.watch.health is PathHealth.GONE


def test_a_pause_of_our_own_is_no_death() -> None:
    """The loop was blocked: no probe was sent, so none was left unanswered."""
    watch = PathMonitor(0.0)
    watch.probed(1.0)
    assert watch.judge(1.0 + 10 * DEAD_AFTER_S) is PathHealth.WELL
