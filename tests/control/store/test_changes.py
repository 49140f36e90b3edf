"""Of each thing only its latest waits, and never more than there is room for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control.black_box.models import BlackBox
from control.store.changes import Change, PendingChanges, PutBox, PutTurn
from control.store.records import CallTurn
from tests.control.store.samples import put_call, put_entry, text


def test_the_latest_of_each_thing_is_kept() -> None:
    pending = PendingChanges()
    turn = PutTurn("a", CallTurn(turn=1, process=0, at_ms=1))
    box = PutBox("a", BlackBox())
    for change in (put_call("a"), put_entry(0, text(0, "old")), turn, box, put_call("b")):
        pending.put(change)
    pending.put(put_entry(0, None))
    pending.put(put_call("a", restarts=1))
    assert pending.take() == [
        put_call("a", restarts=1),
        put_entry(0, None),
        turn,
        box,
        put_call("b"),
    ]
    assert len(pending) == 0


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40), st.integers(1, 8))
def test_what_could_not_be_written_never_takes_the_place_of_what_is_newer(
    steps: list[tuple[int, bool]], limit: int
) -> None:
    pending = PendingChanges(limit)
    latest: dict[str, Change] = {}
    for version, (number, is_failing) in enumerate(steps):
        taken = pending.take() if is_failing else []
        change = put_call(f"agent-{number}", restarts=version)
        pending.put(change)
        latest[change.record.call_id] = change
        pending.put_back(taken)
    waiting = pending.take()
    assert len(waiting) <= limit
    assert all(latest[change.record.call_id] == change for change in waiting)  # type: ignore[union-attr]
    if len(latest) <= limit:
        assert len(waiting) == len(latest)
        assert pending.given_up == 0
    else:
        assert pending.given_up > 0
