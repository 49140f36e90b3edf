"""Of each thing only its latest waits, and never more than there is room for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control.black_box.models import BlackBox, StateStep
from control.store.changes import Change, DropCall, PendingChanges, PutBox, PutTurn
from control.store.records import CallTurn
from conversation.lifecycle import AgentState
from conversation.snapshot import SnapshotToolCall
from tests.control.store.samples import put_call, put_entry, text
from tests.control.store.test_live_call import exit_record


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
def test_changes_put_back_never_replace_newer_ones(
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
    size_bytes = pending.size_bytes
    waiting = pending.take()
    assert len(waiting) <= limit
    assert size_bytes == sum(change.size_bytes for change in waiting)
    assert all(latest[change.record.call_id] == change for change in waiting)  # type: ignore[union-attr]
    if len(latest) <= limit:
        assert len(waiting) == len(latest)
        assert pending.given_up == 0
    else:
        assert pending.given_up > 0


def test_the_oldest_give_way_when_all_of_them_take_too_much() -> None:
    pending = PendingChanges(limit_bytes=100_000)
    for number in range(4):
        pending.put(put_entry(number, text(number, "x" * 30_000)))
    assert [change.number for change in pending.take()] == [1, 2, 3]  # type: ignore[union-attr]
    assert (pending.given_up, pending.size_bytes) == (1, 0)
    # What takes the place of something counts for itself alone.
    for _ in range(10):
        pending.put(put_entry(0, text(0, "x" * 60_000)))
    pending.put(put_entry(0, text(0, "short")))
    pending.put(put_entry(1, text(1, "x" * 60_000)))
    assert (len(pending), pending.given_up) == (2, 1)
    # What comes back is older than what came meanwhile.
    taken = pending.take()
    pending.put(put_entry(2, text(2, "x" * 60_000)))
    pending.put_back(taken)
    assert [change.number for change in pending.take()] == [2]  # type: ignore[union-attr]
    pending.put(put_entry(0, text(0, "x" * 200_000)))
    assert (len(pending), pending.size_bytes, pending.given_up) == (0, 0, 4)


def test_the_size_of_a_change_grows_with_its_texts() -> None:
    long = "x" * 10_000
    tool = SnapshotToolCall(number=0, call_id="c", name="n", arguments=long)
    step = StateStep(state=AgentState.READY, at_ms=1, process=0)
    small = PutBox("a", BlackBox())
    for change, least_bytes in (
        (put_call(error=long), 10_000),
        (put_entry(0, text(0, long)), 10_000),
        (put_entry(0, tool), 10_000),
        (put_entry(0, tool.model_copy(update={"output": long})), 20_000),
        (PutBox("a", BlackBox(states=(step,) * 100, exits=(exit_record(stacks=long),))), 110_000),
    ):
        assert least_bytes < change.size_bytes < least_bytes + 10_000
    turn = PutTurn("a", CallTurn(turn=1, process=0, at_ms=1))
    for small_change in (put_entry(0, None), DropCall("a"), small, turn):
        assert 0 < small_change.size_bytes < 10_000
