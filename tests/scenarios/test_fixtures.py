"""The pytest fixtures, in the folder of an owner's project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real_server import ROOT
from tests.scenarios.sites import environment

APP = '''
from parley import Agent, tool


@tool
def find_order(number: str) -> str:
    """Look up the state of an order by its number."""
    return f"Order {number} ships today."


orders = Agent("orders", tools=[find_order], greeting="Order desk, good day.")
'''

SCENARIOS = """
scenarios:
- name: an order
  agent: orders
  first: agent
  quiet_s: 0.3
  model: {script: [{says: It ships today.}]}
  turns: [{type: Where is it, expect: {transcript: ships today}}]
- name: another order
  agent: orders
  first: agent
  quiet_s: 0.3
  model: {script: [{says: It ships today.}]}
  turns: [{type: Where is it, expect: {transcript: tomorrow}}]
"""

TESTS = """
import pytest

from scenarios.format import ScenarioError

SCRIPT = [
    {"calls": {"name": "find_order", "arguments": {"number": "7"}}},
    {"says": "It is ready for you."},
]


def test_a_call(caller):
    with caller("orders", script=SCRIPT, first="agent", quiet_s=0.3) as call:
        turn = call.say("Where is my order?")
        turn.expect(
            understood="order",
            heard="it is ready for you",
            tools=[{"name": "find_order", "arguments": {"number": "7"}, "output": "ships today"}],
        )
        assert "ready" in turn.words_heard.lower()
        call.expect(transcript="order desk", replies=2)
        with pytest.raises(AssertionError, match="turn 1: transcript.contains .yes.: it was"):
            turn.expect(transcript="yes")
    assert call.exit_reason == "stopped"


def test_files(scenarios):
    with pytest.raises(AssertionError, match="another order: 0 of 1 runs passed"):
        scenarios.run("orders.yaml", parallel=2)
    with pytest.raises(ScenarioError, match="there is no nobody"):
        scenarios.run("orders.yaml", only=["an order"], agent="nobody")
"""


@pytest.mark.speech
@pytest.mark.timeout(300)
def test_they_work_in_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text(APP)
    (tmp_path / "orders.yaml").write_text(SCENARIOS)
    (tmp_path / "test_orders.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["parley.testing.scenarios"]\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\nparley_app = orders.py\n")
    process = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"),
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT), "TMPDIR": os.fspath(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    assert "2 passed" in process.stdout
    assert [*tmp_path.glob("parley-test-*")] == []
