"""A scenario as a load: its agent, its start, and what its people say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scenarios.engines import Engines
from scenarios.format import Scenario, ScenarioError, Turn
from scenarios.loading import load_scenarios
from scenarios.turn_sound import turn_sound
from speech.options import ProcessOptions
from speech.settings import SpeechSettings

_SPOKEN: Final = frozenset({"say", "wav"})
_LEFT_OUT: Final = frozenset({"silence_s", "hang_up"})
"""Callers of a load pause between sentences anyway, and hang up at its end."""


@dataclass(frozen=True)
class LoadScenario:
    """sentences: PCM16 mono at 24 kHz; notes: what of the scenario a load leaves out"""

    name: str
    fields: dict[str, Any]
    sentences: list[bytes]
    notes: list[str] = field(default_factory=list)


async def read_load_scenario(file: Path, local_model: ProcessOptions) -> LoadScenario:
    """Read the scenario of a file, and make its sound.

    local_model: options of voices

    Raises:
        ScenarioError: it is wrong, or not one that a load can play.
    """
    scenarios = load_scenarios(file)
    if len(scenarios) > 1:
        raise ScenarioError("a load plays one scenario, and this file has several", file)
    (scenario,) = scenarios
    spoken = _spoken_turns(scenario)
    engines = Engines(SpeechSettings.of(local_model))
    try:
        sentences = [await turn_sound(scenario, turn, engines) for turn in spoken]
    finally:
        await engines.close()
    fields = dict(scenario.start)
    if scenario.agent is not None:
        fields["agent"] = scenario.agent
    return LoadScenario(scenario.name, fields, sentences, list(_notes(scenario)))


def _spoken_turns(scenario: Scenario) -> list[Turn]:
    if len(scenario.people) > 1:
        raise ScenarioError("a load plays scenarios of one person", scenario.file)
    spoken = []
    for at, turn in enumerate(scenario.turns, 1):
        if turn.kind in _SPOKEN:
            spoken.append(turn)
        elif turn.kind not in _LEFT_OUT:
            raise ScenarioError(
                f"turn {at}: callers of a load say and wav, and nothing else; this is {turn.kind}",
                scenario.file,
            )
    if not spoken:
        raise ScenarioError("nothing is said in it, so a load has nothing to play", scenario.file)
    return spoken


def _notes(scenario: Scenario) -> list[str]:
    notes = ["expectations of a scenario are not checked by a load"]
    if scenario.model is not None:
        notes.append("its scripted model is left out: the agents answer by the model of the server")
    if any(turn.barge_in is not None for turn in scenario.turns):
        notes.append("nobody barges in: callers of a load let the agent finish")
    return notes
