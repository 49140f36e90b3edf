"""`LiveInputQueue`: what an application says to an agent that runs in-process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

LiveInputKind = Literal[
    "audio",
    "text",
    "image",
    "activity_start",
    "activity_end",
    "interrupt",
    "tool_approval",
    "tool_result",
]

MAX_AUDIO_S: Final = 60.0
"""Audio that waits for an agent; of more, the oldest is dropped."""

MAX_CONTROLS: Final = 10_000
"""Other inputs that wait; none is dropped, and one more raises `LiveQueueFullError`."""

MIN_RATE_HZ: Final = 4_000
MAX_RATE_HZ: Final = 192_000


class LiveQueueFullError(RuntimeError):
    """`MAX_CONTROLS` inputs wait, and no call takes them."""


@dataclass(frozen=True, slots=True)
class LiveInput:
    """One input. Which fields are set depends on `kind`."""

    kind: LiveInputKind
    data: bytes = field(default=b"", repr=False)
    text: str = field(default="", repr=False)
    sample_rate: int = 0
    mime_type: str = ""
    id: str = ""
    name: str = ""
    is_allowed: bool = False
    is_always: bool = False
    output: Any = field(default=None, repr=False)
    should_reply: bool = True

    @property
    def duration_s(self) -> float:
        """Length of its audio."""
        return len(self.data) / 2 / self.sample_rate if self.kind == "audio" else 0.0


class LiveInputQueue:
    """Inputs in order. Its methods may be called from any thread and never block.

    What is sent after `close` is dropped. A full queue drops its oldest audio and keeps everything
    else. dropped: number of inputs that were dropped
    """

    def __init__(self, *, max_audio_s: float = MAX_AUDIO_S) -> None:
        if not max_audio_s > 0:
            raise ValueError(f"max_audio_s must be positive, not {max_audio_s}")
        self.dropped = 0
        self._max_audio_s = max_audio_s
        self._lock = threading.Lock()
        self._waiting: deque[LiveInput] = deque()
        self._audio_s = 0.0
        self._controls = 0
        self._is_closed = False
        # Called, without the lock, when there is news; set by the one consumer.
        self._on_news: Callable[[], None] | None = None

    # -- for the application -----------------------------------------------------------------------

    def send_audio(self, data: bytes, sample_rate: int = 16_000) -> None:
        """Say a piece of PCM16 mono, at any rate from 4 to 192 kHz.

        Raises:
            ValueError: Half a sample, or no such rate.
        """
        if len(data) % 2:
            raise ValueError("PCM16 needs an even number of bytes")
        if not MIN_RATE_HZ <= sample_rate <= MAX_RATE_HZ:
            raise ValueError(f"sample_rate must be {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")
        if data:
            self._put(LiveInput("audio", bytes(data), sample_rate=sample_rate))

    def send_text(self, text: str) -> None:
        """Write a user message; it is answered.

        Raises:
            ValueError: The text is empty.
        """
        if not text.strip():
            raise ValueError("the text is empty")
        self._put(LiveInput("text", text=text))

    def send_image(self, data: bytes, mime_type: str = "image/jpeg") -> None:
        """Show a picture (JPEG or PNG)."""
        self._put(LiveInput("image", bytes(data), mime_type=mime_type))

    def send_activity_start(self) -> None:
        """Begin a turn by hand, where the turn detection is off."""
        self._put(LiveInput("activity_start"))

    def send_activity_end(self) -> None:
        """End a turn by hand; it is answered."""
        self._put(LiveInput("activity_end"))

    def interrupt(self) -> None:
        """Silence the agent."""
        self._put(LiveInput("interrupt"))

    def send_tool_approval(
        self, call_id: str, *, approve: bool, always: bool = False, reason: str = ""
    ) -> None:
        """Answer a `tool_approval_required`. always: the same for this tool from now on"""
        self._put(
            LiveInput(
                "tool_approval", id=call_id, is_allowed=approve, is_always=always, text=reason
            )
        )

    def send_tool_result(
        self, call_id: str, output: Any, *, name: str = "", should_reply: bool = True
    ) -> None:
        """Answer a `tool_call` that is the client's, with any JSON value."""
        self._put(
            LiveInput(
                "tool_result", id=call_id, name=name, output=output, should_reply=should_reply
            )
        )

    def close(self) -> None:
        """End the input; the call ends once the agent has answered. Idempotent."""
        with self._lock:
            self._is_closed = True
        self._announce()

    @property
    def is_closed(self) -> bool:
        """True after `close`."""
        return self._is_closed

    @property
    def waiting_s(self) -> float:
        """Audio that waits."""
        return self._audio_s

    @property
    def waiting(self) -> int:
        """Inputs that wait."""
        return len(self._waiting)

    def _put(self, item: LiveInput) -> None:
        with self._lock:
            if self._is_closed:
                self.dropped += 1
                return
            if item.kind != "audio":
                if self._controls >= MAX_CONTROLS:
                    raise LiveQueueFullError(f"{MAX_CONTROLS} inputs wait, and no call takes them")
                self._controls += 1
            self._waiting.append(item)
            self._audio_s += item.duration_s
            if self._audio_s > self._max_audio_s:
                self._drop_oldest_audio()
        self._announce()

    def _drop_oldest_audio(self) -> None:
        kept: list[LiveInput] = []
        while self._audio_s > self._max_audio_s and self._waiting:
            oldest = self._waiting.popleft()
            if oldest.kind != "audio":
                kept.append(oldest)
                continue
            self.dropped += 1
            self._audio_s -= oldest.duration_s
            # Of a piece longer than the queue its end is kept.
            if (excess_s := self._max_audio_s - self._audio_s) > 0:
                kept_bytes = int(excess_s * oldest.sample_rate) * 2
                if rest := oldest.data[len(oldest.data) - min(kept_bytes, len(oldest.data)) :]:
                    kept.append(LiveInput("audio", rest, sample_rate=oldest.sample_rate))
                    self._audio_s += kept[-1].duration_s
                break
        self._waiting.extendleft(reversed(kept))

    def _announce(self) -> None:
        if (on_news := self._on_news) is not None:
            on_news()

    # -- for the one who runs the call -------------------------------------------------------------

    def attach(self, on_news: Callable[[], None]) -> None:
        """Have `on_news` called, from any thread, whenever something was sent.

        Raises:
            RuntimeError: Another call takes from this queue.
        """
        with self._lock:
            if self._on_news is not None:
                raise RuntimeError("this LiveInputQueue is in use by another call")
            self._on_news = on_news
        on_news()

    def detach(self) -> None:
        """Forget `on_news`. Idempotent."""
        self._on_news = None

    def take(self) -> LiveInput | None:
        """Remove and return the oldest input; None: nothing waits."""
        with self._lock:
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            if item.kind == "audio":
                self._audio_s = max(0.0, self._audio_s - item.duration_s)
            else:
                self._controls -= 1
            return item
