"""Commands with an owner's app: checked without a server, refused by one line when it is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOOD = "from parley import Agent\n\ndef find(n: str) -> str:\n    return n\n\n"
GOOD += "agents = [Agent('orders', tools=[find], handoffs=['bills']), Agent('bills')]\n"


def main(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "main", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PARLEY_ENV_FILE": "", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "orders.py"
    path.write_text(GOOD)
    return path


def test_an_app_is_checked_without_a_server(app: Path) -> None:
    done = main("check", f"--app={app}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "agent orders: tools find; hands over to bills\nagent bills\n"
    done = main("check", "--json", APP=str(app))
    report = json.loads(done.stdout)
    assert [agent["name"] for agent in report["agents"]] == ["orders", "bills"]
    assert (report["problems"], report["warnings"]) == ([], [])


def test_a_wrong_app_is_named_with_file_and_line_and_code_2(app: Path, tmp_path: Path) -> None:
    app.write_text(f"{GOOD}1 / 0\n")
    line = f"{app}, line 7: ZeroDivisionError: division by zero"
    done = main("check", f"--app={app}")
    assert (done.returncode, done.stdout) == (2, f"{line}\n")
    done = main("check", f"--app={app}", "--json")
    [problem] = json.loads(done.stdout)["problems"]
    assert (done.returncode, problem["line"]) == (2, 7)
    data = {"DATA_DIR": str(tmp_path / "data"), "LOCAL_MODEL_URI": "ws://127.0.0.1:9"}
    done = main("server", "--port=0", f"--app={app}", **data)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"main: {line}"
    assert "Traceback" not in done.stderr
    done = main("agent", "--channel_name=x", f"--app={app}")
    assert (done.returncode, done.stderr) == (2, f"main: {line}\n")


def test_a_value_that_a_start_would_refuse_is_a_problem(app: Path) -> None:
    app.write_text("from parley import Agent\ndesk = Agent('desk', voice='a b')\n")
    done = main("check", f"--app={app}")
    assert done.returncode == 2
    assert done.stdout.startswith(f"{app}, line 2: agent desk: voice: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check",), "--app"),
        (("agent", "--channel_name=x", "--agent=orders"), "--app or APP"),
        (("server", "--port=0", "--reload"), "--app or APP"),
        (("agent", "--channel_name=x", "--app={app}"), "name one of orders, bills"),
        (("agent", "--channel_name=x", "--app={app}", "--agent=x"), "known are orders, bills"),
    ],
)
def test_what_is_missing_is_named(app: Path, arguments: tuple[str, ...], words: str) -> None:
    done = main(*(each.format(app=app) for each in arguments))
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
