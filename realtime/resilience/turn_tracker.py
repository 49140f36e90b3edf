"""User turns whose transcript is not known yet. Pure; one a session.

Their audio must be sent again to the next session if this one is lost. A turn is settled once its
words are known, or once a reply that knew them is complete.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime import events as ours
from realtime.events import ModelEvent

LONGEST_ONSET_S = 2.0
"""Between the first word and the provider's word of it; a claim of more is not believed."""

HARD_TAIL_S = 1.0
"""Of audio sent last, what a lost provider may have held without saying so: the first syllables
of a turn that it had not announced yet."""


@dataclass(slots=True)
class _Turn:
    start: int
    end: int | None = None


class TurnTracker:
    """Follows one session. Positions as in `AudioBacklog`, milliseconds as the provider counts."""

    def __init__(self, *, base: int, sample_rate_hz: int, is_manual: bool) -> None:
        """
        base: position of the first sample that this session got
        is_manual: turns are ended by `CommitAudio`, the provider announces none
        """
        self._base = base
        self._rate_hz = sample_rate_hz
        self._is_manual = is_manual
        self._turns: dict[str, _Turn] = {}
        self._settled = base
        self._committed = base
        # Turns whose words may still come.
        self._unworded: set[str] = set()

    @property
    def base_ms(self) -> int:
        """The user audio before this session, in milliseconds."""
        return self._base * 1000 // self._rate_hz

    @property
    def speaking(self) -> str | None:
        """The item that the user is saying, or None."""
        return next((item for item, turn in self._turns.items() if turn.end is None), None)

    @property
    def open_items(self) -> list[str]:
        """Items of turns that are not settled, oldest first."""
        return list(self._turns)

    @property
    def has_all_words(self) -> bool:
        """True if no turn waits for its transcript."""
        return not self._unworded

    @property
    def oldest_needed(self) -> int | None:
        """The start of the oldest turn that is not settled."""
        if self._is_manual:
            return self._settled
        return min((turn.start for turn in self._turns.values()), default=None)

    def resend_from(self, *, sent: int, tail_s: float) -> int:
        """Return the position from which a next session needs the audio.

        sent: everything before was sent
        tail_s: possible length of a turn that the provider had not announced
        """
        if (needed := self.oldest_needed) is not None:
            return max(self._base, needed)
        return max(self._base, self._settled, sent - int(tail_s * self._rate_hz))

    def handle_commit(self, *, sent: int) -> None:
        """A turn was ended by hand here."""
        self._committed = sent

    def handle(self, event: ModelEvent, *, sent: int) -> None:
        """The provider said something; by now everything before `sent` was sent."""
        match event:
            case ours.SpeechStarted():
                earliest = sent - int(LONGEST_ONSET_S * self._rate_hz)
                start = max(self._at(event.audio_start_ms), earliest, self._settled)
                self._turns[event.item_id] = _Turn(min(start, sent))
                self._unworded.add(event.item_id)
            case ours.SpeechStopped():
                if (turn := self._turns.get(event.item_id)) is not None:
                    said_end = self._at(event.audio_end_ms)
                    turn.end = said_end if turn.start < said_end <= sent else sent
            case ours.InputTranscriptDone() | ours.InputTranscriptFailed():
                self._unworded.discard(event.item_id)
                self._settle(event.item_id)
            case ours.ResponseDone(status=ours.ResponseStatus.COMPLETED):
                for item_id in [item for item, turn in self._turns.items() if turn.end is not None]:
                    self._settle(item_id)
                self._settled = max(self._settled, self._committed)
            case _:
                pass

    def _settle(self, item_id: str) -> None:
        turn = self._turns.pop(item_id, None)
        end = self._committed if turn is None else turn.end
        self._settled = max(self._settled, end or self._settled)

    def _at(self, ms: int) -> int:
        return self._base + ms * self._rate_hz // 1000
