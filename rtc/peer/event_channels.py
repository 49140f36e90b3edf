"""The data channels of one connection: whatever their names, each takes events.

What we say goes to the channel labelled `events` (or `oai-events`, as OpenAI's clients have it), or
else to the first one that is open, and to each other one over which the other side has sent an event
itself. Until the first one is open it waits, and a moment longer for one with such a label.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiortc import InvalidStateError, RTCDataChannel

from line.line import MAX_EVENT_BYTES

EVENTS_LABEL: Final = "events"
_EVENTS_LABELS: Final = (EVENTS_LABEL, "oai-events")
MAX_CHANNELS: Final = 8
MAX_BUFFERED_BYTES: Final = 1024 * 1024
"""Waiting to be sent, over all channels of a connection."""
MAX_EARLY_EVENTS: Final = 64
LABEL_PATIENCE_S: Final = 0.2
"""After another channel is open: channels of one client open one after the other."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EventCallbacks:
    """Called on the loop; must not raise or block. on_refused: with what is wrong with an event."""

    on_event: Callable[[str], None]
    on_refused: Callable[[str], None]
    on_open: Callable[[], None]


class EventChannels:
    """`attach` each channel as it comes; `send` when there is something to say."""

    def __init__(self, callbacks: EventCallbacks) -> None:
        self.dropped = 0
        # Whether the other side takes data channels at all, as far as is known.
        self.is_expected = True
        self._callbacks = callbacks
        self._channels: list[RTCDataChannel] = []
        # Those over which the other side has spoken.
        self._in_use: set[RTCDataChannel] = set()
        # What we say is passed on, and does not wait any more.
        self._has_begun = False
        self._patience: asyncio.TimerHandle | None = None
        self._early: deque[str] = deque()

    def attach(self, channel: RTCDataChannel) -> None:
        """Take events from `channel`."""
        if len(self._channels) >= MAX_CHANNELS:
            _log.debug("a data channel was closed: there are %d already", MAX_CHANNELS)
            channel.close()
            return
        self._channels.append(channel)
        channel.on("message", lambda message: self._handle_message(channel, message))
        channel.on("open", self._handle_open)
        channel.on("close", lambda: self._forget(channel))
        self._handle_open()

    def send(self, text: str) -> bool:
        """Send to the other side; False, and counted, when no channel takes it."""
        is_taken = self._buffered_bytes() <= MAX_BUFFERED_BYTES
        if self.is_expected and not self._has_begun:
            is_taken = is_taken and len(self._early) < MAX_EARLY_EVENTS
            if is_taken:
                self._early.append(text)
        else:
            is_taken = is_taken and self._pass_on(text)
        self.dropped += not is_taken
        return is_taken

    def _buffered_bytes(self) -> int:
        early = sum(len(text.encode()) for text in self._early)
        return early + sum(channel.bufferedAmount for channel in self._channels)

    def _pass_on(self, text: str) -> bool:
        sent = [_send(channel, text) for channel in self._targets()]
        return any(sent)

    def _targets(self) -> list[RTCDataChannel]:
        is_open = [channel for channel in self._channels if channel.readyState == "open"]
        first = next((one for one in is_open if one.label in _EVENTS_LABELS), None)
        first = first or next(iter(is_open), None)
        return [one for one in is_open if one is first or one in self._in_use]

    def close(self) -> None:
        """Wait for no channel any more. Idempotent."""
        if self._patience is not None:
            self._patience.cancel()

    @property
    def is_open(self) -> bool:
        """True if events leave at once."""
        return bool(self._targets())

    def _handle_open(self) -> None:
        if self.is_open:
            self._callbacks.on_open()
        if any(one.label in _EVENTS_LABELS for one in self._targets()):
            self._begin()
        elif self._patience is None and self.is_open:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(LABEL_PATIENCE_S, self._begin)

    def _begin(self) -> None:
        self.close()
        self._has_begun = True
        while self._early:
            self._pass_on(self._early.popleft())

    def _forget(self, channel: RTCDataChannel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
        self._in_use.discard(channel)

    def _handle_message(self, channel: RTCDataChannel, message: str | bytes) -> None:
        self._in_use.add(channel)
        self._begin()
        if not isinstance(message, str):
            self._callbacks.on_refused("an event is text in UTF-8, not binary")
        elif len(message) > MAX_EVENT_BYTES or len(message.encode()) > MAX_EVENT_BYTES:
            self._callbacks.on_refused(f"an event is at most {MAX_EVENT_BYTES} bytes")
        else:
            self._callbacks.on_event(message)


def _send(channel: RTCDataChannel, text: str) -> bool:
    try:
        channel.send(text)
    except (InvalidStateError, ValueError):
        # It has just closed, or takes no message of this length.
        return False
    return True
