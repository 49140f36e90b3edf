"""What a definition fills in a start: request before definition before settings, limits the tightest."""

from __future__ import annotations

from typing import Any

import pytest

from config.agent import AgentConfig, AgentRequest, agent_config
from config.definition import Definition, find_definition
from config.local_model import LocalModelAddress
from config.settings import AgentConfigError, Settings
from control.api.schemas import StartAgentRequest

OPENAI = {
    "MODEL_PROVIDER": "openai",
    "OPENAI_API_KEY": "k" * 16,
    "OPENAI_MODEL": "gpt-settings",
    "XAI_API_KEY": "x" * 16,
    "GOODBYE": "Bye from the settings.",
    "MAX_DURATION_S": "100",
    "MAX_TOKENS": "5000",
}
FULL = Definition(
    name="orders",
    display_name="Order desk",
    instructions="Serve {shop}.",
    greeting="Hello {shop}.",
    goodbye="Bye.",
    provider="openai",
    model="gpt-definition",
    voice="marin",
    language="de",
    model_settings={"speed": 1.2, "temperature": 0.5},
    turn_detection={"type": "none"},
    interrupt={"mode": "never", "min_words": 3},
    sounds={"idle": {"after_s": 5}, "normalise": True},
    max_duration_s=50,
    idle_timeout_s=20,
    max_tokens=9000,
    skills=("polite",),
)
SHOP: dict[str, Any] = {"metadata": {"shop": "Leaf"}}


def built(definition: Definition = FULL, **fields: Any) -> AgentConfig:
    request = StartAgentRequest.model_validate({"channel_name": "demo"} | SHOP | fields)
    return agent_config(
        Settings.from_env(OPENAI),
        request.agent_request(),
        agent_id="a",
        room_url="http://127.0.0.1:1",
        room_token=None,
        local_model=LocalModelAddress("ws://127.0.0.1:9"),
        skills={"polite": "Be polite.", "brief": "Be brief."},
        definition=definition,
    )


def test_a_definition_fills_what_the_request_leaves_out() -> None:
    config = built()
    assert (config.name, config.language, config.voice) == ("Order desk", "de", "marin")
    assert (config.provider.name, config.provider.model) == ("openai", "gpt-definition")
    assert (config.system_message, config.greeting) == ("Serve Leaf.", "Hello Leaf.")
    assert config.goodbye == "Bye."
    assert config.model_settings == {"speed": 1.2, "temperature": 0.5}
    assert (config.interrupt.mode, config.interrupt.min_words) == ("never", 3)
    assert config.turn_detection == {"type": "none"}
    assert config.skills == {"polite": "Be polite."}
    assert (config.max_duration_s, config.limits.idle_timeout_s) == (50, 20)
    # The settings are tighter.
    assert config.limits.max_tokens == 5000


def test_a_request_goes_before_its_definition() -> None:
    config = built(
        name="Ada",
        language="fr",
        voice="cedar",
        model="gpt-request",
        instructions="Be brief.",
        greeting="Hi.",
        goodbye="So long.",
        model_settings={"speed": 0.9},
        turn_detection={"type": "server_vad"},
        interrupt={"min_words": 5},
        skills=["brief"],
        max_duration_s=10,
        idle_timeout_s=60,
        max_tokens=50,
    )
    assert (config.name, config.language, config.voice) == ("Ada", "fr", "cedar")
    assert config.provider.model == "gpt-request"
    assert (config.system_message, config.greeting) == ("Be brief.", "Hi.")
    assert config.goodbye == "So long."
    assert config.model_settings == {"speed": 0.9, "temperature": 0.5}
    assert (config.interrupt.mode, config.interrupt.min_words) == ("never", 5)
    assert config.turn_detection == {"type": "server_vad"}
    assert [*config.skills] == ["brief"]
    # Limits are tightened, never widened.
    assert (config.max_duration_s, config.limits.idle_timeout_s) == (10, 20)
    assert config.limits.max_tokens == 50


def test_settings_hold_for_what_neither_names() -> None:
    config = built(Definition(name="orders"))
    assert (config.name, config.language) == ("orders", "en")
    assert (config.provider.name, config.provider.model) == ("openai", "gpt-settings")
    assert (config.goodbye, config.max_duration_s) == ("Bye from the settings.", 100)
    assert config.interrupt == built(Definition(name="x")).interrupt
    assert config.system_message is None


def test_model_and_voice_are_those_of_the_definitions_provider() -> None:
    config = built(provider="xai")
    assert (config.provider.name, config.voice) == ("xai", None)
    assert config.provider.model != "gpt-definition"
    # The provider of the settings is the definition's, if it names none.
    assert built(Definition(name="o", model="m"), provider="openai").provider.model == "m"


def test_a_definition_may_bring_the_key_of_its_provider_alone() -> None:
    own = Definition(name="o", provider="dashscope", has_api_key=True)
    assert built(own).provider.has_key_of_definition
    with pytest.raises(AgentConfigError) as caught:
        built(own.model_copy(update={"has_api_key": False}))
    assert caught.value.code == "missing_api_key"
    assert not built(own, provider="openai").provider.has_key_of_definition


def test_metadata_that_a_text_needs_is_asked_for() -> None:
    with pytest.raises(AgentConfigError, match=r"agent orders: instructions: \{shop\}") as caught:
        built(metadata={})
    assert caught.value.code == "invalid_request"
    # Not for a text that the request replaces.
    built(metadata={}, instructions="Be brief.", greeting="Hi.")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AgentConfigError, match="there is no bills; known are orders") as caught:
        find_definition({"orders": FULL}, "bills")
    assert caught.value.code == "unknown_agent"


def test_every_value_of_a_definition_reaches_the_configuration() -> None:
    values = FULL.model_dump(exclude_defaults=True, exclude={"name"})
    plain = built(Definition(name="orders"))
    beside: dict[str, dict[str, Any]] = {"model": {"provider": "openai"}}
    for name, value in values.items():
        definition = Definition(name="orders", **{name: value}, **beside.get(name, {}))
        if name not in ("provider", "max_tokens"):
            assert built(definition) != plain, name
    assert built(Definition(name="o", provider="xai")).provider.name == "xai"
    assert built(Definition(name="o", max_tokens=5)).limits.max_tokens == 5


def test_a_request_without_a_definition_is_as_before() -> None:
    request = AgentRequest(channel_name="demo")
    config = agent_config(
        Settings.from_env(OPENAI),
        request,
        agent_id="a",
        room_url="http://127.0.0.1:1",
        room_token=None,
        local_model=LocalModelAddress(),
        skills={},
    )
    assert (config.name, config.language, config.definition) == ("Parley", "en", None)
