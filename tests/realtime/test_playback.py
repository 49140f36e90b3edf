"""Played time adds up within a content part, and only there."""

from __future__ import annotations

import pytest

from realtime.playback import PlaybackState, RealtimePlaybackTracker


def test_nothing_was_played_at_first() -> None:
    assert RealtimePlaybackTracker().get_state() == PlaybackState(None, None, 0.0)


def test_bytes_and_milliseconds_add_up_and_a_new_part_starts_again() -> None:
    tracker = RealtimePlaybackTracker()
    tracker.on_play_bytes("item_1", 0, bytes(4800))
    tracker.on_play_ms("item_1", 0, 50)
    assert tracker.get_state() == PlaybackState("item_1", 0, 150.0)
    tracker.on_play_ms("item_1", 1, 20)
    assert tracker.get_state() == PlaybackState("item_1", 1, 20.0)


def test_interruption_forgets_what_was_played() -> None:
    tracker = RealtimePlaybackTracker()
    tracker.on_play_ms("item_1", 0, 50)
    tracker.on_interrupted()
    assert tracker.get_state() == PlaybackState()


def test_the_format_decides_how_long_bytes_last() -> None:
    tracker = RealtimePlaybackTracker()
    tracker.set_audio_format("g711_ulaw", 8000)
    tracker.on_play_bytes("item_1", 0, bytes(800))
    assert tracker.get_state().elapsed_ms == 100.0
    with pytest.raises(ValueError, match="positive"):
        tracker.set_audio_format("pcm16", 0)
