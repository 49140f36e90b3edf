from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control.event_stream.ring import EventRing


@given(st.lists(st.text(max_size=30), max_size=40), st.integers(0, 50))
def test_kept_and_missed_events_make_the_whole(texts: list[str], known: int) -> None:
    ring = EventRing(max_events=10, max_bytes=200)
    for text in texts:
        ring.append(text)
    told, missed = ring.since(known), ring.missed(known)
    assert ring.last == len(texts)
    assert missed + len(told) == max(0, len(texts) - known)
    assert [event.data for event in told] == texts[len(texts) - len(told) :]
    assert [event.number for event in told] == list(range(ring.last - len(told) + 1, ring.last + 1))
    kept = ring.since(0)
    assert len(kept) <= 10
    assert len(kept) <= 1 or sum(len(event.data.encode()) for event in kept) <= 200


def test_one_event_stays_however_large() -> None:
    ring = EventRing(max_events=10, max_bytes=10)
    ring.append("x" * 100)
    assert len(ring.since(0)) == 1
