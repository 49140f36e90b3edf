"""What a start and a definition choose of the local model, and what its session is told."""

from __future__ import annotations

from typing import Any, Final

import pytest
from pydantic import SecretStr

from config.agent import AgentConfig, agent_config
from config.cascade import Cascade
from config.definition import Definition
from config.local_model import LocalModelAddress
from config.settings import AgentConfigError, Settings
from control.api.schemas import StartAgentRequest
from speech.options import OPTIONS_HEADER, SECRET_HEADER, SessionOptions, decode_options

SECRET: Final = SecretStr("s" * 20)
OLLAMA: Final = {
    "LLM_BASE_URL": "http://127.0.0.1:11434/v1",
    "LLM_MODEL": "qwen3:4b",
    "LLM_API_KEY": "sk-settings",
    "CASCADE_BASE_URLS": "https://other.example/v1, http://voices:8880/v1",
}
OTHER: Final = "https://other.example/v1"


def configured(
    environ: dict[str, str] | None = None,
    *,
    definitions: tuple[Definition, ...] = (),
    secret: SecretStr | None = SECRET,
    **fields: Any,
) -> AgentConfig:
    known = {one.name: one for one in definitions}
    request = StartAgentRequest.model_validate({"channel_name": "demo"} | fields)
    return agent_config(
        Settings.from_env(OLLAMA if environ is None else environ),
        request.agent_request(),
        agent_id="a",
        room_url="http://127.0.0.1:1",
        room_token=None,
        local_model=LocalModelAddress("ws://127.0.0.1:9", secret),
        skills={},
        definition=known.get(request.agent or ""),
        definitions=known,
    )


def told(config: AgentConfig) -> SessionOptions:
    headers = config.provider.headers
    assert headers[SECRET_HEADER] == SECRET
    return decode_options(headers[OPTIONS_HEADER].get_secret_value())


def test_a_session_is_told_nothing_where_nothing_is_chosen() -> None:
    assert configured().provider.headers == {}
    assert configured(cascade={}).provider.headers == {}


def test_a_start_changes_one_field_of_the_language_model_and_keeps_the_rest() -> None:
    options = told(configured(cascade={"language_model": {"temperature": 0.1}}))
    model = options.language_model
    assert model is not None
    assert options.voice is None
    assert options.recogniser is None
    assert (model.base_url, model.model) == ("http://127.0.0.1:11434/v1", "qwen3:4b")
    assert (model.temperature, model.api_key) == (0.1, SecretStr("sk-settings"))


def test_the_model_of_a_start_is_the_language_model_at_the_settings_address() -> None:
    model = told(configured(model="llama3.2/3b", provider="local")).language_model
    assert model is not None
    assert model.model == "llama3.2/3b"
    with pytest.raises(AgentConfigError, match="set LLM_BASE_URL") as caught:
        configured({}, model="llama3.2", provider="local")
    assert caught.value.code == "unknown_model"


def test_the_settings_key_is_not_sent_to_another_address() -> None:
    model = told(configured(cascade={"language_model": {"base_url": OTHER}})).language_model
    assert model is not None
    assert (model.base_url, model.api_key, model.headers) == (OTHER, None, {})


@pytest.mark.parametrize("part", ["language_model", "recogniser", "voice"])
def test_a_start_names_only_addresses_that_the_owner_allows(part: str) -> None:
    with pytest.raises(AgentConfigError, match="CASCADE_BASE_URLS") as caught:
        configured(cascade={part: {"base_url": "http://169.254.169.254/v1"}})
    assert caught.value.code == "base_url_not_allowed"


@pytest.mark.parametrize(
    "cascade",
    [
        {"voice": {"engine": "os:system"}},
        {"recogniser": {"engine": "my.module:create"}},
        {"voice": {"directory": "/etc"}},
        {"language_model": {"base_url": "file:///etc/passwd"}},
        {"language_model": {"api_key": "with space"}},
        {"mind": {}},
    ],
)
def test_a_start_names_neither_code_nor_files(cascade: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cascade"):
        configured(cascade=cascade)


def test_a_definition_names_its_own_code_and_addresses_and_a_start_goes_over_it() -> None:
    cascade = Cascade.model_validate(
        {
            "language_model": {"base_url": "http://gpu:8000/v1", "model": "m", "api_key": "sk-own"},
            "voice": {"engine": "my_voices:create", "directory": "/voices/amy"},
        }
    )
    orders = Definition(name="orders", cascade=cascade)
    config = configured(
        definitions=(orders,), agent="orders", cascade={"language_model": {"temperature": 1}}
    )
    options = told(config)
    model, voice = options.language_model, options.voice
    assert model is not None
    assert voice is not None
    assert (model.base_url, model.api_key) == ("http://gpu:8000/v1", SecretStr("sk-own"))
    assert (model.temperature, voice.engine) == (1, "my_voices:create")
    assert "sk-own" not in repr(config) + orders.model_dump_json() + repr(cascade)
    assert AgentConfig.model_validate(config.to_json()) == config


def test_a_definitions_cascade_is_left_out_with_another_provider() -> None:
    orders = Definition(name="orders", cascade=Cascade(noise_suppression=True))
    environ = OLLAMA | {"OPENAI_API_KEY": "sk-1"}
    config = configured(environ, definitions=(orders,), agent="orders", provider="openai")
    assert config.provider.headers == {}


def test_a_cascade_is_of_the_local_model_alone() -> None:
    environ = OLLAMA | {"OPENAI_API_KEY": "sk-1"}
    with pytest.raises(AgentConfigError, match="of the provider local only"):
        configured(environ, provider="openai", cascade={"noise_suppression": True})


def test_agents_of_a_chat_room_and_of_a_handoff_have_their_own() -> None:
    ann, ben = (
        Definition(
            name=name,
            cascade=Cascade.model_validate({"voice": {"name": name}}),
            handoffs=("ben",) if name == "ann" else (),
        )
        for name in ("ann", "ben")
    )
    room = configured(definitions=(ann, ben), agents=["ann", "ben"])
    assert room.chat_room is not None
    headers = [each.provider.headers for each in room.chat_room.members]
    names = [decode_options(each[OPTIONS_HEADER].get_secret_value()).voice for each in headers]
    assert [each.name for each in names if each is not None] == ["ann", "ben"]
    handed = configured(definitions=(ann, ben), agent="ann").handoffs["ben"].provider
    assert handed is not None
    voice = decode_options(handed.headers[OPTIONS_HEADER].get_secret_value()).voice
    assert voice is not None
    assert voice.name == "ben"


PRICES: Final = {"MODEL_PRICES": "qwen3:4b=input:1,output:2; other=input:3"}


def test_replies_are_priced_by_the_language_model_that_may_have_written_them() -> None:
    fallback = {"LLM_FALLBACK_BASE_URL": OTHER, "LLM_FALLBACK_MODEL": "other"}
    assert [one.model for one in configured(OLLAMA | PRICES).limits.prices] == ["qwen3:4b"]
    prices = configured(OLLAMA | PRICES | fallback, max_cost=1).limits.prices
    assert [one.model for one in prices] == ["qwen3:4b", "other"]
    with pytest.raises(AgentConfigError, match="no price for phi4") as caught:
        configured(OLLAMA | PRICES, model="phi4", max_cost=1)
    assert caught.value.code == "no_price"
    with pytest.raises(AgentConfigError, match="no price for parley-local"):
        configured({}, max_cost=1)


def test_what_cannot_be_had_is_said() -> None:
    with pytest.raises(AgentConfigError, match="needs LOCAL_MODEL_API_KEY"):
        configured(secret=None, cascade={"noise_suppression": True})
    with pytest.raises(AgentConfigError, match="needs LLM_BASE_URL"):
        configured({}, cascade={"language_model": {"temperature": 1}})
    body = {"language_model": {"extra_body": {"x": "y" * 9_000}}}
    with pytest.raises(AgentConfigError, match="too long"):
        configured(cascade=body)
    with pytest.raises(AgentConfigError, match=r"cascade\.language_model: model"):
        configured({"CASCADE_BASE_URLS": OTHER}, cascade={"language_model": {"base_url": OTHER}})
