from __future__ import annotations

from pathlib import Path

import pytest

from cli.load_scenario import read_load_scenario
from config.settings import Settings
from main import build_parser
from scenarios.format import ScenarioError
from tests.scenarios.test_report_page import write_wav

HEAD = "name: order\nagent: orders\nstart: {greeting: Good day.}\n"
LOCAL_MODEL = Settings.from_env({}).local_model_options()


@pytest.mark.parametrize(
    ("given", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("0.5h", 1800)]
)
def test_times_have_units(given: str, seconds: float) -> None:
    options = build_parser().parse_args(["load", "--duration", given])
    assert (options.duration, options.ramp, options.find_limit) == (seconds, 5.0, False)


@pytest.mark.parametrize(
    "wrong",
    [("--duration", "x"), ("--ramp", "-1s"), ("--calls", "0"), ("--calls", "1e9"), ("--ramp", "s")],
)
def test_wrong_options_are_refused(
    wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["load", *wrong])
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.asyncio
async def test_a_scenario_gives_agent_start_and_sentences(tmp_path: Path) -> None:
    write_wav(tmp_path / "tone.wav", 1.0)
    file = tmp_path / "order.yaml"
    file.write_text(
        HEAD + "turns:\n- {wav: tone.wav, expect: {judge: fine}}\n- silence_s: 1\n- wav: tone.wav\n"
    )
    found = await read_load_scenario(file, LOCAL_MODEL)
    assert (found.name, found.fields) == ("order", {"greeting": "Good day.", "agent": "orders"})
    assert [round(len(pcm) / 48_000, 1) for pcm in found.sentences] == [1.0, 1.0]
    assert found.notes == ["expectations of a scenario are not checked by a load"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("turns", "problem"),
    [
        (
            "[{type: hello}]",
            "turn 1: callers of a load say and wav, and nothing else; this is type",
        ),
        ("[{silence_s: 1}]", "nothing is said in it"),
        ("[{say: hello}]\npeople: [{name: a}, {name: b}]", "scenarios of one person"),
    ],
)
async def test_what_a_load_cannot_play_is_named(tmp_path: Path, turns: str, problem: str) -> None:
    file = tmp_path / "order.yaml"
    file.write_text(f"{HEAD}turns: {turns}\n")
    with pytest.raises(ScenarioError, match=problem):
        await read_load_scenario(file, LOCAL_MODEL)
