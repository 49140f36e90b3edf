"""How many runs there are, how many must pass, and in how many each expectation was met."""

from __future__ import annotations

import pytest

from scenarios.call_start import Surroundings, new_channel_name, start_body
from scenarios.engines import Engines
from scenarios.format import Scenario
from scenarios.results import RunResult, Verdict
from scenarios.runner import Runner, RunOptions
from scenarios.scripted_server import ScriptedServer
from scenarios.server_api import ServerApi


def _scenario(**fields: object) -> Scenario:
    return Scenario.model_validate({"name": "a b/c", "turns": [{"type": "hi"}], **fields})


def _run(*, is_met: bool) -> RunResult:
    return RunResult(scenario="a", verdicts=(Verdict(name="call: heard", is_met=is_met),))


@pytest.mark.parametrize(
    ("repeat", "override", "passed", "runs", "is_passed"),
    [
        ({"times": 10, "at_least": 9}, None, 9, 10, True),
        ({"times": 10, "at_least": 9}, None, 8, 10, False),
        (3, None, 2, 3, False),
        # Nine of ten are four of four, and two of two.
        ({"times": 10, "at_least": 9}, 4, 3, 4, False),
        ({"times": 10, "at_least": 5}, 4, 2, 4, True),
        (1, None, 1, 1, True),
    ],
)
@pytest.mark.asyncio
async def test_enough_runs_must_pass(
    repeat: object, override: int | None, passed: int, runs: int, is_passed: bool
) -> None:
    engines = Engines()
    around = Surroundings(ServerApi("http://127.0.0.1:9", None), engines, is_own_server=False)
    runner = Runner(around, ScriptedServer(), RunOptions(repeat=override))
    scenario = _scenario(repeat=repeat)
    assert runner._times(scenario) == runs
    made = [_run(is_met=number < passed) for number in range(runs)]
    result = runner._result(scenario, made)
    assert result.has_passed is is_passed
    assert result.rates() == {"call: heard": (passed, runs)}
    await engines.close()


def test_a_run_that_was_not_finished_has_not_passed() -> None:
    assert not RunResult(scenario="a", error="it was not over within 120 s").has_passed


def test_the_start_has_what_the_scenario_says_and_the_script_in_place_of_the_model() -> None:
    scenario = _scenario(
        agent="orders",
        start={"provider": "openai", "show_tools": "none", "cascade": {"noise_suppression": True}},
    )
    assert start_body(scenario, "x", None) == {
        "channel_name": "x",
        "agent": "orders",
        "provider": "openai",
        "show_tools": "none",
        "tool_results_from": "anyone",
        "tool_approvals_from": "anyone",
        "cascade": {"noise_suppression": True},
    }
    body = start_body(scenario, "x", {"base_url": "http://127.0.0.1:1/v1", "model": "m"})
    assert body["provider"] == "local"
    assert body["cascade"] == {
        "noise_suppression": True,
        "language_model": {"base_url": "http://127.0.0.1:1/v1", "model": "m"},
    }


def test_channels_have_names_of_their_own() -> None:
    names = {new_channel_name(_scenario()) for _ in range(10)}
    assert len(names) == 10
    assert all(name.startswith("test-a-b-c-") for name in names)
