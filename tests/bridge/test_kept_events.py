"""Events for a client that comes back: numbered, bounded, and the lost ones counted."""

from __future__ import annotations

from bridge.kept_events import MAX_BYTES, MAX_EVENTS, KeptEvents


def test_what_came_after_a_number_is_given_again() -> None:
    kept = KeptEvents()
    assert [kept.add(text) for text in "abc"] == [1, 2, 3]
    assert kept.after(1) == ([(2, "b"), (3, "c")], 0)
    assert kept.after(3) == ([], 0)
    # A client cannot have got what was never sent.
    assert kept.after(99) == ([], 0)


def test_numbers_go_on_from_an_earlier_process() -> None:
    kept = KeptEvents(41)
    assert kept.add("a") == 42
    assert kept.after(41) == ([(42, "a")], 0)


def test_only_so_many_are_kept_and_the_rest_is_counted() -> None:
    kept = KeptEvents()
    for _ in range(MAX_EVENTS + 5):
        kept.add("x")
    events, lost = kept.after(2)
    assert (len(events), lost) == (MAX_EVENTS, 3)
    kept.add("y" * MAX_BYTES)
    assert kept.after(0) == ([(MAX_EVENTS + 6, "y" * MAX_BYTES)], MAX_EVENTS + 5)
    kept.add("z" * (MAX_BYTES + 1))
    assert kept.after(0) == ([], MAX_EVENTS + 7)
