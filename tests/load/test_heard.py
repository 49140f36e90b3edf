from __future__ import annotations

from load.heard import CLOCK_HZ, FRAME_TICKS, HeardStream


def hear(
    stream: HeardStream, packets: list[tuple[int, int, float]], ssrc: int = 7, first: int = 65_534
) -> None:
    """Packets by number in the stream, frame of the sender's time, and seconds of arrival."""
    for number, frame, at_s in packets:
        ticks = (0xFFFF_FF00 + frame * FRAME_TICKS) & 0xFFFF_FFFF
        stream.add(ssrc, (first + number) & 0xFFFF, ticks, 50.0 + at_s)


def test_frames_in_time_are_neither_late_nor_a_gap_across_the_wrap_of_their_numbers() -> None:
    stream = HeardStream()
    hear(stream, [(n, n, n * 0.02) for n in range(10)])
    figures = stream.take()
    assert (figures.frames, figures.late, figures.lost, figures.gaps) == (10, 0, 0, 0)
    assert stream.take().frames == 0


def test_a_stall_makes_frames_late_and_one_gap() -> None:
    stream = HeardStream()
    hear(stream, [(n, n, n * 0.02 + (0.1 if n >= 5 else 0.0)) for n in range(10)])
    figures = stream.take()
    assert (figures.frames, figures.late, figures.gaps) == (10, 5, 1)
    # 0.1 s late, of which any client holds back 0.06.
    assert round(figures.gap_ms) == 40
    assert round(figures.worst_ms) == 100


def test_lost_frames_count_as_late_and_reordered_ones_are_not_lost() -> None:
    stream = HeardStream()
    hear(stream, [(0, 0, 0.0), (1, 1, 0.02), (4, 4, 0.08)])
    assert stream.take().lost == 2
    hear(stream, [(5, 5, 0.1), (7, 7, 0.14), (6, 6, 0.141), (7, 7, 0.142)])
    figures = stream.take()
    assert (figures.lost, figures.frames) == (0, 3)


def test_silence_of_the_sender_is_no_gap() -> None:
    stream = HeardStream()
    hear(stream, [(0, 0, 0.0), (1, 1, 0.02), (2, 200, 4.0), (3, 201, 4.02)])
    figures = stream.take()
    assert (figures.frames, figures.late, figures.gaps) == (4, 0, 0)


def test_the_early_fade_of_an_interrupted_reply_makes_no_later_frame_late() -> None:
    stream = HeardStream()
    talk = [(n, n, n * 0.02) for n in range(5)]
    fade = [(5, 5, 0.1 - 0.015)]
    next_talk = [(n, n + 100, (n + 100) * 0.02 + 0.015 * (n % 2)) for n in range(6, 12)]
    hear(stream, talk + fade + next_talk)
    assert stream.take().late == 0


def test_another_process_of_the_agent_begins_anew() -> None:
    stream = HeardStream()
    hear(stream, [(0, 0, 0.0), (1, 1, 0.02)])
    hear(stream, [(0, 900, 3.0), (1, 901, 3.02)], ssrc=8, first=123)
    figures = stream.take()
    assert (figures.frames, figures.late, figures.lost, figures.gaps) == (4, 0, 0, 0)
    assert CLOCK_HZ == 50 * FRAME_TICKS
