"""Expectations against what happened: a verdict with a name for each. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scenarios.expected import (
    CallExpectations,
    EventExpectation,
    Expectations,
    Range,
    TextMatch,
    ToolExpectation,
    WordsHeard,
)
from scenarios.results import SeenEvent, ToolCallResult, TurnResult, Verdict
from scenarios.words import error_share

_SHOWN: Final = 300
"""Characters of what was found, in a detail."""


@dataclass(frozen=True)
class Observed:
    """The facts that expectations are held against: of one turn, or of the whole call.

    turns: those that it is made of; events: those of this time
    where: begins the names of verdicts; turn: its number, None for the call
    """

    where: str
    turn: int | None
    turns: Sequence[TurnResult]
    events: Sequence[SeenEvent]
    language: str = "en"

    @property
    def tool_calls(self) -> list[ToolCallResult]:
        """In their order."""
        return [call for turn in self.turns for call in turn.tool_calls]

    @property
    def transcript(self) -> str:
        """The agent's words, as its model made them."""
        return " ".join(turn.transcript for turn in self.turns if turn.transcript)

    @property
    def understood(self) -> str:
        """The people's words, as the agent understood them."""
        return " ".join(turn.understood for turn in self.turns if turn.understood)

    @property
    def words_heard(self) -> str:
        """The agent's words, as they were recognised in its sound."""
        return " ".join(turn.words_heard for turn in self.turns if turn.words_heard)

    def verdict(self, name: str, is_met: bool, detail: str = "") -> Verdict:
        """Return the verdict of an expectation of this place."""
        return Verdict(
            name=f"{self.where}: {name}",
            is_met=is_met,
            detail="" if is_met else detail,
            turn=self.turn,
        )


def check(expect: Expectations, seen: Observed) -> list[Verdict]:
    """Return a verdict for each expectation but the judge's, in the order of the documentation."""
    found = list(_texts(expect, seen))
    for tool in expect.tools:
        found += _tool(tool, seen)
    if expect.tool_order:
        found.append(_tool_order(expect.tool_order, seen))
    found += _manners(expect, seen)
    found += _times(expect, seen)
    for event in expect.events:
        found.append(_event(event, seen))
    return found


def check_end(
    expect: CallExpectations, seen: Observed, exit_reason: str, state: Mapping[str, Any] | None
) -> list[Verdict]:
    """Return the verdicts of what holds at the end of a call."""
    found = []
    if expect.exit_reason:
        is_met = exit_reason in expect.exit_reason
        found.append(
            seen.verdict("exit_reason", is_met, f"it was {exit_reason or 'not known'}, "
                         f"expected {' or '.join(expect.exit_reason)}")
        )  # fmt: skip
    if expect.state is not None:
        is_met = state is not None and includes(expect.state, state)
        detail = "call.state is not known" if state is None else f"it was {_shown(state)}"
        found.append(seen.verdict("state", is_met, detail))
    return found


def includes(expected: Any, found: Any) -> bool:
    """Return true if `found` has all that is expected: objects may have more keys, lists may not."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return all(key in found and includes(one, found[key]) for key, one in expected.items())
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(includes, expected, found))
    return same(expected, found)


def same(expected: Any, found: Any) -> bool:
    """Return true for equal JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return expected.keys() == found.keys() and all(
            same(one, found[key]) for key, one in expected.items()
        )
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(same, expected, found))
    return bool(expected == found)


# -- words -----------------------------------------------------------------------------------------


def _texts(expect: Expectations, seen: Observed) -> Iterator[Verdict]:
    if expect.heard is not None:
        yield _heard(expect.heard, seen)
    if expect.transcript is not None:
        yield from _match("transcript", expect.transcript, seen.transcript, seen)
    if expect.understood is not None:
        yield from _match("understood", expect.understood, seen.understood, seen)


def _heard(expect: WordsHeard, seen: Observed) -> Verdict:
    share = error_share(
        expect.words, seen.words_heard, is_whole=expect.is_whole, language=seen.language
    )
    is_met = share <= expect.max_word_errors
    detail = f"{share:.0%} of the words are wrong ({expect.max_word_errors:.0%} allowed)"
    return seen.verdict("heard", is_met, f"{detail}: heard {_shown(seen.words_heard)}")


def _match(name: str, match: TextMatch, text: str, seen: Observed) -> Iterator[Verdict]:
    plain, detail = _plain(text), f"it was {_shown(text)}"
    for wanted in match.contains:
        label = f"{name}.contains {_shown(wanted)}"
        yield seen.verdict(label, _plain(wanted) in plain, detail)
    if match.regex is not None:
        is_found = re.search(match.regex, text, re.IGNORECASE) is not None
        yield seen.verdict(f"{name}.regex", is_found, detail)
    for banned in match.not_contains:
        label = f"{name}.not_contains {_shown(banned)}"
        yield seen.verdict(label, _plain(banned) not in plain, detail)
    if match.not_regex is not None:
        is_found = re.search(match.not_regex, text, re.IGNORECASE) is not None
        yield seen.verdict(f"{name}.not_regex", not is_found, detail)


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("\u2019", "'").split())


# -- tools -----------------------------------------------------------------------------------------


def _tool(expect: ToolExpectation, seen: Observed) -> Iterator[Verdict]:
    calls = [call for call in seen.tool_calls if call.name == expect.name]
    label = f"tools.{expect.name}"
    made = ", ".join(f"{call.name}({_shown(call.arguments)})" for call in seen.tool_calls)
    if expect.never:
        yield seen.verdict(f"{label}.never", not calls, f"it was called: {made}")
        return
    count = expect.count or Range(at_least=1)
    yield seen.verdict(
        f"{label}.count" if expect.count else label,
        within(count, len(calls)),
        f"it was called {len(calls)} times; calls were: {made or 'none'}",
    )
    if calls:
        yield from _arguments(expect, calls, seen, f"{label}.", made)
        yield from _outcomes(expect, calls, seen, f"{label}.")


def _arguments(
    expect: ToolExpectation,
    calls: Sequence[ToolCallResult],
    seen: Observed,
    label: str,
    made: str,
) -> Iterator[Verdict]:
    if (exact := expect.arguments) is not None:
        is_met = any(same(exact, call.arguments) for call in calls)
        yield seen.verdict(f"{label}arguments", is_met, f"calls were: {made}")
    if (some := expect.arguments_include) is not None:
        is_met = any(includes(some, call.arguments) for call in calls)
        yield seen.verdict(f"{label}arguments_include", is_met, f"calls were: {made}")
    if (patterns := expect.arguments_match) is not None:
        is_met = any(
            all(
                key in call.arguments and re.search(pattern, _as_text(call.arguments[key]))
                for key, pattern in patterns.items()
            )
            for call in calls
        )
        yield seen.verdict(f"{label}arguments_match", is_met, f"calls were: {made}")


def _outcomes(
    expect: ToolExpectation, calls: Sequence[ToolCallResult], seen: Observed, label: str
) -> Iterator[Verdict]:
    if expect.output is not None:
        outputs = " ".join(call.output or "" for call in calls)
        yield from _match(f"{label}output", expect.output, outputs, seen)
    if expect.is_error is not None:
        is_met = any(call.is_error is expect.is_error for call in calls)
        yield seen.verdict(f"{label}is_error", is_met, f"is_error was {calls[-1].is_error}")
    if expect.within_ms is not None:
        longest = max((call.duration_ms for call in calls if call.duration_ms is not None),
                      default=None)  # fmt: skip
        is_met = (
            all(call.duration_ms is not None for call in calls)
            and longest is not None
            and longest <= expect.within_ms
        )
        took = "it had no result" if longest is None else f"it took {longest:.0f} ms"
        yield seen.verdict(f"{label}within_ms", is_met, took)


def _tool_order(order: Sequence[str], seen: Observed) -> Verdict:
    made = [call.name for call in seen.tool_calls]
    rest = iter(made)
    is_met = all(name in rest for name in order)
    return seen.verdict("tool_order", is_met, f"calls were: {', '.join(made) or 'none'}")


# -- turn taking -----------------------------------------------------------------------------------


def _manners(expect: Expectations, seen: Observed) -> Iterator[Verdict]:
    if expect.interrupted is not None:
        was = any(turn.was_interrupted for turn in seen.turns)
        detail = "the agent was interrupted" if was else "the agent was not interrupted"
        yield seen.verdict("interrupted", was is expect.interrupted, detail)
    if expect.replies is not None:
        count = sum(len(turn.replies) for turn in seen.turns)
        yield seen.verdict("replies", within(expect.replies, count), f"there were {count}")
    if (limit := expect.overlap_at_most_ms) is not None:
        longest = max((turn.overlap_ms for turn in seen.turns), default=0.0)
        detail = f"the agent spoke for {longest:.0f} ms while a person did"
        yield seen.verdict("overlap_at_most_ms", longest <= limit, detail)


def _times(expect: Expectations, seen: Observed) -> Iterator[Verdict]:
    if (limit := expect.silent_within_ms) is not None:
        times = [turn.silent_after_ms for turn in seen.turns if turn.silent_after_ms is not None]
        spoken_over = [turn for turn in seen.turns if turn.spoke_over_agent]
        is_met = len(times) == len(spoken_over) > 0 and max(times) <= limit
        if not spoken_over:
            detail = "nobody spoke while the agent did"
        elif len(times) < len(spoken_over):
            detail = "the agent did not fall silent"
        else:
            detail = f"the agent was silent after {max(times):.0f} ms"
        yield seen.verdict("silent_within_ms", is_met, detail)
    if (limit := expect.within_ms) is not None:
        latencies = [turn.latency_ms for turn in seen.turns if turn.latency_ms is not None]
        is_met = bool(latencies) and max(latencies) <= limit
        found = f"{max(latencies):.0f} ms" if latencies else "no answer was heard"
        yield seen.verdict("within_ms", is_met, found)
    if (after_s := expect.no_words_after_s) is not None:
        late = [turn for turn in seen.turns if _sounds_after(turn, after_s)]
        detail = ", ".join(f"turn {turn.number}: sound until {turn.sounded_to_ms:.0f} ms"
                           for turn in late)  # fmt: skip
        yield seen.verdict("no_words_after_s", not late, detail)


def _sounds_after(turn: TurnResult, after_s: float) -> bool:
    from_ms = (turn.began_ms if turn.spoke_to_ms is None else turn.spoke_to_ms) + after_s * 1000
    return turn.sounded_to_ms is not None and turn.sounded_to_ms > from_ms


def _event(expect: EventExpectation, seen: Observed) -> Verdict:
    count = sum(
        each.type == expect.type and includes(expect.include, each.event) for each in seen.events
    )
    return seen.verdict(f"events.{expect.type}", within(expect.count, count), f"there were {count}")


def within(limits: Range, number: int) -> bool:
    """Return true if a number is within the limits."""
    return (limits.at_least is None or number >= limits.at_least) and (
        limits.at_most is None or number <= limits.at_most
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
