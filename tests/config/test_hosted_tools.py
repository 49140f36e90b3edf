"""Tool servers of a provider: only addresses that the owner allows, and no secret shown."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from config.hosted_tools import HostedTool, is_allowed
from config.settings import ConfigError, Settings

URL = "https://tools.example/mcp"


@pytest.mark.parametrize(
    ("url", "allowed", "is_in"),
    [
        (URL, ["https://tools.example"], True),
        (URL, ["https://TOOLS.example:443/mcp/"], True),
        (f"{URL}/v1", [URL], True),
        (f"{URL}2", [URL], False),
        (URL, [f"{URL}/v1"], False),
        (URL, ["https://tools.example:8443"], False),
        ("https://evil-tools.example", ["https://tools.example"], False),
        ("https://tools.example.evil.example", ["https://tools.example"], False),
        (URL, [], False),
        (URL, ["https://other.example", "https://tools.example"], True),
    ],
)
def test_an_address_is_allowed_with_all_below_it(url: str, allowed: list[str], is_in: bool) -> None:
    assert is_allowed(url, allowed) is is_in


@pytest.mark.parametrize(
    "url",
    [
        "http://tools.example",
        "https://",
        "https://tools.example/../mcp",
        "https://tools.example/%2e%2e/mcp",
        "https://user:word@tools.example",
        "https://tools.example?x=1",
        "https://tools.example#x",
        "https://t\u00f6\u00f6ls.example",
        "https://tools.example:port",
        "https://" + "x" * 2_100,
    ],
)
def test_other_addresses_are_refused_in_a_start_and_in_the_setting(url: str) -> None:
    with pytest.raises(ValidationError):
        HostedTool(server_label="docs", server_url=url)
    with pytest.raises(ConfigError, match="HOSTED_MCP_URLS"):
        Settings.from_env({"HOSTED_MCP_URLS": url})


def test_the_declaration_has_the_secret_and_the_text_of_the_object_has_not() -> None:
    tool = HostedTool(
        server_label="docs",
        server_url=URL,
        authorization=SecretStr("sk-secret"),
        allowed_tools=("search",),
    )
    assert tool.declaration() == {
        "type": "mcp",
        "server_label": "docs",
        "server_url": URL,
        "authorization": "sk-secret",
        "allowed_tools": ["search"],
        "require_approval": "always",
    }
    assert "secret" not in repr(tool)
    plain = tool.with_secrets(tool.model_dump(mode="json"))
    assert HostedTool.model_validate(plain) == tool
