"""Agents with a bug planted in each dimension: each is found, by an expectation that names it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from scenarios.call_start import Surroundings
from scenarios.engines import Engines
from scenarios.expected import JudgeExpectation
from scenarios.format import Persona, Repeat, Scenario, ScenarioError
from scenarios.loading import load_scenarios
from scenarios.results import ScenarioResult, TurnResult
from scenarios.runner import Runner, RunOptions
from scenarios.scripted_server import ScriptedServer
from scenarios.seams import Line, Opinion
from scenarios.server_api import ServerApi
from tests.scenarios.sites import EXAMPLES, example_site

FOUND_BY: Final = {
    ("book_a_table", "wrong_argument"): {"turn 1: tools.book_table.arguments", "call: state"},
    ("book_a_table", "slow_tool"): {"turn 1: tools.book_table.within_ms"},
    ("book_a_table", "forgets"): {"turn 2: heard", "call: state"},
    ("interrupt_at_a_word", "talks_over"): {"turn 2: interrupted"},
}

ASKED_BY_A_PERSONA: Final = Scenario.model_validate(
    {
        "name": "a persona",
        "agent": "restaurant",
        "first": "agent",
        "model": {"script": [{"says": "Until nine."}, {"says": "We have fish."}]},
        "turns": [
            {
                "persona": {"character": "in a hurry", "goal": "know what there is"},
                "expect": {"judge": "says what there is", "replies": 2},
            }
        ],
        "expect": {"judge": {"rubric": "is polite", "at_least": 0.9}},
    }
)


class _Persona:
    """Asks two questions, and is content."""

    def __init__(self) -> None:
        self.lines: list[Sequence[Line]] = []

    async def next_words(self, persona: Persona, lines: Sequence[Line]) -> str | None:
        self.lines.append(lines)
        words = ["How long are you open today?", "And what do you have to eat?", None]
        return words[len(self.lines) - 1]


class _Judge:
    """Likes what mentions fish, and finds nothing polite."""

    async def judge(self, expectation: JudgeExpectation, turns: Sequence[TurnResult]) -> Opinion:
        has_fish = any("fish" in turn.transcript for turn in turns)
        return Opinion(1.0 if has_fish and "what" in expectation.rubric else 0.5, "by the fish")


def _scenarios() -> list[Scenario]:
    found = []
    for file, agent in FOUND_BY:
        (scenario,) = load_scenarios(EXAMPLES / f"{file}.yaml")
        once = {"agent": agent, "name": agent, "repeat": Repeat()}
        found.append(scenario.model_copy(update=once))
    return [*found, ASKED_BY_A_PERSONA]


def _failures(result: ScenarioResult) -> set[str]:
    (run,) = result.runs
    assert run.error == ""
    return {verdict.name for verdict in run.failures}


@pytest.mark.speech
@pytest.mark.timeout(300)
@pytest.mark.asyncio
async def test_each_planted_bug_is_found_and_a_persona_is_judged() -> None:
    persona = _Persona()
    async with example_site(persona) as (around, scripted):
        runner = Runner(around, scripted, RunOptions(parallel=5), _Judge())
        report = await runner.run(_scenarios())
        # What another server does not allow, or cannot do, is named.
        with pytest.raises(ScenarioError, match="nobody"):
            await runner.run([ASKED_BY_A_PERSONA.model_copy(update={"agent": "nobody"})])
        assert (await around.api.ask("/agents"))["agents"] == []
    for (_, agent), result in zip(FOUND_BY.items(), report.scenarios, strict=False):
        missing = agent - _failures(result)
        assert not missing, f"{result.scenario}: not found by {missing}"
    of_persona = report.scenarios[-1]
    assert _failures(of_persona) == {"call: judge"}
    (run,) = of_persona.runs
    assert [turn.said for turn in run.turns[1:]] == [
        "How long are you open today?",
        "And what do you have to eat?",
    ]
    assert [line.speaker for line in persona.lines[-1]] == [
        *("agent", "caller", "agent", "caller", "agent"),
    ]


@pytest.mark.asyncio
async def test_what_a_scenario_asks_for_and_there_is_not_is_refused() -> None:
    around = Surroundings(ServerApi("http://127.0.0.1:9", None), Engines(), is_own_server=False)
    runner = Runner(around, ScriptedServer())
    for turn, words in (
        ({"press": "1#"}, "no DTMF"),
        ({"kill_agent": True}, "without --server"),
        ({"persona": {"character": "a", "goal": "b"}}, "language model"),
        ({"type": "hi", "expect": {"judge": "kind"}}, "language model"),
    ):
        scenario = Scenario.model_validate({"name": "x", "turns": [turn]})
        with pytest.raises(ScenarioError, match=words):
            runner.require_runnable(scenario)
    await around.engines.close()
