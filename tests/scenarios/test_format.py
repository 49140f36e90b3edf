"""Scenario files: what is read, and how a mistake is named with its file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.expected import (
    CallExpectations,
    EventExpectation,
    JudgeExpectation,
    TextMatch,
    ToolExpectation,
    WordsHeard,
)
from scenarios.format import (
    BargeIn,
    Fault,
    Model,
    Network,
    Noise,
    Person,
    Persona,
    Repeat,
    Scenario,
    ScenarioError,
    ScriptStep,
    Turn,
)
from scenarios.loading import load_scenarios
from scenarios.yaml_file import YamlError, read_yaml

GOOD = """\
name: an order
agent: orders
model:
  script:
    - calls: {name: order_status, arguments: {number: 7}}
    - says: It ships today.
people:
  - name: ann
    voice: joe
turns:
  - say: Where is order seven?
    by: ann
    expect:
      heard: it ships today
      tools: [{name: order_status, arguments: {number: 7}}]
      within_ms: 2000
  - type: on
    barge_in: {at_word: ships}
repeat: {times: 10, at_least: 9}
expect:
  exit_reason: stopped
"""


MANY_BY_ALIASES = "".join(
    f"{name}: &{name} [{','.join([of] * 8)}]\n"
    for of, name in zip(["x", "*a", "*b", "*c", "*d"], "abcde", strict=True)
)


def _write(folder: Path, text: str) -> Path:
    file = folder / "order.yaml"
    file.write_text(text)
    return file


def test_a_file_is_read_with_its_short_forms(tmp_path: Path) -> None:
    (scenario,) = load_scenarios(_write(tmp_path, GOOD))
    first, second = scenario.turns
    assert first.kind == "say"
    assert first.waits_for == "reply"
    assert first.expect.heard is not None
    assert first.expect.heard.words == "it ships today"
    assert scenario.people[0].voice.name == "joe"
    assert scenario.model is not None
    assert scenario.model.script[0].calls[0].arguments == {"number": 7}
    # YAML 1.1 would read a truth value.
    assert second.type == "on"
    assert (scenario.repeat.times, scenario.repeat.needed) == (10, 9)
    assert scenario.expect.exit_reason == ("stopped",)


def test_several_scenarios_stand_in_one_file(tmp_path: Path) -> None:
    text = "scenarios:\n- {name: a, turns: [{say: hi}]}\n- {name: b, turns: [{type: hi}]}\n"
    assert [each.name for each in load_scenarios(_write(tmp_path, text))] == ["a", "b"]


def test_a_name_is_that_of_the_file_by_default(tmp_path: Path) -> None:
    (scenario,) = load_scenarios(_write(tmp_path, "turns: [{say: hi}]"))
    assert scenario.name == "order"


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("  - say: Where", "  - sey: Where"), 11, "turns.0"),
        (("within_ms: 2000", "within_ms: soon"), 16, "within_ms"),
        (("{number: 7}}]", "{number: 7}, nevr: true}]"), 15, "nevr"),
        (("at_word: ships", "at_word: ships, after_ms: 3"), 18, "at_word"),
        (("    by: ann", "    by: bob"), 11, "bob"),
        (("name: ann", "name: ann\n    name: bob"), 9, "twice"),
        (("type: on", "type: on\n    say: both"), 17, "exactly one"),
        (("  - say: Where is order seven?", "  - wav: missing.wav"), 11, "missing.wav"),
        (("heard: it", "heard: {words: ["), 15, ""),
    ],
)
def test_a_mistake_is_named_with_file_and_line(
    tmp_path: Path, change: tuple[str, str], line: int, words: str
) -> None:
    assert change[0] in GOOD
    file = _write(tmp_path, GOOD.replace(*change))
    with pytest.raises(ScenarioError) as caught:
        load_scenarios(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"no\.yaml: cannot be read"):
        load_scenarios(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "? [x]\n: 1",
        "a: &x [*x]",
        "a: !!python/object/apply:os.system [ls]",
        "&a [x,x]: 1",
        "x: " + "[" * 2_000,
        MANY_BY_ALIASES,
        "a: " + "x" * 300_000,
    ],
)
def test_what_is_no_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(YamlError):
        read_yaml(text)


def test_the_documentation_names_every_field() -> None:
    text = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()
    models = (
        *(Scenario, Turn, CallExpectations, ToolExpectation, WordsHeard, TextMatch, Person),
        *(EventExpectation, JudgeExpectation, Network, Noise, BargeIn, Persona, Repeat),
        *(ScriptStep, Fault, Model),
    )
    names = {name for model in models for name in model.model_fields} - {"file"}
    missing = {name for name in names if not re.search(rf"\b{name}\b", text)}
    assert not missing


def test_the_scenarios_of_the_documentation_and_the_examples_are_read(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "scenarios.md").read_text()
    first, people = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert load_scenarios(_write(tmp_path, first))[0].name == "an order is looked up"
    (scenario,) = load_scenarios(_write(tmp_path, people + "turns: [{say: hi, by: ben}]"))
    assert [person.language for person in scenario.people] == ["en", "de"]
    assert all(load_scenarios(file) for file in (root / "examples" / "scenarios").glob("*.yaml"))
