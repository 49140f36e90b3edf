"""How long each step from a person's last word to the agent's first sound took. Pure.

    speech end --> endpoint --> first byte --> first audio --> heard

Speech ends where the local ear heard the voice end. The endpoint is when the turn was found to be
over, the first byte the model's first words, sound or tool call, the first audio the first sample
that left for the listeners, tools that ran before it included.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

_MAX_ANSWER_S: Final = 30.0
"""A reply that begins later than that after a turn is no answer to it."""


class TurnTimings(BaseModel):
    """The steps of one turn in milliseconds; None where there was none, or it is not known."""

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

    @property
    def total_ms(self) -> float:
        """All that is known of it."""
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
        """item_id: None until the provider has named what ended"""
        self.item_id = item_id
        self.endpoint_s = endpoint_s
        self.speech_end_s: float | None = None
        self.responses: set[str] = set()
        self.first_byte_s: float | None = None


class TurnClock:
    """Takes the times of one turn after the other; each is told once, when it is complete."""

    def __init__(self) -> None:
        self._count = 0
        self._is_voice = False
        # Since the last turn.
        self._voice_end_s: float | None = None
        self._turn: _Turn | None = None

    def voice_started(self) -> None:
        """The local ear hears somebody."""
        self._is_voice = True

    def voice_stopped(self, at_s: float) -> None:
        """The local ear hears nobody any more, since `at_s`."""
        self._is_voice = False
        turn = self._turn
        if turn is not None and at_s <= turn.endpoint_s:
            # The provider was quicker to say so.
            turn.speech_end_s = at_s
        else:
            self._voice_end_s = at_s

    def turn_ended(self, item_id: str | None, now_s: float) -> TurnTimings | None:
        """A turn was found to be over; again for the same one changes nothing. Returns the turn
        before it, if its reply was begun and never heard.

        item_id: None when somebody ended it by hand and the provider does not know of it yet
        """
        turn = self._turn
        if turn is not None and item_id is not None and turn.item_id in (None, item_id):
            turn.item_id = item_id
            return None
        unheard = self._told()
        self._turn = turn = _Turn(item_id, now_s)
        turn.speech_end_s = now_s if self._is_voice else self._voice_end_s
        self._voice_end_s = None
        return unheard

    def turn_written(self, now_s: float) -> TurnTimings | None:
        """Somebody wrote; as `turn_ended`."""
        unheard = self._told()
        self._turn = _Turn("written", now_s)
        return unheard

    def turn_dropped(self, item_id: str) -> None:
        """It was no turn at all: noise, or the agent's echo."""
        turn = self._turn
        if turn is not None and turn.item_id == item_id and turn.first_byte_s is None:
            self._turn = None

    def response_created(self, response_id: str, now_s: float) -> None:
        """The model acknowledges that it will reply."""
        turn = self._turn
        if turn is not None and (turn.responses or now_s - turn.endpoint_s <= _MAX_ANSWER_S):
            turn.responses.add(response_id)

    def model_spoke(self, response_id: str, now_s: float) -> None:
        """The model said something, or called a tool."""
        turn = self._turn
        if turn is not None and turn.first_byte_s is None and response_id in turn.responses:
            turn.first_byte_s = now_s

    def playout_started(
        self, response_id: str, now_s: float, *, heard_after_ms: float | None = None
    ) -> TurnTimings | None:
        """The first sample of a reply left; returns the turn that it answers, if any.

        heard_after_ms: how long it takes to the listener, where that is known
        """
        turn = self._turn
        if turn is None or turn.first_byte_s is None or response_id not in turn.responses:
            return None
        return self._told(now_s, heard_after_ms)

    def _told(
        self, first_audio_s: float | None = None, heard_after_ms: float | None = None
    ) -> TurnTimings | None:
        turn, self._turn = self._turn, None
        if turn is None or turn.first_byte_s is None:
            return None
        self._count += 1
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
