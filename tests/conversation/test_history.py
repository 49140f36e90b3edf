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
    assert item.unheard == "three four"


def test_a_second_cut_changes_nothing() -> None:
    history = History()
    _reply(history, "one two three four", 1)
    history.cut_reply("i1", "r1", played_ms=500)
    assert history.cut_reply("i1", "r1", played_ms=1000) == "one two"


def test_complete_words_replace_their_pieces_and_never_those_of_a_cut_reply() -> None:
    history = History()
    _reply(history, "one two", 1)
    history.finish_reply("i1")
    history.append_words("i1", "r1", " three")
    history.finish_words("i1", "r1", "one two three four")
    history.finish_words("i1", "r1", "four")
    assert history.heard_text("i1", 0) == "one two three four"
    history.append_words("i2", "r1", "one two")
    history.cut_reply("i2", "r1", played_ms=0)
    history.finish_words("i2", "r1", "one two three")
    assert history.heard_text("i2", 1000) == ""


def test_a_voice_that_broke_off_keeps_the_words_of_its_audio_and_teaches_no_pace() -> None:
    history = History()
    words = " ".join(["word"] * 31)
    _reply(history, words, 2)
    heard = " ".join(["word"] * 6)
    assert history.end_audio_early("i1") == (heard, 2000)
    assert history.heard_text("i1", 1000) == " ".join(["word"] * 3)
    history.finish_reply("i1")
    assert history.heard_text("i1", 0) == heard
    assert history.end_audio_early("unknown") == ("", 0)
    history.append_words("i2", "r2", words)
    history.append_audio("i2", "r2", pcm_bytes=96_000, sample_rate_hz=24_000)
    assert history.heard_text("i2", 2000) == heard, "as at the default pace"


def test_an_echo_is_compared_with_the_most_that_may_have_been_spoken() -> None:
    history = History()
    words = " ".join(["word"] * 31)
    _reply(history, words, 2)
    assert history.heard_text("i1", 1500) == " ".join(["word"] * 4)
    assert history.longest_spoken_text("i1", 1500) == " ".join(["word"] * 23)


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
