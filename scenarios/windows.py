"""The time of one turn, and the result that a call has of it. Pure but for the recogniser, which is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from scenarios.caller import Caller
from scenarios.format import TurnKind
from scenarios.microphone import Utterance
from scenarios.reply_log import LoggedCall, LoggedReply
from scenarios.results import ReplyResult, SeenEvent, ToolCallResult, TurnResult

SILENCE_S: Final = 0.4
"""Of the agent, after which it has fallen silent: longer than a pause between words."""

_YIELD_S: Final = 1.0
"""After so long of speaking over it, the agent's voice counts as overlap."""

_OVER_S: Final = 0.3
"""The agent is speaking if it was heard within this time."""


@dataclass
class Window:
    """From the beginning of a turn to that of the next. Loop times, in seconds.

    acted_s: when the person had done their part (typed, approved); speech has its utterance
    problem: why the turn could not be made as it was meant to be; named in its verdict
    """

    number: int
    kind: TurnKind | Literal["greeting"]
    caller: Caller
    began_s: float
    said: str = ""
    ended_s: float = float("inf")
    acted_s: float | None = None
    utterance: Utterance | None = None
    is_answer_expected: bool = False
    problem: tuple[str, str] | None = None
    words_heard: str | None = None

    @property
    def answer_since_s(self) -> float | None:
        """From when on an answer is looked for."""
        if self.utterance is not None and self.utterance.ended_s is not None:
            return self.utterance.ended_s
        return self.acted_s

    @property
    def replies(self) -> list[LoggedReply]:
        """Those that began in it."""
        return self.caller.log.replies_since(self.began_s, self.ended_s)

    @property
    def is_answered(self) -> bool:
        """True if the agent replied in it."""
        log = self.caller.log
        return bool(self.replies or log.responses_in(self.began_s, self.ended_s))

    @property
    def understood(self) -> str:
        """The person's words, as the agent understood them."""
        uids = (self.caller.uid, None)
        found = [text for at_s, text, uid in self.caller.log.understood
                 if self.began_s <= at_s < self.ended_s and uid in uids]  # fmt: skip
        return " ".join(text for text in found if text)

    def heard_pcm(self) -> bytes:
        """Return the agent's sound, without silence at its ends; empty: there was none."""
        heard = self.caller.heard
        first_s = heard.first_loud_s(self.began_s)
        if first_s is None or first_s >= self.ended_s:
            return b""
        last_s = heard.last_loud_before_s(self.ended_s)
        return heard.pcm(first_s - 0.1, (last_s or self.ended_s) + 0.1)


@dataclass(frozen=True)
class Timeline:
    """Turns loop times into milliseconds since the first person joined."""

    origin_s: float
    windows: Sequence[Window] = field(default_factory=list)

    def ms(self, at_s: float) -> float:
        """Return a time, rounded."""
        return round((at_s - self.origin_s) * 1000, 1)

    def _opt(self, at_s: float | None) -> float | None:
        return None if at_s is None else self.ms(at_s)

    def result(self, window: Window) -> TurnResult:
        """Return what happened in a window, without verdicts."""
        heard, log, end_s = window.caller.heard, window.caller.log, window.ended_s
        spoke_s, spoke_to_s = _spoken(window)
        is_over = spoke_s is not None and heard.was_loud(spoke_s, _OVER_S)
        last_s = heard.last_loud_before_s(end_s)
        since_s = window.answer_since_s
        first_s = (
            None if since_s is None or heard.was_loud(since_s) else heard.first_loud_s(since_s)
        )
        is_answered = first_s is not None and first_s < end_s
        return TurnResult(
            number=window.number,
            kind=window.kind,
            by=window.caller.name,
            said=window.said,
            understood=window.understood,
            began_ms=self.ms(window.began_s),
            ended_ms=self.ms(end_s),
            spoke_from_ms=self._opt(spoke_s),
            spoke_to_ms=self._opt(spoke_to_s),
            replies=tuple(self._reply(reply) for reply in window.replies),
            tool_calls=tuple(self._call(call) for call in log.calls_since(window.began_s, end_s)),
            words_heard=window.words_heard,
            heard_ms=heard.loud_ms(window.began_s, end_s),
            sounded_to_ms=self._opt(last_s) if last_s and last_s > window.began_s else None,
            overlap_ms=_overlap_ms(window, spoke_s, spoke_to_s, is_over=is_over),
            spoke_over_agent=is_over,
            latency_ms=round((first_s - since_s) * 1000, 1)
            if is_answered and first_s is not None and since_s is not None
            else None,
            was_interrupted=any(window.began_s <= at_s < end_s for at_s in log.interruptions),
            silent_after_ms=_silent_after_ms(window, spoke_s) if is_over else None,
        )

    def events(self) -> list[SeenEvent]:
        """Return the events of all windows, each as the acting person got it."""
        return [event for window in self.windows for event in self.events_of(window)]

    def events_of(self, window: Window) -> list[SeenEvent]:
        """Return the events of a window."""
        return [
            SeenEvent(at_ms=self.ms(at_s), event=event, person=window.caller.name)
            for at_s, event in window.caller.events
            if window.began_s <= at_s < window.ended_s
        ]

    def _reply(self, reply: LoggedReply) -> ReplyResult:
        heard = reply.transcript if reply.heard_text is None else reply.heard_text
        return ReplyResult(
            response_id=reply.response_id,
            item_id=reply.item_id,
            transcript=reply.transcript,
            heard_text=heard,
            is_interrupted=reply.is_interrupted,
            began_ms=self.ms(reply.began_s),
            agent_name=reply.agent_name,
        )

    def _call(self, call: LoggedCall) -> ToolCallResult:
        return ToolCallResult(
            id=call.call_id,
            name=call.name,
            arguments=call.arguments,
            output=call.output,
            is_error=call.is_error,
            called_ms=self.ms(call.called_s),
            answered_ms=self._opt(call.answered_s),
        )


def _spoken(window: Window) -> tuple[float | None, float | None]:
    utterance = window.utterance
    return (None, None) if utterance is None else (utterance.began_s, utterance.ended_s)


def _overlap_ms(
    window: Window, from_s: float | None, to_s: float | None, *, is_over: bool
) -> float:
    if from_s is None or to_s is None:
        return 0.0
    return window.caller.heard.loud_ms(from_s + (_YIELD_S if is_over else 0.0), to_s)


def _silent_after_ms(window: Window, spoke_s: float | None) -> float | None:
    """Return how long after the person's first sound the agent was silent; None: it never was."""
    if spoke_s is None:
        return None
    silent_s = window.caller.heard.silent_from_s(spoke_s, SILENCE_S, window.ended_s)
    if silent_s is None or silent_s > window.ended_s:
        return None
    return round((silent_s - spoke_s) * 1000, 1)
