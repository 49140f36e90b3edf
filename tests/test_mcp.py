"""Tools of MCP servers: real servers, over standard streams and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from pydantic import SecretStr

from agent import StartFailedError
from config import AgentConfig, ConfigError, Settings
from control.api.errors import ApiError
from control.api.schemas import StartAgentRequest
from control.api.starts import AgentConfigurator
from tests.fakes.mcp_server import create_server
from tests.loopback.stage import Stage, soon
from tools import ToolContext
from toolsets.mcp import McpServerError, McpTools
from toolsets.mcp_server import McpServer, parse_mcp_servers

SCRIPT = Path(__file__).parent / "fakes" / "mcp_server.py"
NAMES = ["count_words", "text_reverse", "fail", "vanish", "environment"]


def server_of(address: str) -> McpServer:
    return McpServer(name="words", address=SecretStr(address))


def command(pid_file: Path) -> str:
    return shlex.join([sys.executable, str(SCRIPT), str(pid_file)])


@asynccontextmanager
async def opened(server: McpServer) -> AsyncIterator[ToolContext]:
    tools = ToolContext()
    source = McpTools(server, tools)
    try:
        await soon(source.open())
        yield tools
    finally:
        await soon(source.close())
        await source.close()


@asynccontextmanager
async def http_server() -> AsyncIterator[str]:
    """The same server over streamable HTTP; yields its URL."""
    config = uvicorn.Config(create_server().streamable_http_app(), log_level="critical")
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        async with asyncio.TaskGroup() as group:
            group.create_task(server._serve([listening]))
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
            server.should_exit = True


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def names_of(tools: ToolContext) -> list[str]:
    return [tool["name"] for tool in tools.model_description()]


async def use_tools(tools: ToolContext) -> None:
    assert names_of(tools) == NAMES
    schema = tools.model_description()[0]["parameters"]
    assert (schema["type"], schema["required"]) == ("object", ["text"])
    counted, turned = await asyncio.gather(
        tools.execute_tool("1", "count_words", '{"text": "one two three"}'),
        tools.execute_tool("2", "text_reverse", '{"text": "abc"}'),
    )
    assert (counted.output, turned.output) == ("3", "cba")
    failed = await tools.execute_tool("3", "fail", "{}")
    assert failed.is_error
    wrong = await tools.execute_tool("4", "count_words", "{}")
    assert "argument text" in json.loads(wrong.output)["error"]


@pytest.mark.asyncio
async def test_a_command_serves_tools_and_ends_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    pid_file = tmp_path / "pid"
    async with opened(server_of(command(pid_file))) as tools:
        await use_tools(tools)
        told = await tools.execute_tool("5", "environment", "{}")
        assert "PATH" in told.output
        assert "OPENAI_API_KEY" not in told.output
        pid = int(pid_file.read_text())
        assert not has_ended(pid)
    assert has_ended(pid)


@pytest.mark.asyncio
async def test_a_server_at_a_url_serves_tools() -> None:
    async with http_server() as url, opened(server_of(url)) as tools:
        await use_tools(tools)


@pytest.mark.asyncio
async def test_a_server_that_dies_is_an_answer(tmp_path: Path) -> None:
    async with opened(server_of(command(tmp_path / "pid"))) as tools:
        outcome = await soon(tools.execute_tool("1", "vanish", "{}"))
        assert outcome.is_error
        outcome = await soon(tools.execute_tool("2", "count_words", '{"text": "a"}'))
        assert outcome.is_error


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("/no/such/program --key=sk-secret", "unreachable"),
        ("true --key=sk-secret", "protocol_error"),
        ("http://127.0.0.1:9/mcp?key=sk-secret", "unreachable"),
    ],
)
async def test_what_is_no_server_says_so(
    address: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), pytest.raises(McpServerError, match="words") as caught:
        async with opened(server_of(address)):
            pass
    assert caught.value.code == code
    assert "sk-secret" not in f"{caught.value}{caplog.text}"


@pytest.mark.asyncio
async def test_an_agent_offers_and_calls_them(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    async with Stage() as stage:
        session = await stage.start(toolset="mcp:words", mcp_server=server_of(command(pid_file)))
        assert [tool["name"] for tool in session.settings["tools"]] == NAMES
        await stage.join()
        await session.call_tool("count_words", {"text": "one two"})
        item = (await session.wait_for("conversation.item.create"))["item"]
        assert item["output"] == "2"
        assert stage.agent is not None
        stage.agent.stop()
        await stage.ended()
        assert has_ended(int(pid_file.read_text()))


@pytest.mark.asyncio
async def test_an_agent_without_its_tools_does_not_start() -> None:
    async with Stage() as stage:
        with pytest.raises(StartFailedError) as caught:
            await soon(stage.run(toolset="mcp:words", mcp_server=server_of("/no/such/program")))
        assert (caught.value.phase, caught.value.code) == ("tools", "unreachable")


# -- configuring -------------------------------------------------------------------------------


def test_entries_are_commands_or_urls() -> None:
    files, web = parse_mcp_servers("files = npx server '/a b'; \n web=https://host/mcp?a=b\n")
    assert (files.name, files.command, files.url) == ("files", ["npx", "server", "/a b"], None)
    assert (web.name, web.url) == ("web", "https://host/mcp?a=b")
    assert "host" not in repr(web)


@pytest.mark.parametrize("text", ["files", "=x", "A=x", "a=", "a=x;a=y", "a='x"])
def test_entries_that_are_wrong_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="MCP_SERVERS"):
        Settings.from_env({"MCP_SERVERS": text})


def configured(toolset: str) -> AgentConfig:
    settings = Settings.from_env(
        {"MCP_SERVERS": "words=count --key=sk-secret", "LOCAL_MODEL_URI": "ws://127.0.0.1:9"}
    )
    wanted = StartAgentRequest(channel_name="demo", uid=7, toolset=toolset)
    return AgentConfigurator(settings, "http://127.0.0.1:1", None).configure(wanted)[0]


def test_a_request_names_a_server_and_nothing_more() -> None:
    config = configured("mcp:words")
    assert config.mcp_server is not None
    assert "sk-secret" not in repr(config)
    crossed = AgentConfig.model_validate(json.loads(json.dumps(config.to_json())))
    assert crossed.mcp_server is not None
    assert crossed.mcp_server.command == ["count", "--key=sk-secret"]
    with pytest.raises(ApiError, match="MCP_SERVERS"):
        configured("mcp:others")
    for name in ("mcp:", "mcp:rm -rf", "mcp:https://host/mcp"):
        with pytest.raises(ValueError, match="unknown"):
            StartAgentRequest(channel_name="demo", uid=7, toolset=name)
