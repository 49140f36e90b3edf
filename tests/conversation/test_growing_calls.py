"""Which pieces of a tool call's arguments are published while it is being written."""

from __future__ import annotations

from conversation.growing_calls import MAX_CALLS, MAX_CHARACTERS, GrowingCalls, Growth


def test_each_piece_of_a_short_call_is_published_with_all_before_it() -> None:
    calls = GrowingCalls()
    assert calls.add("c", "add", '{"a"') == Growth("add", '{"a"', is_first=True)
    assert calls.add("d", "", "{") == Growth("", "{", is_first=True)
    assert calls.add("c", "", ": 1}") == Growth("add", '{"a": 1}', is_first=False)
    assert calls.add("d", "sub", "}") == Growth("sub", "{}", is_first=False)
    calls.end("c")
    assert calls.add("c", "add", "{") == Growth("add", "{", is_first=True)


def test_long_arguments_cost_no_more_than_a_multiple_of_their_length() -> None:
    calls = GrowingCalls()
    published = [growth for _ in range(200_000) if (growth := calls.add("c", "f", "x")) is not None]
    assert len(published) < 80
    assert sum(len(growth.arguments) for growth in published) < 10 * MAX_CHARACTERS
    assert len(published[-1].arguments) > MAX_CHARACTERS * 7 // 8


def test_an_empty_piece_publishes_nothing_and_calls_without_end_are_forgotten() -> None:
    calls = GrowingCalls()
    assert calls.add("c0", "f", "") is None
    for number in range(MAX_CALLS + 1):
        calls.add(f"c{number}", "f", "x")
    assert calls.add("c0", "f", "y") == Growth("f", "y", is_first=True)
