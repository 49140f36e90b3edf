from __future__ import annotations

from session.event_rate import EVENT_BURST, EVENTS_PER_S, MAX_SENDERS, EventRate


def test_each_person_has_a_burst_and_a_rate() -> None:
    pace = EventRate()
    assert [pace.allow(7, now_s=0) for _ in range(EVENT_BURST)] == [True] * EVENT_BURST
    assert not pace.allow(7, now_s=0)
    assert pace.allow(8, now_s=0)
    later = [pace.allow(7, now_s=1.0) for _ in range(EVENT_BURST)]
    assert later.count(True) == EVENTS_PER_S


def test_a_flood_is_answered_once_a_second() -> None:
    pace = EventRate()
    assert [pace.should_answer(7, now_s=at_s) for at_s in (0, 0.5, 0.9, 1.1)] == [
        True,
        False,
        False,
        True,
    ]


def test_only_so_many_people_are_remembered() -> None:
    pace = EventRate()
    for uid in range(MAX_SENDERS + 10):
        pace.allow(uid, now_s=0)
    assert len(pace._senders) == MAX_SENDERS
