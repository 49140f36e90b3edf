"""`Agent(extract=...)`: a pydantic model or a schema, from the owner's file to the agent's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.definition import Definition
from config.settings import Settings
from control.api.definition_check import check_definition
from control.api.schemas import StartAgentRequest
from control.api.starts import AgentConfigurator
from parley.app import load
from parley.description import describe
from parley.load_problem import AppError

DESK = """
from pydantic import BaseModel, Field
from parley import Agent

class Item(BaseModel):
    name: str

class Order(BaseModel):
    number: int | None = None
    items: list[Item] = []

desk = Agent("desk", summarise=True, extract=Order)
plain = Agent("plain", extract={"type": "object", "properties": {"a": {"type": "string"}}})
recurring = Agent("recurring", extract={"type": "object", "properties": {"a": {"not": {}}}})
"""

MODEL = {"LLM_BASE_URL": "http://127.0.0.1:9/v1", "LLM_MODEL": "m"}
LOCAL = {"LOCAL_MODEL_URI": "ws://127.0.0.1:9"}


def definitions(folder: Path) -> dict[str, Definition]:
    path = folder / "desk.py"
    path.write_text(DESK)
    made = [Definition.model_validate(one) for one in describe(load(str(path)))]
    return {one.name: one for one in made}


def configurator(**environ: str) -> AgentConfigurator:
    return AgentConfigurator(Settings.from_env(LOCAL | environ), "http://127.0.0.1:9", None)


def test_what_an_agent_extracts_reaches_its_calls(tmp_path: Path) -> None:
    known = definitions(tmp_path)
    made = configurator(**MODEL)
    start = StartAgentRequest(channel_name="demo", agent="desk")
    config = made.agent_config(start, known["desk"])
    assert config.summarise
    assert config.extract is not None
    assert set(config.extract["properties"]) == {"number", "items"}
    other = StartAgentRequest.model_validate(
        {"channel_name": "demo", "summarise": False, "extract": known["plain"].extract}
    )
    config = made.agent_config(other, known["desk"])
    assert (config.summarise, config.extract) == (False, known["plain"].extract)


def test_a_definition_is_checked_when_it_is_loaded(tmp_path: Path) -> None:
    known = definitions(tmp_path)
    made = configurator(**MODEL).agent_config
    assert check_definition(known["desk"], made).problems == ()
    (problem,) = check_definition(known["recurring"], made).problems
    assert problem == "extract: properties.a.not: this keyword is not supported"
    # Another setting mends it.
    verdict = check_definition(known["desk"], configurator().agent_config)
    assert verdict.problems == ()
    assert "LLM_BASE_URL" in verdict.warnings[0]


@pytest.mark.parametrize(
    ("extract", "problem"), [("int", "pydantic model"), ("Odd", "Odd has no JSON schema")]
)
def test_other_values_are_refused_with_their_place(
    tmp_path: Path, extract: str, problem: str
) -> None:
    path = tmp_path / "desk.py"
    path.write_text(
        "from collections.abc import Callable\nfrom pydantic import BaseModel\n"
        "from parley import Agent\nclass Odd(BaseModel):\n    f: Callable[[], int]\n"
        f"desk = Agent('desk', extract={extract})\n"
    )
    with pytest.raises(AppError, match=problem) as caught:
        describe(load(str(path)))
    assert "desk.py" in str(caught.value)
