"""What was said, as it was heard."""

from __future__ import annotations

from conversation.history import MAX_ITEMS, History, ItemStatus


def _reply(history: History, words: str, seconds: float) -> None:
    history.append_words("i1", "r1", words)
    history.append_audio("i1", "r1", pcm_bytes=int(seconds * 48_000), sample_rate_hz=24_000)


def test_a_reply_heard_to_its_end_keeps_all_its_words() -> None:
    history = History()
    _reply(history, "hello there", 1)
    history.finish_reply("i1")
    (item,) = history.items
    assert (item.text, item.status) == ("hello there", ItemStatus.COMPLETED)


def test_a_cut_reply_keeps_only_what_was_heard_and_ignores_late_words() -> None:
    history = History()
    _reply(history, "one two three four", 1)
    assert history.cut_reply("i1", "r1", played_ms=500) == "one two"
    history.append_words("i1", "r1", " five")
    history.finish_reply("i1")
    (item,) = history.items
    assert (item.text, item.status) == ("one two", ItemStatus.INTERRUPTED)


def test_a_second_cut_changes_nothing() -> None:
    history = History()
    _reply(history, "one two three four", 1)
    history.cut_reply("i1", "r1", played_ms=500)
    assert history.cut_reply("i1", "r1", played_ms=1000) == "one two"


def test_a_user_item_keeps_its_place_before_the_reply_to_it() -> None:
    history = History()
    history.open_user_item("u1")
    _reply(history, "fine", 1)
    history.finish_user_item("u1", "how are you")
    assert [(item.role, item.text) for item in history.items] == [
        ("user", "how are you"),
        ("assistant", "fine"),
    ]


def test_the_oldest_items_are_dropped_beyond_the_limit() -> None:
    history = History()
    for number in range(MAX_ITEMS + 3):
        history.finish_user_item(f"u{number}", "x")
    assert len(history.items) == MAX_ITEMS
    assert history.get("u0") is None
