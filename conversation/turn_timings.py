"""Duration of each step from the end of a user's speech to the first sound of the reply. Pure.

    speech end --> endpoint --> first byte --> first audio --> heard

Speech ends where the local voice level fell. The endpoint is the moment at which the turn was found
to be over, the first byte the model's first words, sound or tool call, the first audio the first
sample that left for the listeners, tools that ran before it included.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

_MAX_ANSWER_S: Final = 30.0
"""A reply that begins later than that after a turn is no answer to it."""


class TurnTimings(BaseModel):
    """Steps of one turn in milliseconds; None: the step did not happen, or its time is unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    turn: int = Field(description="which one of its agent process, from 1")
    speech_end_to_endpoint_ms: float | None = Field(
        default=None, description="none for what was written"
    )
    endpoint_to_first_byte_ms: float | None = None
    first_byte_to_first_audio_ms: float | None = Field(
        default=None, description="none for a reply that was given up before it was heard"
    )
    first_audio_to_heard_ms: float | None = Field(
        default=None, description="the way to the listener"
    )
    endpoint_at_ms: int | None = Field(
        default=None, description="when the turn was found to be over, Unix time in milliseconds"
    )

    @property
    def total_ms(self) -> float:
        """Sum of the known steps."""
        return sum(
            step_ms or 0.0
            for step_ms in (
                self.speech_end_to_endpoint_ms,
                self.endpoint_to_first_byte_ms,
                self.first_byte_to_first_audio_ms,
                self.first_audio_to_heard_ms,
            )
        )


class _Turn:
    def __init__(self, item_id: str | None, endpoint_s: float) -> None:
        """item_id: None until the provider has named the turn"""
        self.item_id = item_id
        self.endpoint_s = endpoint_s
        self.speech_end_s: float | None = None
        # Replies to this turn: a tool call and its follow-up are two.
        self.responses: set[str] = set()
        self.first_byte_s: float | None = None


class TurnClock:
    """Takes the times of one turn after the other. Returns each turn once, when it is complete.

    endpoint_s: of the turn that was returned last
    """

    def __init__(self) -> None:
        self.endpoint_s = 0.0
        self._count = 0
        # A voice is heard now (local level).
        self._is_voice = False
        # Since the last turn.
        self._voice_end_s: float | None = None
        self._turn: _Turn | None = None

    def voice_started(self) -> None:
        """Note the beginning of a voice (local voice level)."""
        self._is_voice = True

    def voice_stopped(self, at_s: float) -> None:
        """Note that no voice is left since `at_s`."""
        self._is_voice = False
        turn = self._turn
        if turn is not None and at_s <= turn.endpoint_s:
            # The provider was quicker to say so.
            turn.speech_end_s = at_s
        else:
            self._voice_end_s = at_s

    def turn_ended(self, item_id: str | None, now_s: float) -> TurnTimings | None:
        """Note the endpoint of a turn; idempotent for the same turn. Returns the turn before it if
        the reply to it was begun and never heard.

        item_id: None for a turn that was ended by hand and that the provider has not named yet
        """
        turn = self._turn
        if turn is not None and item_id is not None and turn.item_id in (None, item_id):
            turn.item_id = item_id
            return None
        unheard = self._finish()
        self._turn = turn = _Turn(item_id, now_s)
        turn.speech_end_s = now_s if self._is_voice else self._voice_end_s
        self._voice_end_s = None
        return unheard

    def turn_written(self, now_s: float) -> TurnTimings | None:
        """Note a written turn; returns as `turn_ended`."""
        unheard = self._finish()
        self._turn = _Turn("written", now_s)
        return unheard

    def turn_dropped(self, item_id: str) -> None:
        """Drop a turn that turned out to be noise or echo."""
        turn = self._turn
        if turn is not None and turn.item_id == item_id and turn.first_byte_s is None:
            self._turn = None

    def response_created(self, response_id: str, now_s: float) -> None:
        """Note that the model began a reply."""
        turn = self._turn
        if turn is not None and (turn.responses or now_s - turn.endpoint_s <= _MAX_ANSWER_S):
            turn.responses.add(response_id)

    def model_spoke(self, response_id: str, now_s: float) -> None:
        """Note the first output of a reply: words, audio or a tool call."""
        turn = self._turn
        if turn is not None and turn.first_byte_s is None and response_id in turn.responses:
            turn.first_byte_s = now_s

    def playout_started(
        self, response_id: str, now_s: float, *, heard_after_ms: float | None = None
    ) -> TurnTimings | None:
        """Note that the first sample of a reply left; return the turn that it answers, if any.

        heard_after_ms: time from there to the listener, if known
        """
        turn = self._turn
        if turn is None or turn.first_byte_s is None or response_id not in turn.responses:
            return None
        return self._finish(now_s, heard_after_ms)

    def _finish(
        self, first_audio_s: float | None = None, heard_after_ms: float | None = None
    ) -> TurnTimings | None:
        turn, self._turn = self._turn, None
        if turn is None or turn.first_byte_s is None:
            return None
        self._count += 1
        self.endpoint_s = turn.endpoint_s
        return TurnTimings(
            turn=self._count,
            speech_end_to_endpoint_ms=_between_ms(turn.speech_end_s, turn.endpoint_s),
            endpoint_to_first_byte_ms=_between_ms(turn.endpoint_s, turn.first_byte_s),
            first_byte_to_first_audio_ms=_between_ms(turn.first_byte_s, first_audio_s),
            first_audio_to_heard_ms=None if heard_after_ms is None else round(heard_after_ms, 1),
        )


def _between_ms(start_s: float | None, end_s: float | None) -> float | None:
    if start_s is None or end_s is None:
        return None
    return round((end_s - start_s) * 1000, 1)
