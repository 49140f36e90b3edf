"""Decides whether speech over a reply is an interruption, from its length and its words. Times in
seconds.

A pending interruption opens when there is a sound while a reply is interruptible, and always ends:
every state has a deadline. It has two inputs: the provider's turn detection, which decides, and the
local voice level, which is faster but may only open a pending interruption and measure it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from conversation.turn_taking.interrupt_policy import (
    Decision,
    InterruptCause,
    InterruptMode,
    InterruptPolicy,
    TranscriptClassifier,
)
from utils import BoundedDict

SHORT_SOUND_MS: Final = 200
"""A sound shorter than this is no word; after `SHORT_SOUND_QUIET_S` of quiet the reply goes on."""

SHORT_SOUND_QUIET_S: Final = 0.2
UNCONFIRMED_S: Final = 0.5
"""Time for the provider to confirm a voice that the local level has reported."""

PROVIDER_TAIL_MS: Final = 500
"""Silence after which a provider reports the end of speech."""

ECHO_GUARD_S: Final = 10.0
"""After an echo more echo is expected: for so long only words count and playout never pauses."""

FALSE_ALARMS: Final = 2
FALSE_ALARM_REST_S: Final = 15.0
"""After `FALSE_ALARMS` in a row the local voice level is ignored for so long."""

MAX_PENDING_S: Final = 10.0
"""Longest life of a pending interruption, whatever the provider sends or omits."""

_RECENT_VOICE_S: Final = 1.0
# Of a long voice, so much belongs to the speech that the provider has just reported.
_EARLIER_VOICE_S: Final = 0.5
_REMEMBERED: Final = 64


@dataclass
class _PendingInterruption:
    since_s: float
    # An echo was recognised lately: only words count, and playout does not pause.
    is_guarded: bool
    is_own: bool  # opened by the local voice level
    # Voice measured locally, without the part that goes on.
    voiced_ms: float = 0.0
    quiet_since_s: float | None = None
    stopped_at_s: float | None = None
    # The transcript failed: the length alone decides.
    is_wordless: bool = False
    # Nothing of the reply was heard yet: a reply that takes the new words into account is better.
    is_unheard: bool = False
    open_items: set[str] = field(default_factory=set)
    # Items whose transcripts did not count; others of this interruption are still open.
    cleared_items: list[str] = field(default_factory=list)

    @property
    def items(self) -> tuple[str, ...]:
        return (*self.cleared_items, *sorted(self.open_items))


class InterruptionDetector:
    """Decides for one agent. Methods that can end a pending interruption return the decision."""

    def __init__(self, policy: InterruptPolicy, language: str = "en") -> None:
        self._policy = policy
        self._classifier = TranscriptClassifier(policy, language)
        self._pending: _PendingInterruption | None = None
        # Turns ruled out before their transcripts came; the transcript may still make them count.
        self._passed: BoundedDict[str, None] = BoundedDict(_REMEMBERED)
        # Start of the voice that goes on now (local level).
        self._voice_since_s: float | None = None
        self._last_voice: tuple[float, float] | None = None  # its length in ms, when it ended
        # Echo is expected until then.
        self._guarded_until_s = float("-inf")
        # After false alarms, the local level opens nothing until then.
        self._level_ignored_until_s = float("-inf")
        self._false_alarms = 0

    @property
    def is_pending(self) -> bool:
        """True while a decision is due."""
        return self._pending is not None

    @property
    def should_pause(self) -> bool:
        """True while the agent's voice should be paused."""
        pending = self._pending
        is_pausing = self._policy.mode is InterruptMode.CONFIRM
        return is_pausing and pending is not None and not pending.is_guarded

    def expects_echo(self, now_s: float) -> bool:
        """Return true if the agent's own voice was recognised lately."""
        return now_s < self._guarded_until_s

    # -- what is heard -------------------------------------------------------------------------

    def handle_voice_started(self, onset_s: float, *, now_s: float, is_interruptible: bool) -> None:
        """Note a voice since `onset_s` (local level). is_interruptible: there is a reply to be
        lost.
        """
        if self._voice_since_s is None:
            self._voice_since_s = onset_s
        if self._pending is not None:
            self._pending.quiet_since_s = None
        elif is_interruptible and self._may_open(now_s):
            self._pending = _PendingInterruption(now_s, is_guarded=False, is_own=True)

    def _may_open(self, now_s: float) -> bool:
        is_pausing = self._policy.mode is InterruptMode.CONFIRM
        return is_pausing and now_s >= max(self._level_ignored_until_s, self._guarded_until_s)

    def handle_voice_stopped(self, end_s: float) -> None:
        """Note that no voice is left since `end_s` (local level)."""
        if self._voice_since_s is None:
            return
        length_ms = max(0.0, end_s - self._voice_since_s) * 1000
        self._voice_since_s = None
        self._last_voice = (length_ms, end_s)
        if self._pending is not None:
            self._pending.voiced_ms += length_ms
            self._pending.quiet_since_s = end_s

    def handle_speech_started(
        self, item_id: str, *, now_s: float, is_interruptible: bool, is_heard: bool = True
    ) -> bool:
        """Note the start of a turn (provider); return true if it is pending or was ruled out.

        is_heard: some of the reply was heard, so that it can be resumed
        """
        if self._pending is None:
            if not is_interruptible:
                return False
            if self._was_short_sound(now_s):
                self._passed[item_id] = None
                return True
            self._open(now_s)
        assert self._pending is not None
        self._pending.is_unheard = not is_heard
        self._pending.open_items.add(item_id)
        self._pending.stopped_at_s = None
        return True

    def _was_short_sound(self, now_s: float) -> bool:
        """Return true if the provider reports a sound that was ruled out already."""
        if self._last_voice is None or self._voice_since_s is not None:
            return False
        length_ms, end_s = self._last_voice
        return length_ms < SHORT_SOUND_MS and SHORT_SOUND_QUIET_S <= now_s - end_s < _RECENT_VOICE_S

    def _open(self, now_s: float) -> None:
        self._pending = _PendingInterruption(
            now_s, is_guarded=now_s < self._guarded_until_s, is_own=False
        )
        if self._voice_since_s is not None:
            self._voice_since_s = max(self._voice_since_s, now_s - _EARLIER_VOICE_S)
        elif self._last_voice is not None:
            length_ms, end_s = self._last_voice
            if now_s - end_s < _RECENT_VOICE_S:
                self._pending.voiced_ms, self._pending.quiet_since_s = length_ms, end_s

    def handle_speech_stopped(self, item_id: str, *, now_s: float) -> None:
        """Note the end of a turn (provider); its transcript is awaited."""
        if self._pending is not None and item_id in self._pending.open_items:
            self._pending.stopped_at_s = now_s

    def handle_words(
        self, item_id: str, transcript: str, *, spoken: str, now_s: float
    ) -> Decision | None:
        """Decide by the transcript of a turn. spoken: the agent's words up to now."""
        pending = self._pending
        if pending is not None and item_id in pending.open_items:
            cause = self._classifier.classify(transcript, spoken=spoken)
            if cause is not InterruptCause.WORDS:
                pending.open_items.discard(item_id)
                pending.cleared_items.append(item_id)
                if pending.open_items:
                    return None
            return self._end(cause, now_s)
        if item_id not in self._passed:
            return None
        del self._passed[item_id]
        return Decision(self._classifier.classify(transcript, spoken=spoken), (item_id,))

    def handle_no_words(self, item_id: str, *, now_s: float) -> Decision | None:
        """Decide by the length of a turn whose transcript will never come."""
        self._passed.pop(item_id, None)
        if self._pending is None or item_id not in self._pending.open_items:
            return None
        self._pending.is_wordless = True
        self._pending.stopped_at_s = self._pending.stopped_at_s or now_s
        return self.poll(now_s)

    def resolve(self) -> tuple[str, ...]:
        """End the pending interruption without a decision, for example after a written message;
        return its turns.
        """
        items = self._pending.items if self._pending is not None else ()
        self._pending = None
        return items

    # -- time ----------------------------------------------------------------------------------

    @property
    def deadline_s(self) -> float | None:
        """Time of the next `poll`; None: nothing is pending."""
        if self._pending is None:
            return None
        return min((at_s for at_s, _ in self._ends(self._pending)), default=None)

    def poll(self, now_s: float) -> Decision | None:
        """Decide if a deadline has passed."""
        if self._pending is None:
            return None
        due = [end for end in self._ends(self._pending) if end[0] <= now_s]
        return self._end(min(due)[1], now_s) if due else None

    def _ends(self, pending: _PendingInterruption) -> list[tuple[float, InterruptCause]]:
        """Return the causes that end this pending interruption if nothing more is heard, each with
        its time.
        """
        ends = [(pending.since_s + MAX_PENDING_S, InterruptCause.SHORT)]
        if not pending.is_guarded:
            ends += self._length_ends(pending)
        if not pending.open_items:
            ends.append((pending.since_s + UNCONFIRMED_S, InterruptCause.UNCONFIRMED))
        is_quiet = self._voice_since_s is None and pending.quiet_since_s is not None
        if (
            is_quiet
            and pending.quiet_since_s is not None
            and 0 < pending.voiced_ms < SHORT_SOUND_MS
        ):
            ends.append((pending.quiet_since_s + SHORT_SOUND_QUIET_S, InterruptCause.SHORT))
        if (ended_at_s := self._ended_at_s(pending)) is not None:
            is_long = self._speech_ms(pending, ended_at_s) >= self._policy.min_duration_ms
            is_hasty = pending.is_wordless or (pending.is_unheard and is_long)
            wait_ms = 0 if is_hasty else self._policy.words_timeout_ms
            cause = (
                InterruptCause.LENGTH
                if is_long and not pending.is_guarded
                else InterruptCause.SHORT
            )
            ends.append((ended_at_s + wait_ms / 1000, cause))
        return ends

    def _length_ends(self, pending: _PendingInterruption) -> list[tuple[float, InterruptCause]]:
        """Return the end by length of speech that goes on, whatever its words."""
        if not pending.open_items:
            return []
        sure_s = self._policy.sure_after_ms / 1000
        if self._voice_since_s is not None:
            return [
                (self._voice_since_s + sure_s - pending.voiced_ms / 1000, InterruptCause.LENGTH)
            ]
        if pending.voiced_ms == 0 and pending.stopped_at_s is None:
            return [(pending.since_s + sure_s + PROVIDER_TAIL_MS / 1000, InterruptCause.LENGTH)]
        return []

    def _ended_at_s(self, pending: _PendingInterruption) -> float | None:
        """Return the end of the speech; earlier than the provider's report if the local level fell
        before it.
        """
        ends = [] if pending.stopped_at_s is None else [pending.stopped_at_s]
        if self._voice_since_s is None and pending.quiet_since_s is not None:
            ends.append(pending.quiet_since_s + PROVIDER_TAIL_MS / 1000)
        return min(ends, default=None)

    def _speech_ms(self, pending: _PendingInterruption, now_s: float) -> float:
        voiced_ms = pending.voiced_ms
        if self._voice_since_s is not None:
            voiced_ms += max(0.0, now_s - self._voice_since_s) * 1000
        return voiced_ms or (now_s - pending.since_s) * 1000 - PROVIDER_TAIL_MS

    # -- the end -------------------------------------------------------------------------------

    def _end(self, cause: InterruptCause, now_s: float) -> Decision:
        pending = self._pending
        assert pending is not None
        self._pending = None
        decision = Decision(cause, pending.items)
        if cause is InterruptCause.ECHO:
            self._guarded_until_s = now_s + ECHO_GUARD_S
        if not decision.is_cut:
            for item_id in sorted(pending.open_items):
                self._passed[item_id] = None
        self._count_false_alarm(pending, cause, now_s)
        return decision

    def _count_false_alarm(
        self, pending: _PendingInterruption, cause: InterruptCause, now_s: float
    ) -> None:
        if not pending.is_own or cause not in (InterruptCause.UNCONFIRMED, InterruptCause.SHORT):
            self._false_alarms = 0
            return
        self._false_alarms += 1
        if self._false_alarms >= FALSE_ALARMS:
            self._false_alarms = 0
            self._level_ignored_until_s = now_s + FALSE_ALARM_REST_S
