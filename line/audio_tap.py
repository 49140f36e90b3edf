"""Listener to all audio of a channel, both ways."""

from __future__ import annotations

from typing import Protocol


class AudioTap(Protocol):
    """Gets frames of PCM16 with the loop time (seconds) at which their first sample is heard.

    Called on the media path: its methods must return at once and not raise.
    """

    def handle_received_audio(self, uid: int, pcm: bytes, at_s: float) -> None:
        """The next frame of a subscribed participant."""
        ...

    def handle_sent_audio(self, pcm: bytes, at_s: float) -> None:
        """The next frame of ours with sound in it that the others get; pauses are left out."""
        ...
