"""The results and verdicts of a call that is over, or of a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from scenarios.call_run import CallRun
from scenarios.engines import Engines
from scenarios.expectations import Observed, check, check_end
from scenarios.expected import Expectations
from scenarios.format import Scenario
from scenarios.results import TurnResult, Verdict
from scenarios.scripted_server import Script
from scenarios.seams import Judge
from scenarios.windows import Timeline, Window

_FAILURES: Final = frozenset(
    {
        *("provider_failed", "room_lost", "start_failed", "crashed", "unresponsive", "unhealthy"),
        *("out_of_memory", "supervisor_gone"),
    }
)
"""Ends of a call that fail a run unless its scenario expects them."""


@dataclass(frozen=True)
class Outcome:
    """Judges one call. record: of the server's store, once the call has ended"""

    call: CallRun
    scenario: Scenario
    engines: Engines
    judge: Judge | None = None

    @property
    def language(self) -> str:
        """Of the agent's words, ISO 639-1."""
        return str(self.scenario.start.get("language") or "en").split("-")[0]

    @property
    def timeline(self) -> Timeline:
        """Times since the first person joined."""
        return Timeline(self.call.origin_s, self.call.windows)

    async def turns(self) -> list[TurnResult]:
        """Return each turn with its verdicts."""
        windows = self.call.windows
        results = [self.timeline.result(window) for window in windows]
        judged = []
        for at, (window, result) in enumerate(zip(windows, results, strict=True)):
            is_last = at + 1 == len(windows) or windows[at + 1].number != window.number
            # A persona's turn has several windows, and is judged as a whole.
            verdicts = await self.of_turn(window.number) if is_last else []
            judged.append(result.model_copy(update={"verdicts": tuple(verdicts)}))
        return judged

    async def of_turn(self, number: int) -> list[Verdict]:
        """Return the verdicts of a turn; 0: of the greeting."""
        windows = [window for window in self.call.windows if window.number == number]
        expect = expected(self.scenario, number)
        seen = self.observed(windows, "greeting" if number == 0 else f"turn {number}", number)
        found = [*_implied(windows, expect, seen), *check(expect, seen)]
        return [*found, *await self._opinion(expect, seen)]

    def observed(self, windows: Sequence[Window], where: str, number: int | None) -> Observed:
        """Return what happened in these windows."""
        timeline = self.timeline
        return Observed(
            where,
            number,
            [timeline.result(window) for window in windows],
            [event for window in windows for event in timeline.events_of(window)],
            self.language,
        )

    async def of_call(
        self, record: dict[str, Any], script: Script | None, *, is_complete: bool
    ) -> list[Verdict]:
        """Return the verdicts of the whole call."""
        expect, seen = self.scenario.expect, self.observed(self.call.windows, "call", None)
        reason = str(record.get("exit_reason") or "")
        found = [
            *check(expect, seen),
            *check_end(expect, seen, reason, record.get("call_state")),
            *await self._opinion(expect, seen),
        ]
        if not expect.exit_reason and reason in _FAILURES:
            found.append(seen.verdict("exit_reason", is_met=False, detail=f"it was {reason}"))
        if script is not None and is_complete:
            detail = f"{script.past_end} requests came after its last step"
            found.append(seen.verdict("model.script", script.past_end == 0, detail))
        return found

    async def recognise(self, *, everything: bool) -> None:
        """Recognise the agent's sound where its words are expected, or everywhere."""
        for window in self.call.windows:
            is_expected = expected(self.scenario, window.number).heard or self.scenario.expect.heard
            if everything or is_expected:
                await self.recognise_window(window)

    async def recognise_window(self, window: Window) -> None:
        """Recognise the agent's sound in one window."""
        window.words_heard = await self.engines.recognise(window.heard_pcm(), self.language)

    async def _opinion(self, expect: Expectations, seen: Observed) -> list[Verdict]:
        if expect.judge is None or self.judge is None:
            return []
        opinion = await self.judge.judge(expect.judge, seen.turns)
        verdict = Verdict(
            name=f"{seen.where}: judge",
            is_met=opinion.score >= expect.judge.at_least,
            detail=f"{opinion.score:.2f} of {expect.judge.at_least:.2f} needed: {opinion.reason}",
            turn=seen.turn,
        )
        return [verdict]


def expected(scenario: Scenario, number: int) -> Expectations:
    """Return what is expected of a turn; 0: of the greeting. A turn that was added expects nothing."""
    if number == 0:
        return scenario.greeting
    turns = scenario.turns
    return turns[number - 1].expect if number <= len(turns) else Expectations()


def _implied(windows: Sequence[Window], expect: Expectations, seen: Observed) -> list[Verdict]:
    """Return what holds of every turn: it could be made, and what is to be answered was."""
    found = []
    for window in windows:
        if window.problem is not None:
            name, detail = window.problem
            found.append(seen.verdict(name, is_met=False, detail=detail))
    limits = expect.replies
    if limits is not None and limits.at_most == 0:
        return found
    if waited := [window for window in windows if window.is_answer_expected]:
        is_answered = all(window.is_answered for window in waited)
        found.append(seen.verdict("answered", is_answered, "the agent did not reply in time"))
    return found
