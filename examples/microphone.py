"""Talk with an agent through this machine's microphone and loudspeaker: `python -m examples.microphone`.

Full duplex: you may interrupt. With a loudspeaker the microphone hears the agent too, so that its own words
are dropped by the agent's echo judge; `--half-duplex` closes the microphone while the agent speaks instead,
for machines whose loudspeaker is loud. Needs `pip install -r requirements-microphone.txt` and PortAudio.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections import deque
from typing import Any

from parley import Agent, LiveInputQueue, RealtimeEvent, RealtimePlaybackTracker

RATE_HZ = 24_000
BLOCK = RATE_HZ // 50

agent = Agent("helper", instructions="Answer in one or two short sentences.", greeting="Hello!")


class Loudspeaker:
    """Plays pieces in order, and reports what was played. Filled on the loop, emptied by a thread."""

    def __init__(self, tracker: RealtimePlaybackTracker) -> None:
        self._tracker = tracker
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, int, bytearray]] = deque()
        self._is_paused = False

    @property
    def is_playing(self) -> bool:
        """True while something waits to be heard."""
        return bool(self._waiting) and not self._is_paused

    def handle(self, event: RealtimeEvent) -> None:
        """Follow an event of the call."""
        with self._lock:
            if event.type == "audio_delta":
                piece = bytearray(event.data)
                self._waiting.append((event.item_id, event.content_index, piece))
            elif event.type == "interrupted":
                self._waiting.clear()
                self._is_paused = False
            elif event.type == "playback_paused":
                self._is_paused = True
            elif event.type == "playback_resumed":
                self._is_paused = False

    def play(self, out: Any, frames: int, _time: object, _status: object) -> None:
        """Fill one block of the loudspeaker; called by its thread."""
        block = bytearray()
        with self._lock:
            while self._waiting and len(block) < frames * 2 and not self._is_paused:
                item_id, index, piece = self._waiting[0]
                taken = bytes(piece[: frames * 2 - len(block)])
                del piece[: len(taken)]
                block += taken
                self._tracker.on_play_bytes(item_id, index, taken)
                if not piece:
                    self._waiting.popleft()
        out[:] = bytes(block) + bytes(frames * 2 - len(block))


async def talk(*, is_half_duplex: bool, queue: LiveInputQueue | None = None) -> None:
    """Talk until the call ends, or this task is cancelled."""
    # Here, so that the agent of this file can be served (`--app`) where there is no sound card.
    import sounddevice

    tracker = RealtimePlaybackTracker()
    queue, speaker = queue or LiveInputQueue(), Loudspeaker(tracker)

    def listen(data: Any, frames: int, _time: object, _status: object) -> None:
        is_closed = is_half_duplex and speaker.is_playing
        queue.send_audio(bytes(frames * 2) if is_closed else bytes(data), RATE_HZ)

    form: dict[str, Any] = {
        "samplerate": RATE_HZ,
        "blocksize": BLOCK,
        "channels": 1,
        "dtype": "int16",
    }
    with (
        sounddevice.RawInputStream(callback=listen, **form),
        sounddevice.RawOutputStream(callback=speaker.play, **form),
    ):
        async for event in agent.arealtime(queue, playback_tracker=tracker):
            speaker.handle(event)
            if event.type == "input_transcript" and event.finished:
                print("you:  ", event.text)
            if event.type == "output_transcript" and event.finished:
                print("agent:", event.text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half-duplex", action="store_true", help="no interruptions, no echo")
    try:
        asyncio.run(talk(is_half_duplex=parser.parse_args().half_duplex))
    except KeyboardInterrupt:
        pass
