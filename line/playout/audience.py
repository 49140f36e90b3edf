"""`Audience`: listeners that one transport reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from line.playout.buffer import PlayoutFrame
from line.playout.listener_delay import ListenerDelay
from line.playout.pacer import Slot


class Audience(Protocol):
    """Gets every frame of the agent's voice at the moment in which it leaves."""

    @property
    def codec_s(self) -> float:
        """The delay of sound in the transport's codec."""
        ...

    def delays(self) -> Mapping[int, ListenerDelay]:
        """Listeners that are connected now, by uid."""
        ...

    def play(self, frame: PlayoutFrame, slot: Slot) -> None:
        """Send one frame. Frames without parts are silence after the last sound. Must not raise or
        block.
        """
        ...
