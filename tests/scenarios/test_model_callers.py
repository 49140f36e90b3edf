"""The command `test` with a persona and a judge that a language model plays, and all of its reports."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml

from scenarios.results import Report
from tests.fakes.chat_server import Answer, ChatCall, answer, chat_server
from tests.real_server import ROOT
from tests.scenarios.sites import environment

DEADLINE_S = 150.0
SCENARIO = """
name: a persona asks
turns:
- persona: {character: A friendly woman., goal: To learn the state of her order., max_turns: 3}
  expect: {judge: The agent names the state.}
model:
  script:
  - says: It is on its way.
"""


def reply(call: ChatCall) -> Answer:
    """The persona asks, and hangs up after the answer; the judge is content."""
    if "response_format" in call.body:
        return answer('{"reason": "It says that it is on its way.", "score": 9}')
    return answer("HANG UP" if "way" in call.user_text else "Where is my order?")


@pytest.mark.asyncio
async def test_a_persona_calls_a_judge_judges_and_everything_is_reported(tmp_path: Path) -> None:
    file, folder = tmp_path / "persona.yaml", tmp_path / "report"
    file.write_text(SCENARIO)
    async with chat_server(reply_with=reply) as model:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "main", "test", str(file), "--report", str(folder)),
            *("--junit", str(folder / "junit.xml"), "--json", str(folder / "report.json")),
            cwd=ROOT,
            env=environment() | {"JUDGE_BASE_URL": model.base_url, "JUDGE_MODEL": "actor"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        judged = [call for call in model.calls if "response_format" in call.body]
    assert len(judged) == 1
    assert "caller: Where is my order?\nagent" in judged[0].user_text
    report = Report.model_validate_json((folder / "report.json").read_text())
    (run,) = report.scenarios[0].runs
    assert [turn.said for turn in run.turns if turn.kind == "persona"] == ["Where is my order?"]
    assert "turn 1: judge" in [verdict.name for verdict in run.all_verdicts]
    ((case,),) = JUnitXml.fromfile(str(folder / "junit.xml"))
    assert case.is_passed
    assert "agent Parley: It is on its way." in case.system_out
    page = (folder / "index.html").read_text()
    assert 'src="data:audio/mpeg;base64,' in page
    assert "0.90 of 0.70 needed" in page
