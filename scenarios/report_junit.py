"""JUnit XML of scenario tests, as Jenkins and GitLab read it. Pure.

One `testsuite` for each file, one `testcase` for each scenario, whatever number of runs it has: it fails
where the scenario does. https://github.com/jenkinsci/xunit-plugin (junit-10.xsd),
https://docs.gitlab.com/ci/testing/unit_test_reports/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from scenarios.judge import turn_lines
from scenarios.results import Report, RunResult, ScenarioResult

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, however they are written."""


def junit_xml(report: Report) -> str:
    """Return the document."""
    root = ElementTree.Element("testsuites", {"name": "scenarios", **_sums(report.scenarios)})
    began = datetime.fromtimestamp(report.started_at_ms / 1000, UTC)
    for file, of_file in groupby(report.scenarios, key=lambda one: one.file):
        results = list(of_file)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            {
                "name": str(file or "scenarios"),
                **_sums(results),
                "timestamp": f"{began:%Y-%m-%dT%H:%M:%S}",
                "hostname": "localhost",
            },
        )
        for result in results:
            _add_case(suite, result)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _add_case(suite: ElementTree.Element, result: ScenarioResult) -> None:
    attributes = {
        "name": _text(result.scenario),
        "classname": _text(Path(result.file).stem if result.file else "scenarios"),
        "time": _seconds([result]),
    }
    if result.file is not None:
        attributes["file"] = _text(str(result.file))
    case = ElementTree.SubElement(suite, "testcase", attributes)
    if not result.has_passed:
        problems = [line for run in result.runs for line in _problems(run)]
        message = f"{result.passed_runs} of {len(result.runs)} runs passed, {result.needed} needed"
        if len(result.runs) == 1 and problems:
            message = problems[0]
        kind = "error" if _is_error(result) else "failure"
        failure = ElementTree.SubElement(case, kind, {"message": _text(message), "type": kind})
        failure.text = _text("\n".join(problems))
    output = ElementTree.SubElement(case, "system-out")
    output.text = _text("\n".join(line for run in result.runs for line in _record(run)))


def _sums(results: tuple[ScenarioResult, ...] | list[ScenarioResult]) -> dict[str, str]:
    errors = sum(_is_error(one) for one in results)
    return {
        "tests": str(len(results)),
        "failures": str(sum(not one.has_passed for one in results) - errors),
        "errors": str(errors),
        "skipped": "0",
        "time": _seconds(results),
    }


def _seconds(results: tuple[ScenarioResult, ...] | list[ScenarioResult]) -> str:
    return f"{sum(run.duration_ms for one in results for run in one.runs) / 1000:.3f}"


def _is_error(result: ScenarioResult) -> bool:
    """Return true if it did not pass because runs could not be finished, not for what the agent did."""
    failed = [run for run in result.runs if not run.has_passed]
    return not result.has_passed and all(run.error for run in failed)


def _problems(run: RunResult) -> Iterator[str]:
    where = f"run {run.run}: "
    if run.error:
        yield f"{where}{run.error}"
    for verdict in run.failures:
        yield f"{where}{verdict.name}" + (f": {verdict.detail}" if verdict.detail else "")


def _record(run: RunResult) -> Iterator[str]:
    latencies = ", ".join(f"{value:.0f}" for value in run.latencies_ms)
    yield f"run {run.run}: {'passed' if run.has_passed else 'FAILED'}, answers after {latencies or '-'} ms"
    for turn in run.turns:
        yield from turn_lines(turn)
    if run.recording is not None:
        # GitLab shows it beside the test.
        yield f"[[ATTACHMENT|{run.recording}]]"


def _text(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
