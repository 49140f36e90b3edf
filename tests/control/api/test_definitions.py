"""Definitions over HTTP: the list, starts by name, and the check of their values."""

from __future__ import annotations

from typing import Any

import pytest

from config.definition import Definition
from config.settings import Settings
from control.api.definition_check import check_definition
from control.api.starts import AgentConfigurator
from control.app_catalog import AppCatalog, Verdict
from control.forkserver.app_report import AppReport
from control.forkserver.app_source import AppSource
from parley.load_problem import Problem
from tests.control.served_api import serve_api

ORDERS = Definition(
    name="orders", display_name="Order desk", instructions="Be kind.", tools=("find_order",)
)


def catalog(*definitions: Definition) -> AppCatalog:
    made = AppCatalog(AppSource("orders.py"), lambda _one: Verdict())
    made.take(AppReport(agents=definitions))
    return made


@pytest.mark.asyncio
async def test_a_start_names_an_agent_of_the_app() -> None:
    async with serve_api(catalog=catalog(ORDERS)) as api:
        start = {"channel_name": "demo", "agent": "orders"}
        answer = await api.post("/start_agent", json=start)
        assert answer.status == 200
        config = api.placement.configs["demo"]
        assert (config.name, config.definition) == ("Order desk", "orders")
        assert config.system_message == "Be kind."
        for name in ("bills", "../orders", "parley.app", "x" * 40, ""):
            answer = await api.post("/start_agent", json=start | {"agent": name})
            body = await answer.json()
            assert answer.status == 400
            assert body["code"] in ("unknown_agent", "invalid_request")
        answer = await api.post("/start_agent", json=start | {"agent": "bills"})
        assert (await answer.json())["error"] == "agent: there is no bills; known are orders"


@pytest.mark.asyncio
async def test_a_server_without_an_app_says_how_to_have_one() -> None:
    async with serve_api() as api:
        answer = await api.post("/start_agent", json={"channel_name": "demo", "agent": "orders"})
        body = await answer.json()
        assert (answer.status, body["code"]) == (400, "unknown_agent")
        assert "--app" in body["error"]
        listed = await (await api.get("/agents/definitions")).json()
        assert (listed["app"], listed["agents"], listed["problems"]) == (None, [], [])


@pytest.mark.asyncio
async def test_the_list_has_the_last_good_version_and_the_present_problems() -> None:
    made = catalog(ORDERS)
    problem = Problem("ValueError: no shop", "/shop/orders.py", 3)
    assert not made.take(AppReport(problems=(problem,)))
    async with serve_api(catalog=made) as api:
        listed = await (await api.get("/agents/definitions")).json()
        assert listed["problems"] == [problem.to_json()]
        [shown] = listed["agents"]
        assert (shown["name"], shown["display_name"]) == ("orders", "Order desk")
        assert (shown["tools"], shown["has_instructions"]) == (["find_order"], True)
        assert "Be kind" not in str(listed)
        assert (await api.post("/start_agent", json={"channel_name": "d", "agent": "orders"})).ok


def test_a_definition_with_a_wrong_value_is_not_taken() -> None:
    made = AppCatalog(AppSource("a.py"), lambda one: Verdict((f"bad {one.name}",), ("no key",)))
    good = AppCatalog(AppSource("a.py"), lambda _one: Verdict((), ("no key",)))
    report = AppReport(agents=(ORDERS.model_copy(update={"file": "/a.py", "line": 7}),))
    assert not made.take(report)
    assert made.problems == (Problem("agent orders: bad orders", "/a.py", 7),)
    assert (made.definitions, made.loads) == ({}, 0)
    assert good.take(report)
    assert (good.warnings, good.loads) == (("agent orders: no key",), 1)


# -- the check -------------------------------------------------------------------------------------

SETTINGS = {"MODEL_PROVIDER": "local", "LOCAL_MODEL_URI": "ws://127.0.0.1:9"}


def checked(**values: Any) -> Verdict:
    settings = Settings.from_env(SETTINGS)
    configurator = AgentConfigurator(settings, "http://127.0.0.1:1", None)
    return check_definition(Definition(name="orders", **values), configurator.agent_config)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"voice": "a b"}, "voice: "),
        ({"language": "English"}, "language: "),
        ({"display_name": "x" * 500}, "display_name: "),
        ({"greeting": "x" * 2000}, "greeting: "),
        ({"instructions": "{shop"}, "instructions: the { at character 1"),
        ({"instructions": "x" * 33_000}, "instructions: longer than 32000"),
        ({"description": "x" * 1_001}, "description: longer than 1000"),
        ({"model_settings": {"temperature": 9}}, "model_settings.temperature: "),
        ({"model_settings": {"warmth": 9}}, "model_settings.warmth: "),
        ({"turn_detection": {"type": "psychic"}}, "turn_detection: "),
        ({"interrupt": {"mode": "rarely"}}, "interrupt.mode: "),
        ({"max_duration_s": -1}, "max_duration_s: "),
        ({"provider": "nobodys"}, "unknown provider"),
        ({"model": "gpt-5"}, "model: the local server has one model"),
        ({"skills": ("polite",)}, "skills: polite is unknown"),
        ({"loadable_skills": ("polite",)}, "skills: polite is unknown"),
        ({"toolsets": ("everyday", "weekly")}, "toolset is unknown"),
        ({"toolsets": ("everyday", "mcp:files")}, "MCP_SERVERS names no such server"),
        (
            {"hooks": ("user_turn_finished",), "interrupt": {"mode": "immediate"}},
            "user_turn_finished runs before an answer",
        ),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], words: str) -> None:
    verdict = checked(**values)
    assert any(words in problem for problem in verdict.problems), verdict


def test_what_a_setting_lacks_is_a_warning() -> None:
    verdict = checked(provider="openai", instructions="Serve {shop} for {customer}.")
    assert verdict.problems == ()
    [warning] = verdict.warnings
    assert "OPENAI_API_KEY" in warning


def test_placeholders_are_left_to_the_start() -> None:
    assert checked(instructions="Serve {shop}.", greeting="Hello {name}.") == Verdict()
