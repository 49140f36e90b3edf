"""Reads scenario files; a mistake is named with its file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scenarios.format import Scenario, ScenarioError
from scenarios.yaml_file import Document, YamlError, read_yaml


def load_scenarios(file: Path) -> list[Scenario]:
    """Read a file: one scenario, or a list of them under `scenarios`.

    Raises:
        ScenarioError: It cannot be read, or is wrong; with the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ScenarioError(f"cannot be read ({reason})", file) from error
    try:
        document = read_yaml(text)
    except YamlError as error:
        raise ScenarioError(str(error), file, error.line) from error
    if not isinstance(document.data, dict):
        raise ScenarioError("a scenario is a mapping with name and turns", file, 1)
    if "scenarios" not in document.data:
        return [_scenario(document.data, document, (), file)]
    if (extra := set(document.data) - {"scenarios"}) or not isinstance(
        document.data["scenarios"], list
    ):
        problem = f"beside scenarios: {', '.join(sorted(extra))}" if extra else "no list"
        raise ScenarioError(problem, file, document.line_of(["scenarios"]))
    return [
        _scenario(each, document, ("scenarios", at), file)
        for at, each in enumerate(document.data["scenarios"])
    ]


def _scenario(data: Any, document: Document, path: tuple[str | int, ...], file: Path) -> Scenario:
    if not isinstance(data, dict):
        raise ScenarioError("a scenario is a mapping", file, document.line_of(path))
    try:
        scenario = Scenario.model_validate({"name": file.stem, **data, "file": file})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        named = [str(part) for part in first["loc"]]
        problem = first["msg"].removeprefix("Value error, ")
        where = f"{'.'.join(named)}: " if named and not problem.startswith(named[-1]) else ""
        of_turn = first.get("ctx", {}).get("path", ())
        line = document.line_of((*path, *first["loc"], *of_turn))
        raise ScenarioError(where + problem, file, line) from error
    for at, turn in enumerate(scenario.turns):
        if turn.wav is not None and not (file.parent / turn.wav).is_file():
            line = document.line_of((*path, "turns", at, "wav"))
            raise ScenarioError(f"turn {at + 1}: there is no file {turn.wav}", file, line)
    return scenario
