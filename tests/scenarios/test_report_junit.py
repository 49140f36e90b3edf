"""JUnit XML, read by a reader that is not ours."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from junitparser import Error, Failure, JUnitXml

from scenarios.report_files import write_junit
from scenarios.report_junit import junit_xml
from tests.scenarios.results_for_reports import report, result, run


def test_a_reader_finds_suites_cases_times_and_causes(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    found = report(
        result("good", run(recording=Path("report/good-1.wav"))),
        result("often", run(1), run(2, passes=False), run(3), needed=2),
        result("bad", run(1), run(2, passes=False)),
        result(
            "broken",
            run(passes=False, error="it was not over within 120 s"),
            file=Path("other.yaml"),
        ),
    )
    write_junit(found, file)
    suites = list(JUnitXml.fromfile(str(file)))
    assert [(one.name, one.tests, one.failures, one.errors) for one in suites] == [
        ("scenarios/orders.yaml", 3, 1, 0),
        ("other.yaml", 1, 0, 1),
    ]
    good, often, bad = suites[0]
    assert (good.name, good.classname, good.time) == ("good", "orders", 5.0)
    assert good.is_passed
    assert "[[ATTACHMENT|report/good-1.wav]]" in good.system_out
    assert "agent: It is (cut off)" in good.system_out
    assert often.is_passed
    assert often.time == 15.0
    assert "run 2: FAILED" in often.system_out
    (failure,) = bad.result
    assert isinstance(failure, Failure)
    assert failure.message == "1 of 2 runs passed, 2 needed"
    assert (
        failure.text
        == "run 2: turn 1: tools.find_order.arguments: it was <1001>\N{REPLACEMENT CHARACTER}"
    )
    (error,) = next(iter(suites[1])).result
    assert isinstance(error, Error)
    assert error.message == "run 1: it was not over within 120 s"


def test_sums_are_those_of_all_suites() -> None:
    root = ElementTree.fromstring(
        junit_xml(report(result("bad", run(passes=False)), result("good", run())))
    )
    assert root.tag == "testsuites"
    assert {name: root.attrib[name] for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "2", "failures": "1", "errors": "0", "skipped": "0", "time": "10.000",
    }  # fmt: skip
    (suite,) = root
    assert suite.attrib["timestamp"] == "2026-09-21T14:13:20"


def test_nothing_run_is_a_document_too() -> None:
    assert ElementTree.fromstring(junit_xml(report())).attrib["tests"] == "0"
