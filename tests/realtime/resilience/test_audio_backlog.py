"""User audio is kept in order, within its bound, and told again from where it must be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime.events import AppendAudio, CommitAudio, ModelCommand
from realtime.resilience.audio_backlog import CAPACITY_S, KEPT_SENT_S, AudioBacklog

RATE_HZ = 1000
FRAME = 20


def audio(number: int) -> AppendAudio:
    """A frame in which every sample is this number."""
    return AppendAudio(number.to_bytes(2, "little") * FRAME)


def numbers(commands: list[ModelCommand]) -> list[int]:
    """The frames in what was sent, a mark as -1."""
    found: list[int] = []
    for command in commands:
        if not isinstance(command, AppendAudio):
            found.append(-1)
            continue
        size = 2 * FRAME
        pcm = command.pcm
        found += [int.from_bytes(pcm[at : at + 2], "little") for at in range(0, len(pcm), size)]
    return found


def drain(backlog: AudioBacklog) -> list[int]:
    sent: list[ModelCommand] = []
    while (command := backlog.peek()) is not None:
        sent.append(command)
        backlog.advance()
    return numbers(sent)


def test_what_waits_is_joined_and_marks_keep_their_place() -> None:
    backlog = AudioBacklog(RATE_HZ)
    for number in range(12):
        backlog.push(audio(number))
    backlog.push(CommitAudio())
    backlog.push(CommitAudio())
    backlog.push(audio(12))
    first = backlog.peek()
    assert isinstance(first, AppendAudio)
    assert len(first.pcm) == 2 * RATE_HZ // 5
    assert drain(backlog) == [*range(12), -1, 12]


def test_what_was_peeked_at_waits_until_it_was_sent() -> None:
    backlog = AudioBacklog(RATE_HZ)
    backlog.push(audio(1))
    assert backlog.peek() == backlog.peek() == audio(1)
    assert backlog.waiting_samples == FRAME


@given(st.integers(0, 50 * int(CAPACITY_S) + 500))
def test_a_full_backlog_loses_the_oldest_and_counts_it(count: int) -> None:
    backlog = AudioBacklog(RATE_HZ)
    backlog.push(CommitAudio())
    for number in range(count):
        backlog.push(audio(number))
    kept = drain(backlog)
    most = int(CAPACITY_S * RATE_HZ) // FRAME
    assert kept == [-1, *range(max(0, count - most), count)]
    assert backlog.dropped_samples == FRAME * max(0, count - most)


@given(
    sent=st.integers(0, 300),
    waiting=st.integers(0, 100),
    back=st.integers(0, 400),
    at=st.integers(0, 300),
)
def test_a_rewind_tells_again_without_gap_or_repetition(
    sent: int, waiting: int, back: int, at: int
) -> None:
    backlog = AudioBacklog(RATE_HZ)
    for number in range(sent):
        backlog.push(audio(number))
        if number == at:
            backlog.push(CommitAudio())
    drain(backlog)
    for number in range(sent, sent + waiting):
        backlog.push(audio(number))
    first = max(0, sent - back)
    again = backlog.rewind(first * FRAME)
    assert again == (sent - first) * FRAME
    told = drain(backlog)
    assert [number for number in told if number >= 0] == list(range(first, sent + waiting))
    assert told.count(-1) == (1 if first <= at < sent else 0)
    assert backlog.dropped_samples == 0


def test_sent_audio_is_forgotten_but_for_the_last_moments_and_open_turns() -> None:
    backlog = AudioBacklog(RATE_HZ)
    for number in range(1400):
        backlog.push(audio(number))
        drain(backlog)
        backlog.forget_sent(400 * FRAME)
    assert backlog.rewind(0) == 1000 * FRAME
    drain(backlog)
    backlog.forget_sent(None)
    assert backlog.rewind(0) == KEPT_SENT_S * RATE_HZ


def test_only_a_voice_is_not_quiet() -> None:
    backlog = AudioBacklog(RATE_HZ)
    assert backlog.is_quiet(0.5)
    backlog.push(audio(9000))
    drain(backlog)
    for _ in range(24):
        backlog.push(audio(50))
        drain(backlog)
    assert not backlog.is_quiet(0.5)
    backlog.push(audio(50))
    drain(backlog)
    assert backlog.is_quiet(0.5)


def test_audio_that_came_while_one_piece_was_being_sent_changes_nothing() -> None:
    backlog = AudioBacklog(RATE_HZ)
    backlog.push(audio(1))
    backlog.peek()
    backlog.advance()
    backlog.push(audio(2))
    backlog.peek()
    backlog.rewind(0)  # the session was replaced while it was being sent
    backlog.advance()
    assert drain(backlog) == [1, 2]
