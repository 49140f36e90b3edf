"""Skills, memory and metadata from a request to the agent's configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.agent import AgentConfig
from config.settings import ConfigError, Settings
from config.skills import MAX_SKILL_CHARACTERS, load_skills
from tests.control.served_api import serve_api

START = {"channel_name": "demo", "uid": 1000}


def settings_with(folder: Path) -> Settings:
    return Settings.from_env({"LOCAL_MODEL_URI": "ws://127.0.0.1:9", "SKILLS_DIR": str(folder)})


def test_files_are_registered_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "orders.md").write_text("Ask for the number.\n", encoding="utf-8")
    (tmp_path / "greet-well.txt").write_text("Sag „Grüezi“.", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\xff")
    (tmp_path / "folder.md").mkdir()
    assert load_skills(tmp_path) == {
        "greet-well": "Sag „Grüezi“.",
        "orders": "Ask for the number.",
    }
    assert load_skills(None) == {}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"Bad Name.md": b"x"}, "Bad Name.md"),
        ({"a.md": b"x", "a.txt": b"y"}, "two files for the skill a"),
        ({"a.md": b"\xff\xfe"}, "UTF-8"),
        ({"a.md": b" \n"}, "needs 1 to"),
        ({"a.md": b"x" * (MAX_SKILL_CHARACTERS + 1)}, "needs 1 to"),
    ],
)
def test_files_that_are_no_skills_are_named(
    tmp_path: Path, files: dict[str, bytes], says: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        load_skills(tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SKILLS_DIR"):
        load_skills(tmp_path / "missing")


@pytest.mark.asyncio
async def test_the_agent_gets_the_filled_prompt_the_skills_and_the_memory(tmp_path: Path) -> None:
    (tmp_path / "orders.md").write_text("Ask for the number.", encoding="utf-8")
    (tmp_path / "returns.md").write_text("Be generous.", encoding="utf-8")
    wanted = START | {
        "system_message": 'You serve {customer}. Say {{"ok"}}.',
        "metadata": {"customer": "Ada {x}", "unused": ""},
        "skills": ["returns", "orders"],
        "memory": ["Ada likes tea."],
    }
    async with serve_api(settings_with(tmp_path)) as api:
        response = await api.post("/start_agent", json=wanted)
        assert response.status == 200, await response.text()
        config = api.placement.configs["demo"]
        assert config.system_message == 'You serve Ada {x}. Say {"ok"}.'
        assert list(config.skills.items()) == [
            ("returns", "Be generous."),
            ("orders", "Ask for the number."),
        ]
        assert config.memory == ("Ada likes tea.",)


@pytest.mark.asyncio
async def test_what_is_spoken_is_filled_as_the_instructions_are(tmp_path: Path) -> None:
    wanted = START | {
        "instructions": "You serve {customer}.",
        "greeting": "Hello {customer}, {{welcome}}!",
        "goodbye": "Bye {customer}.",
        "metadata": {"customer": "Ada {x}"},
        "user_wait_s": 600,
        "tool_results_from": [7, 8],
        "show_tools": "none",
    }
    async with serve_api(settings_with(tmp_path)) as api:
        response = await api.post("/start_agent", json=wanted)
        assert response.status == 200, await response.text()
        config = api.placement.configs["demo"]
        assert config.system_message == "You serve Ada {x}."
        assert config.greeting == "Hello Ada {x}, {welcome}!"
        assert config.goodbye == "Bye Ada {x}."
        assert config.user_wait_s == 600
        assert (config.tool_results_from, config.show_tools) == ((7, 8), "none")
        crossed = AgentConfig.model_validate(json.loads(json.dumps(config.to_json())))
        assert crossed.tool_results_from == (7, 8)
        response = await api.post("/start_agent", json=wanted | {"metadata": {}})
        assert response.status == 400
        assert "{customer} has no value" in (await response.json())["error"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        ({"system_message": "Hi {nmae}", "metadata": {"name": "A"}}, "invalid_request", "{nmae}"),
        ({"system_message": "a { b"}, "invalid_request", "write {{"),
        ({"metadata": {"no spaces": "x"}}, "invalid_request", "metadata"),
        ({"metadata": {"name": 5}}, "invalid_request", "metadata"),
        ({"metadata": {"name": "x" * 501}}, "invalid_request", "metadata"),
        ({"metadata": {f"n{n}": "" for n in range(33)}}, "invalid_request", "metadata"),
        ({"memory": ["x" * 501]}, "invalid_request", "memory"),
        ({"memory": ["x"] * 33}, "invalid_request", "memory"),
        ({"skills": ["../orders"]}, "invalid_request", "skills"),
        ({"skills": ["/etc/passwd"]}, "invalid_request", "skills"),
        ({"skills": ["refunds"]}, "unknown_skill", "refunds is unknown, known are orders"),
    ],
)
async def test_invalid_fields_are_refused_by_name(
    tmp_path: Path, wrong: dict[str, Any], code: str, says: str
) -> None:
    (tmp_path / "orders.md").write_text("Ask for the number.", encoding="utf-8")
    async with serve_api(settings_with(tmp_path)) as api:
        response = await api.post("/start_agent", json=START | wrong)
        body = await response.json()
        assert (response.status, body["code"]) == (400, code)
        assert says in body["error"]
        assert not api.placement.configs
