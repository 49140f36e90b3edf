"""What holds across the whole: each line of the threat model has its test, and these are some."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from control.api.openapi import openapi_document
from control.api.operations import OPERATIONS
from control.api.schemas import StartAgentRequest
from control.api.starts import AgentConfigurator
from tests.control.test_room_rights import RIGHTS, WHO
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Stage

ROOT = Path(__file__).parent.parent
SECRET = "room-secret-room-secret-room-secret"


# -- the document -------------------------------------------------------------------------------


def threats() -> Iterator[tuple[str, list[str]]]:
    """Each line of the tables: what it says, and the tests it names."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and not set(cells[0]) <= {"-"} and cells[0] != "threat":
            yield cells[0], re.findall(r"`([^`]+)`", cells[2])


def test_every_line_of_the_threat_model_names_tests_that_exist() -> None:
    lines = list(threats())
    assert len(lines) > 20
    for threat, names in lines:
        assert names, threat
        for name in names:
            path, _, function = name.partition("::")
            text = (ROOT / "tests" / path).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {function}\(", text, re.MULTILINE), name


def cells_of_rights() -> Iterator[tuple[str, str, str]]:
    """Each cell of the table of rights in rooms: who, what it may, and the test that tries it."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    lines = text.partition("| who | ")[2].splitlines()
    for line in lines[2 : 2 + len(WHO)]:
        who, *cells = [cell.strip() for cell in line.split("|")[1:-1]]
        for cell in cells:
            verdict, _, test = cell.partition(": ")
            yield who, verdict, test.strip("`")


def test_every_cell_of_the_rights_in_rooms_is_what_its_test_tries() -> None:
    cells = list(cells_of_rights())
    assert len(cells) == len(WHO) * (len(RIGHTS) + 1)
    assert {who for who, _, _ in cells} == set(WHO)
    for who, verdict, test in cells:
        path, _, function = test.rpartition("::")
        text = (ROOT / "tests" / (path or "control/test_room_rights.py")).read_text("utf-8")
        assert re.search(rf"^(async )?def {function}\(", text, re.MULTILINE), test
        if not path:
            assert RIGHTS[function][who] == verdict, (who, test)
            assert re.search(rf"^@each\n(@.*\n)*(async )?def {function}\(", text, re.MULTILINE)


# -- requests -----------------------------------------------------------------------------------

_MEANS_OF_HARM = re.compile(
    r"(^|_)(url|uri|path|file|dir|folder|module|import|command|factory|host|address|key|secret)($|_)"
)


def property_names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from property_names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from property_names(value)


def test_no_request_names_a_path_an_address_or_code() -> None:
    schemas = openapi_document(OPERATIONS)["components"]["schemas"]
    bodies = [one.request.__name__ for one in OPERATIONS if one.request is not None]
    assert "StartAgentRequest" in bodies
    for body in bodies:
        # `memory_key` names entries of the store, as `thread_id` does.
        names = set(property_names(schemas[body])) - {"memory_key"}
        assert not [name for name in names if _MEANS_OF_HARM.search(name)], body


def test_an_agent_is_told_its_own_secrets_and_no_others() -> None:
    settings = Settings.from_env(
        {
            "API_KEYS": "control-key-1-of-two,control-key-2-of-two",
            "ROOM_TOKEN_SECRET": SECRET,
            "MODEL_PROVIDER": "openai",
            "OPENAI_API_KEY": "sk-openai",
            "GEMINI_API_KEY": "sk-gemini",
            "AZURE_OPENAI_API_KEY": "sk-azure",
            "METRICS_TOKEN": "metrics-token-metrics",
            "TURN_SECRET": "turn-secret-turn-secret",
            "STORE_URL": "postgresql://u:store-password@127.0.0.1/x",
            "LOCAL_MODEL_URI": "ws://127.0.0.1:9",
        }
    )
    wanted = StartAgentRequest(channel_name="demo", uid=7)
    config, _ = AgentConfigurator(settings, "http://127.0.0.1:1", None).configure(wanted)
    told = json.dumps(config.to_json())
    assert "sk-openai" in told
    others = [SECRET, "control-key", "sk-gemini", "sk-azure", "metrics-token", "turn-secret"]
    others.append("store-password")
    assert not [secret for secret in others if secret in told]


# -- logs ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_neither_words_nor_tokens_nor_tool_arguments_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    private = ("my-prompt", "my-greeting", "their-words", "my-reply", "Atlantis", "sk-test")
    async with Stage() as stage:
        session = await stage.start(
            system_message="my-prompt", greeting="my-greeting", toolset="everyday"
        )
        person = await stage.join()
        await session.wait_for("response.create")
        await session.say(tone(100), "my-reply")
        await person.wait_event("agent_playout_done")
        item_id = await session.speech_started()
        await session.speech_stopped(item_id, "their-words")
        await person.wait_event("agent_input_transcription_done")
        await session.call_tool("get_current_time", {"zone": "Atlantis"})
        await person.wait_event("agent_response_tool_result")
        await person.leave()
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "ready" in logged
    assert not [word for word in private if word in logged]
