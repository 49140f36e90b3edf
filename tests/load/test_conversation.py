from __future__ import annotations

from load.conversation import (
    ANSWER_WAIT_S,
    GREETING_WAIT_S,
    MAX_LISTEN_S,
    QUIET_S,
    THINK_S,
    Conversation,
    Phase,
)

SENTENCES = ((b"one", b"two", b"three"), (b"four", b"five"))


class Clock:
    """A conversation of which each 20 ms are played, with what the agent says meanwhile."""

    def __init__(self, seed: int = 0) -> None:
        self.now_s = 100.0
        self.talk = Conversation(SENTENCES, b"-", seed=seed, now_s=self.now_s)
        self.sent: list[bytes] = []

    def run(self, length_s: float, *, is_loud: bool = False) -> None:
        for _ in range(round(length_s / 0.02)):
            self.now_s += 0.02
            self.sent.append(self.talk.next_packet(self.now_s))
            if is_loud:
                self.talk.hear(self.now_s, is_loud=True)

    def run_until(self, phase: Phase, within_s: float, *, is_loud: bool = False) -> float:
        began_s = self.now_s
        while self.talk.phase is not phase:
            assert self.now_s - began_s < within_s, self.talk.phase
            self.run(0.02, is_loud=is_loud)
        return self.now_s - began_s

    @property
    def spoken(self) -> list[bytes]:
        return [packet for packet in self.sent if packet != b"-"]


def test_without_a_greeting_the_caller_begins() -> None:
    clock = Clock()
    took_s = clock.run_until(Phase.WAITING, GREETING_WAIT_S + THINK_S[1] + 0.2)
    assert took_s > GREETING_WAIT_S
    assert clock.spoken == list(SENTENCES[0])


def test_a_greeting_is_heard_to_its_end() -> None:
    clock = Clock()
    clock.run(4.0, is_loud=True)
    assert clock.spoken == []
    took_s = clock.run_until(Phase.WAITING, QUIET_S + THINK_S[1] + 0.2)
    assert took_s > QUIET_S
    assert clock.talk.take().latencies_ms == []


def test_an_answer_is_timed_from_the_last_packet_and_the_next_sentence_follows_it() -> None:
    clock = Clock(seed=1)
    clock.run_until(Phase.WAITING, 5.0)
    clock.run(0.5)
    clock.talk.hear(clock.now_s, is_loud=False)
    clock.talk.hear(clock.now_s, is_loud=True)
    assert [round(ms) for ms in clock.talk.take().latencies_ms] == [500]
    clock.run(1.0, is_loud=True)
    clock.run_until(Phase.WAITING, QUIET_S + THINK_S[1] + 0.2)
    assert clock.spoken == [*SENTENCES[1], *SENTENCES[0]]


def test_a_pause_in_the_answer_is_not_its_end() -> None:
    clock = Clock()
    clock.run_until(Phase.WAITING, 5.0)
    clock.run(0.2, is_loud=True)
    clock.run_until(Phase.THINKING, QUIET_S + 0.1)
    clock.run(0.04, is_loud=True)
    assert clock.talk.phase is Phase.LISTENING


def test_silence_of_the_agent_is_counted_and_the_call_goes_on() -> None:
    clock = Clock()
    clock.run_until(Phase.WAITING, 5.0)
    clock.run_until(Phase.THINKING, ANSWER_WAIT_S + 0.1)
    assert clock.talk.take().unanswered == 1
    clock.run_until(Phase.WAITING, THINK_S[1] + 0.2)
    assert clock.spoken == [*SENTENCES[0], *SENTENCES[1]]


def test_an_agent_that_speaks_into_a_sentence_is_counted_and_one_without_end_spoken_over() -> None:
    clock = Clock()
    clock.run_until(Phase.SPEAKING, 5.0)
    clock.run(0.1, is_loud=True)
    figures = clock.talk.take()
    assert (figures.talked_over, figures.latencies_ms) == (1, [])
    assert clock.talk.phase is Phase.LISTENING
    clock.run_until(Phase.SPEAKING, MAX_LISTEN_S + 0.1, is_loud=True)


def test_each_caller_begins_with_another_sentence_at_another_time() -> None:
    waits = set()
    for seed in range(4):
        clock = Clock(seed)
        waits.add(round(clock.run_until(Phase.WAITING, 5.0), 2))
        assert clock.spoken == list(SENTENCES[seed % 2])
    assert len(waits) > 1
