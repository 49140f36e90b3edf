"""One configuration of an agent: every setting and every start value reaches it, by each way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from pydantic import SecretStr

from cli.agent import AGENT_OPTIONS, foreground_config, start_request
from cli.running import CommandError
from config.agent import DEFAULT_AGENT_UID, AgentConfig, AgentRequest, agent_config
from config.definition import Definition
from config.local_model import LocalModelAddress
from config.settings import AgentConfigError, ConfigError, Settings
from control.api.schemas import StartAgentRequest
from control.api.starts import AgentConfigurator
from control.http.errors import ApiError
from main import build_parser

ROOM_URL: Final = "http://127.0.0.1:1"
BASE: Final = {
    "MODEL_PROVIDER": "local",
    "LOCAL_MODEL_URI": "ws://127.0.0.1:9",
    # A room token is minted from it, so that no server is asked for one.
    "ROOM_TOKEN_SECRET": "s" * 32,
}
KEY: Final = "k" * 16

OPENAI: Final = {"MODEL_PROVIDER": "openai", "OPENAI_API_KEY": KEY}
COMPATIBLE: Final = {
    "MODEL_PROVIDER": "openai-compatible",
    "OPENAI_COMPATIBLE_MODEL": "pipeline",
    "OPENAI_COMPATIBLE_BASE_URI": "ws://127.0.0.1:9",
}
XAI: Final = {"MODEL_PROVIDER": "xai", "XAI_API_KEY": KEY}
AZURE: Final = {
    "MODEL_PROVIDER": "azure",
    "AZURE_OPENAI_API_KEY": KEY,
    "AZURE_OPENAI_DEPLOYMENT": "voice",
    "AZURE_OPENAI_BASE_URI": "wss://me.openai.azure.com",
}
BETA: Final = {
    "MODEL_PROVIDER": "openai-beta",
    "OPENAI_BETA_API_KEY": KEY,
    "OPENAI_BETA_MODEL": "old",
    "OPENAI_BETA_BASE_URI": "ws://127.0.0.1:9",
}
DASHSCOPE: Final = {"MODEL_PROVIDER": "dashscope", "DASHSCOPE_API_KEY": KEY}
GEMINI: Final = {"MODEL_PROVIDER": "gemini", "GEMINI_API_KEY": KEY}
CUSTOM: Final = {
    "MODEL_PROVIDER": "acme",
    "PROVIDER_FACTORIES": "acme=acme_voice:create",
    "CUSTOM_PROVIDER_MODEL": "acme-1",
    "CUSTOM_PROVIDER_BASE_URI": "wss://acme.example",
}


def _without_key(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.endswith("_API_KEY")}


PRICED: Final = {"MODEL_PRICES": "parley-local=input:1,output:2"}

HOSTED: Final = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": "https://tools.example/mcp",
    "authorization": "sk-secret",
    "allowed_tools": ["search"],
    "require_approval": "never",
}

# Setting -> a value that an agent must feel, the settings it needs beside it, and start fields.
AGENT_SETTINGS: Final[dict[str, tuple[str, dict[str, str], dict[str, Any]]]] = {
    "room_token_secret": ("t" * 32, {}, {}),
    "provider_factories": ("acme=other_voice:create", CUSTOM, {}),
    "model_provider": ("openai", OPENAI | {"MODEL_PROVIDER": "local"}, {}),
    "fallback_provider": ("openai", {"OPENAI_API_KEY": KEY}, {}),
    "openai_api_key": ("other", OPENAI, {}),
    "openai_model": ("gpt-other", OPENAI, {}),
    "realtime_api_base_uri": ("wss://other", OPENAI, {}),
    "openai_compatible_api_key": ("other", COMPATIBLE, {}),
    "openai_compatible_model": ("other", COMPATIBLE, {}),
    "openai_compatible_base_uri": ("wss://other", COMPATIBLE, {}),
    "xai_api_key": ("other", XAI, {}),
    "xai_model": ("other", XAI, {}),
    "xai_base_uri": ("wss://other", XAI, {}),
    "reconnect_base_delay_s": ("1", {}, {}),
    "reconnect_max_delay_s": ("9", {}, {}),
    "reconnect_max_attempts": ("3", {}, {}),
    "reconnect_give_up_s": ("30", {}, {}),
    "azure_openai_api_key": ("other", AZURE, {}),
    "azure_openai_deployment": ("other", AZURE, {}),
    "azure_openai_base_uri": ("wss://other", AZURE, {}),
    "azure_openai_api_version": ("2025-04-01-preview", AZURE, {}),
    "openai_beta_api_key": ("other", BETA, {}),
    "openai_beta_model": ("other", BETA, {}),
    "openai_beta_base_uri": ("wss://other", BETA, {}),
    "dashscope_api_key": ("other", DASHSCOPE, {}),
    "dashscope_model": ("other", DASHSCOPE, {}),
    "dashscope_base_uri": ("wss://other", DASHSCOPE, {}),
    "gemini_api_key": ("other", GEMINI, {}),
    "gemini_model": ("other", GEMINI, {}),
    "gemini_base_uri": ("wss://other", GEMINI, {}),
    "custom_provider_api_key": ("other", CUSTOM, {}),
    "custom_provider_model": ("other", CUSTOM, {}),
    "custom_provider_base_uri": ("wss://other", CUSTOM, {}),
    "openai_api_key_command": ("print-key", _without_key(OPENAI), {}),
    "openai_headers": ("X-Team=voice", OPENAI, {}),
    "openai_compatible_api_key_command": ("print-key", _without_key(COMPATIBLE), {}),
    "openai_compatible_headers": ("X-Team=voice", COMPATIBLE, {}),
    "xai_api_key_command": ("print-key", _without_key(XAI), {}),
    "xai_headers": ("X-Team=voice", XAI, {}),
    "azure_openai_api_key_command": ("print-key", _without_key(AZURE), {}),
    "azure_openai_headers": ("X-Team=voice", AZURE, {}),
    "openai_beta_api_key_command": ("print-key", _without_key(BETA), {}),
    "openai_beta_headers": ("X-Team=voice", BETA, {}),
    "dashscope_api_key_command": ("print-key", _without_key(DASHSCOPE), {}),
    "dashscope_headers": ("X-Team=voice", DASHSCOPE, {}),
    "gemini_api_key_command": ("print-key", _without_key(GEMINI), {}),
    "gemini_headers": ("X-Team=voice", GEMINI, {}),
    "custom_provider_api_key_command": ("print-key", _without_key(CUSTOM), {}),
    "custom_provider_headers": ("X-Team=voice", CUSTOM, {}),
    "api_key_command_ttl_s": ("60", OPENAI, {}),
    "gemini_credentials": ("adc", _without_key(GEMINI), {}),
    "local_model_uri": ("ws://127.0.0.1:10", {}, {}),
    "local_model_api_key": ("k" * 16, {}, {}),
    "mcp_servers": ("files=true", {}, {"toolset": "mcp:files"}),
    "http_tool_hosts": ("api.example.com", {}, {}),
    "guardrails": ("card_numbers", {}, {}),
    "agents_file": ("{folder}/agents.json", {}, {}),
    "skills_dir": ("{folder}", {}, {"skills": ["polite"]}),
    "recordings_dir": ("{folder}", {}, {"recording": True}),
    "sounds_dir": ("{folder}", {}, {}),
    "goodbye": ("Bye.", {}, {}),
    "max_duration_s": ("60", {}, {}),
    "idle_timeout_s": ("20", {}, {}),
    "max_tokens": ("1000", {}, {}),
    "max_cost": ("2.5", PRICED, {}),
    "model_prices": (PRICED["MODEL_PRICES"], {}, {}),
    "media_bind_address": ("192.0.2.1", {}, {}),
    "media_ports": ("40000-40099", {}, {}),
    "media_advertised_address": ("203.0.113.7", {}, {}),
    "media_relay_only": ("1", {"TURN_URLS": "turn:a", "TURN_SECRET": "s" * 16}, {}),
    "opus_bitrate_bps": ("24000", {}, {}),
    "opus_complexity": ("5", {}, {}),
    "opus_expected_loss_percent": ("0", {}, {}),
    "log_level": ("DEBUG", {}, {}),
    "log_format": ("json", {}, {}),
    "verbose": ("1", {}, {}),
    "write_agent_pcm": ("1", {}, {}),
    "write_rtc_pcm": ("1", {}, {}),
    "dump_dir": ("elsewhere", {"WRITE_RTC_PCM": "1"}, {}),
}

# Of the server, its rooms and its supervision of agents: no agent's configuration has them.
SERVER_SETTINGS: Final = {
    # Of scenarios, which are no agents.
    *("judge_base_url", "judge_model", "judge_api_key"),
    # Of what a start over HTTP may name; the command line has no tools.
    "hosted_mcp_urls",
    *("server_host", "server_port", "api_keys", "metrics_token", "allowed_origins"),
    *("trusted_proxies", "webhook_url", "webhook_secret", "room_token_old_secrets"),
    "webhook_events",
    *("requests_per_s_per_address", "requests_per_s_per_key", "head_timeout_s"),
    *("max_open_requests", "max_open_requests_per_address"),
    *("max_connections", "max_connections_per_address"),
    *("max_agents", "max_cpu_percent", "min_free_memory_mib", "drain_deadline_s"),
    *("agent_memory_limit_mib", "agent_unresponsive_s", "agent_lag_warning_ms"),
    *("agent_voice_stuck_s", "agent_unanswered_s", "agent_without_media_s"),
    # Of the local model's process, and of what a start over HTTP may choose of it.
    *("llm_base_url", "llm_model", "llm_api_key", "llm_headers", "llm_temperature"),
    *("llm_context_tokens", "llm_max_reply_tokens", "llm_fallback_base_url"),
    *("llm_fallback_model", "llm_fallback_api_key", "stt_engine", "stt_base_url", "stt_model"),
    *("stt_api_key", "stt_model_dir", "stt_noise_suppression", "tts_engine", "tts_voice"),
    *("tts_base_url", "tts_model", "tts_api_key", "tts_voice_dir", "cascade_base_urls"),
    *("local_model_port", "warm_processes", "merge_pages", "app", "app_variables"),
    *("data_dir", "store_url", "retention_days", "audit_retention_days", "retention_calls"),
    *("stun_urls", "turn_urls", "turn_secret", "turn_credential_ttl_s"),
    *("otel_exporter_otlp_endpoint", "otel_exporter_otlp_headers", "otel_service_name"),
    "otel_instrumentation_genai_capture_message_content",
}


def by_api(settings: Settings, **fields: Any) -> AgentConfig:
    request = StartAgentRequest.model_validate({"channel_name": "demo"} | fields)
    return AgentConfigurator(settings, ROOM_URL, None).configure(request)[0]


def by_command_line(settings: Settings, **fields: Any) -> AgentConfig:
    words = ["agent", "--channel_name=demo"]
    for name, value in fields.items():
        text = ",".join(value) if isinstance(value, list) else value
        words.append(f"--{name}" if value is True else f"--{name}={text}")
    request = start_request(build_parser().parse_args(words))
    return foreground_config(request, settings, ROOM_URL)


def shown(config: AgentConfig) -> dict[str, Any]:
    """The values of `config`, without those that two agents never share."""
    values = config.to_json()
    del values["agent_id"]
    # Signed at another moment, so only the secret it was signed with can be compared.
    values["room_token"] = settings_that_sign(values["room_token"])
    return values


def settings_that_sign(token: str) -> str | None:
    for secret in ("s" * 32, "t" * 32):
        try:
            jwt.decode(token, secret, algorithms=["HS256"])
        except jwt.InvalidSignatureError:
            continue
        return secret
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    agents = [{"name": "bills", "description": "Bills.", "instructions": "Be exact."}]
    (tmp_path / "agents.json").write_text(json.dumps(agents))
    (tmp_path / "polite.md").write_text("Be polite.")
    return tmp_path


def test_every_setting_is_an_agents_or_the_servers() -> None:
    assert not AGENT_SETTINGS.keys() & SERVER_SETTINGS
    assert AGENT_SETTINGS.keys() | SERVER_SETTINGS == set(Settings.model_fields)


@pytest.mark.parametrize("name", AGENT_SETTINGS)
def test_every_setting_of_an_agent_reaches_it_by_the_api_and_by_the_command_line(
    name: str, folder: Path
) -> None:
    value, beside, fields = AGENT_SETTINGS[name]
    before = BASE | beside
    after = before | {name.upper(): value.format(folder=folder)}
    settings = Settings.from_env(after)
    agent = shown(by_api(settings, **fields))
    assert agent == shown(by_command_line(settings, **fields))
    for build in (by_api, by_command_line):
        try:
            unset = shown(build(Settings.from_env(before), **fields))
        except (ApiError, ConfigError):
            continue  # the setting is what the start needs
        assert unset != agent, build.__name__


OPTIONS: Final[dict[str, Any]] = {
    "uid": 7,
    "name": "Ada",
    "system_message": "Be brief.",
    "voice": "marin",
    "language": "de",
    "provider": "openai",
    "model": "gpt-other",
    "greeting": "Good day.",
    "toolset": "everyday",
    "skills": ["polite"],
    "recording": True,
    "person_id": "ann",
}


def test_every_option_of_the_command_line_is_the_start_field_of_its_name(folder: Path) -> None:
    # A definition of the app that `agent` names has tests of its own.
    assert {*OPTIONS, "channel_name", "agent"} == set(AGENT_OPTIONS)
    environ = {
        "OPENAI_API_KEY": KEY,
        "SKILLS_DIR": str(folder),
        "RECORDINGS_DIR": str(folder / "calls"),
    }
    settings = Settings.from_env(BASE | environ)
    plain = shown(by_api(settings))
    for name, value in OPTIONS.items():
        fields = {"provider": "openai", name: value} if name == "model" else {name: value}
        agent = shown(by_command_line(settings, **fields))
        assert agent == shown(by_api(settings, **fields))
        assert agent != plain, name


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--language=English", "--language"),
        ("--voice=a b", "--voice"),
        ("--name= ", "--name"),
        ("--toolset=none", "known are"),
        ("--system_message={weather}", "weather"),
        ("--provider=OpenAI", "--provider"),
    ],
)
def test_an_option_that_the_api_would_refuse_is_refused(option: str, words: str) -> None:
    options = build_parser().parse_args(["agent", "--channel_name=demo", option])
    with pytest.raises(CommandError, match=words):
        start_request(options)


def test_options_may_be_spelled_with_a_dash() -> None:
    words = ["agent", "--channel-name=demo", "--system-message=Be brief."]
    assert start_request(build_parser().parse_args(words)).instructions == "Be brief."


@pytest.mark.parametrize("fields", [{}, {"uid": 0}])
def test_an_agent_has_a_uid_though_none_is_named(fields: dict[str, int]) -> None:
    settings = Settings.from_env(BASE)
    assert by_api(settings, **fields).uid == DEFAULT_AGENT_UID
    assert by_command_line(settings, **fields).uid == DEFAULT_AGENT_UID


# Start field -> a value unlike its default; of `AgentRequest` those are all.
START_FIELDS: Final[dict[str, Any]] = {
    "channel_name": "other",
    "agent": "orders",
    **{name: value for name, value in OPTIONS.items() if name not in ("system_message", "uid")},
    "uid": 7,
    "thread_id": "t-1",
    "memory_key": "bea",
    "user_uid": 8,
    "instructions": "Be brief.",
    "memory": ["Likes tea."],
    "metadata": {"customer": "Ada"},
    "goodbye": "Bye.",
    "cascade": {"voice": {"name": "other"}},
    "turn_detection": {"type": "none"},
    "interrupt": {"min_words": 4},
    "sounds": {"normalise": True},
    "model_settings": {"speed": 1.1},
    "tools": [{"name": "open_door"}],
    "tool_results_from": "anyone",
    "tool_approvals_from": "http",
    "show_tools": "full",
    "agents": ["ada", "ben"],
    "moderator": "round_robin",
    "max_agent_turns": 9,
    "reads_chat": False,
    "posts_deltas": True,
    "shows_provider_events": True,
    "user_wait_s": 5,
    "rejoin_grace_s": 5,
    "max_duration_s": 60,
    "idle_timeout_s": 20,
    "max_tokens": 100,
    "max_cost": 2,
    "summarise": True,
    "extract": {"type": "object", "properties": {"name": {"type": "string"}}},
}


def test_every_start_field_reaches_the_agent() -> None:
    # `wait` is of the answer to the start.
    assert START_FIELDS.keys() | {"wait"} == set(StartAgentRequest.model_fields)
    # Tools of the caller and of the provider have one field in a start; skills to load in mid-call are
    # a definition's.
    others = {"hosted_tools", "loadable_skills"}
    assert len(START_FIELDS) == len(AgentRequest.__dataclass_fields__.keys() - others)
    plain = StartAgentRequest.model_validate({"channel_name": "demo"}).agent_request()
    for name, value in START_FIELDS.items():
        request = StartAgentRequest.model_validate({"channel_name": "demo", name: value})
        assert request.agent_request() != plain, name


def test_every_value_of_a_request_reaches_the_configuration(folder: Path) -> None:
    environ = PRICED | {"OPENAI_API_KEY": KEY, "RECORDINGS_DIR": str(folder)}
    plain = Settings.from_env(BASE | environ)
    # With a language model the price of the local model is another one.
    model = {"LLM_BASE_URL": "http://127.0.0.1:9/v1", "LLM_MODEL": "m"}
    with_model = Settings.from_env(BASE | environ | model)

    def built(settings: Settings = plain, **values: Any) -> AgentConfig:
        fields = {"channel_name": "demo"} | values
        return agent_config(
            settings,
            StartAgentRequest.model_validate(fields).agent_request(),
            agent_id="a",
            room_url=ROOM_URL,
            room_token=None,
            local_model=LocalModelAddress("ws://127.0.0.1:9", SecretStr("s" * 16)),
            skills={"polite": "Be polite."},
            definitions={name: Definition(name=name) for name in ("ada", "ben")},
        )

    for name, value in START_FIELDS.items():
        beside: dict[str, Any] = {"provider": "openai"} if name == "model" else {}
        if name in ("moderator", "max_agent_turns"):
            beside = {"agents": ["ada", "ben"]}
        settings = with_model if name in ("summarise", "extract") else plain
        assert built(settings, **beside, **{name: value}) != built(settings, **beside), name


def test_tool_servers_of_a_provider_need_the_owners_leave() -> None:
    allowed = Settings.from_env(BASE | {"HOSTED_MCP_URLS": "https://tools.example"})
    agent = by_api(allowed, tools=[HOSTED, {"name": "open_door"}])
    (tool,) = agent.hosted_tools
    assert tool.declaration() == HOSTED
    assert [each["name"] for each in agent.tools] == ["open_door"]
    assert "sk-secret" not in repr(agent)
    assert AgentConfig.model_validate(agent.to_json()) == agent
    with pytest.raises(ApiError) as caught:
        by_api(Settings.from_env(BASE), tools=[HOSTED])
    assert caught.value.code == "tool_server_not_allowed"
    assert "HOSTED_MCP_URLS" in str(caught.value)


def test_what_settings_do_not_allow_has_a_code() -> None:
    with pytest.raises(AgentConfigError, match="MCP_SERVERS") as caught:
        by_command_line(Settings.from_env(BASE), toolset="mcp:none")
    assert caught.value.code == "unknown_toolset"
    with pytest.raises(ApiError, match="MCP_SERVERS") as refused:
        by_api(Settings.from_env(BASE), toolset="mcp:none")
    assert (refused.value.status, refused.value.code) == (400, "unknown_toolset")


def test_what_is_made_after_a_call_needs_a_language_model() -> None:
    model = {"LLM_BASE_URL": "http://127.0.0.1:9/v1", "LLM_MODEL": "m"}
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    for wanted in ({"summarise": True}, {"extract": schema}):
        with pytest.raises(ApiError, match="LLM_BASE_URL") as caught:
            by_api(Settings.from_env(BASE), **wanted)
        assert (caught.value.status, caught.value.code) == (400, "no_language_model")
        made = by_api(Settings.from_env(BASE | model), **wanted)
        assert {name: getattr(made, name) for name in wanted} == wanted
    # The packaged model runs beside the local model alone.
    with pytest.raises(ApiError):
        by_api(Settings.from_env(BASE | OPENAI | {"LLM_MODEL": "embedded"}), summarise=True)
