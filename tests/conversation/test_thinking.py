"""When a sign that a tool is at work is due."""

from __future__ import annotations

from conversation.thinking import ThinkingWatch


def test_it_is_due_after_so_much_silence_and_only_in_silence() -> None:
    watch = ThinkingWatch(1.0)
    assert not watch.is_due(0.0, is_silent=False), "the agent still says that it will look"
    assert not watch.is_due(2.0, is_silent=True)
    assert not watch.is_due(2.9, is_silent=True)
    assert watch.is_due(3.0, is_silent=True)
    assert watch.is_due(9.0, is_silent=True)
    assert not watch.is_due(9.1, is_silent=False)
    assert not watch.is_due(9.2, is_silent=True)
    assert watch.is_due(10.2, is_silent=True)
