"""`Line`: what an agent and its session talk through, whatever carries the audio."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, Protocol

from line.audio_tap import AudioTap
from line.frames import BatchHandler
from line.participants import ChatMessage, RemoteUser
from line.playout.buffer import PlayoutPosition
from line.playout.heard import Heard
from line.sounds.clip import Clip
from line.statistics import LineStatistics
from line.timing import HOLD_PACKETS

MAX_EVENT_BYTES: Final = 60 * 1024
"""Of one event's JSON, on every line: what the data channels of all browsers carry."""

LINE_EVENTS: Final = frozenset(
    {
        "user_joined",
        "user_left",
        "user_updated",
        "user_connected",
        "connection_state_changed",
        "message",
        "event",
        "event_refused",
        "media_refused",
        "playout_started",
        "playout_done",
    }
)
"""Names for `Line.on`, with the arguments that listeners get:

user_joined(RemoteUser) · user_left(RemoteUser, reason) · user_updated(RemoteUser) ·
user_connected(uid): what is said now is heard there · connection_state_changed(state): "failed"
when the line is lost for good · message(ChatMessage, uid) · event(text, uid): JSON of a client event ·
event_refused(reason, uid): what came was no event · media_refused(reason, uid): no audio to or from
`uid` for now · playout_started(key), playout_done(key): first and last sample have left.
"""


class PlayoutProgress(Protocol):
    """The agent's voice in detail: what each listener has heard of it."""

    @property
    def is_busy(self) -> bool:
        """True if audio is queued, being sent, in flight to a listener, or still expected."""
        ...

    def until_frame_s(self, *, after_s: float) -> float:
        """From now to about `after_s` later, at a moment in which a frame leaves anyway."""
        ...

    def heard_by_all(self) -> Heard | None:
        """Return what every connected listener has heard by now; None: nothing lately."""
        ...

    def heard(self, uid: int) -> Heard | None:
        """Return what `uid` hears when an event that is sent to it now arrives."""
        ...

    def handle_playout_report(
        self, uid: int, *, playout_delay_ms: float, round_trip_ms: float | None
    ) -> None:
        """The word of `uid` on the delay of its own buffers, and on its round trip to us."""
        ...

    def handle_played_report(self, uid: int, key: Hashable, played_ms: float) -> None:
        """The word of `uid` that it has just played so much of `key`."""
        ...


class Line(Protocol):
    """Made once, `connect` once, `disconnect` once, then it is spent. Used on one event loop.

    All PCM is 16-bit mono; what participants say and what is pushed has the rate that the line was
    made with. Listeners (`LINE_EVENTS`) may be plain or async and can neither fail nor stall media.
    """

    @property
    def uid(self) -> int:
        """The agent's uid; 0 until it is known."""
        ...

    @property
    def remote_users(self) -> Mapping[int, RemoteUser]:
        """Everybody else, by uid; a live view."""
        ...

    async def connect(self) -> None:
        """Join; `user_joined` and `user_connected` follow for those who are there.

        Raises:
            LineError: with its code; nothing is left open.
        """
        ...

    async def disconnect(self) -> None:
        """Leave and close everything. Idempotent."""
        ...

    def on(self, name: str, listener: Callable[..., Any]) -> None:
        """Call `listener` on every event `name`."""
        ...

    # -- what they say --------------------------------------------------------------------------

    async def subscribe_audio(self, uid: int) -> None:
        """Begin to listen to `uid`.

        Raises:
            LineError: code unknown_member.
        """
        ...

    async def deliver_audio(self, uid: int, handle: BatchHandler) -> None:
        """Have `handle` take the frames of `uid` without gaps, all that wait at once, until `uid` leaves
        or it returns False. While it waits, up to 1 s is kept.

        Raises:
            LineError: code unknown_member.
        """
        ...

    def hold_silence(self, uid: int, after_s: float | None, max_frames: int = HOLD_PACKETS) -> None:
        """Allow frames of `uid` to come in batches of `max_frames` once it was silent for `after_s`;
        None: one by one.
        """
        ...

    # -- what the agent says --------------------------------------------------------------------

    def push_audio_frame(self, pcm: bytes, *, key: Hashable = None) -> None:
        """Queue PCM16 of any length under `key`, to be sent in real time.

        Raises:
            LineError: not connected.
        """
        ...

    def finish_audio(self, key: Hashable) -> None:
        """No more audio for `key`: `playout_done` follows its last sample."""
        ...

    def clear_sender_audio_buffer(self) -> list[PlayoutPosition]:
        """Fall silent now; where each key that was playing or waiting stood."""
        ...

    def pause_playout(self) -> None:
        """Fall silent now, keeping what waits; more may be pushed meanwhile."""
        ...

    def resume_playout(self) -> None:
        """Go on with the sample after the last one that left."""
        ...

    def playout_position(self) -> PlayoutPosition | None:
        """The position of the key that plays now; None in silence."""
        ...

    @property
    def outgoing(self) -> PlayoutProgress:
        """The agent's voice in detail.

        Raises:
            LineError: not connected.
        """
        ...

    # -- what else is heard: never part of positions, levels, recordings or what was heard ---------

    def set_background(self, clip: Clip | None, *, duck_db: float = 0.0) -> bool:
        """Have a sound under the voice and in silences, by `duck_db` softer under it; None: no longer.

        False, here and of `play_sound`, on a line that hands the voice over unpaced and mixes nothing.
        """
        ...

    def play_sound(self, clip: Clip) -> bool:
        """Play a single sound until its end, `stop_sound` or the first frame of the voice."""
        ...

    def stop_sound(self) -> None:
        """Fade it out within the next frame. Idempotent."""
        ...

    def set_muted(self, is_muted: bool) -> None:
        """Stop or resume sending; playout goes on unheard. Participants are notified."""
        ...

    def send_event(self, text: str, *, uid: int | None = None) -> bool:
        """Send a server event to `uid` or to all; False when a participant could not be reached.

        Raises:
            ValueError: over `MAX_EVENT_BYTES`.
        """
        ...

    async def send_chat(self, message: ChatMessage) -> None:
        """Send a chat message to all, and wait until it is written.

        Raises:
            LineError: not connected.
            ValueError: the line takes no such text.
        """
        ...

    def statistics(self) -> LineStatistics:
        """Return the statistics of this moment."""
        ...


class CreateLine(Protocol):
    """Makes an agent's line, not connected yet."""

    def __call__(self, sample_rate_hz: int, *, tap: AudioTap | None) -> Line:
        """
        sample_rate_hz: of the audio both ways: what the model speaks
        tap: gets a copy of all audio, for a recording
        """
        ...
