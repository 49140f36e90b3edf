"""Tools of MCP servers: real servers, over standard streams and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from pydantic import SecretStr

import parley
from config.agent import AgentConfig
from config.settings import ConfigError, Settings
from control.api.schemas import StartAgentRequest
from control.api.starts import AgentConfigurator
from control.http.errors import ApiError
from conversation.lifecycle import AgentStartError
from parley import Agent
from tests.fakes.mcp_server import create_server
from tests.loopback.stage import Stage, soon
from tools import ToolContext
from toolsets import mcp
from toolsets.mcp import McpServerError, McpTools
from toolsets.mcp_server import McpServer, parse_mcp_servers

SCRIPT = Path(__file__).parents[1] / "fakes" / "mcp_server.py"
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
    ("address", "code", "words"),
    [
        ("/no/such/program --key=sk-secret", "unreachable", "check MCP_SERVERS"),
        ("/dev/null --key=sk-secret", "unreachable", "check MCP_SERVERS"),
        ("true --key=sk-secret", "protocol_error", "it ended, or does not speak MCP"),
        ("http://127.0.0.1:9/mcp?key=sk-secret", "unreachable", "nothing answers there"),
        ("http://no-such.invalid/mcp?key=sk-secret", "unreachable", "nothing answers there"),
    ],
)
async def test_what_is_no_server_says_so(
    address: str, code: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), pytest.raises(McpServerError, match="words") as caught:
        async with opened(server_of(address)):
            pass
    assert caught.value.code == code
    assert words in str(caught.value)
    assert "sk-secret" not in f"{caught.value}{caplog.text}"


LOUD = """
import sys
sys.stderr.write("\\x1b[31m12:00:00 ERROR forged\\n" * 20_000 + "x" * 300_000)
sys.stderr.flush()
from tests.fakes.mcp_server import create_server
create_server().run()
"""


@pytest.mark.asyncio
@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
async def test_what_a_command_says_is_told_at_debug_only_and_never_waits_for_a_reader(
    level: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).parents[2]
    program = f"import sys; sys.path.insert(0, {str(root)!r}){LOUD}"
    caplog.set_level(level, "tools.mcp")
    async with opened(server_of(shlex.join([sys.executable, "-c", program]))) as tools:
        await use_tools(tools)
    told = [record for record in caplog.records if "forged" in record.getMessage()]
    assert len(told) == (20_000 if level == "DEBUG" else 0)
    assert all(record.levelname == "DEBUG" for record in told)
    assert "forged" not in capfd.readouterr().err, "nobody but we writes our log"


BROOD = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder, end = sys.argv[1:]
def note(name):
    with open(f"{folder}/{name}.part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(f"{folder}/{name}.part", f"{folder}/{name}")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note("orphan")
        time.sleep(1000)
    os._exit(0)
note("program")
while not os.path.exists(f"{folder}/orphan"):
    time.sleep(0.01)
if end == "talk":
    from tests.fakes.mcp_server import create_server
    create_server().run()
elif end == "wait":
    time.sleep(1000)
"""
"""A program that ignores SIGTERM and starts another one in a session of its own."""


def brood(folder: Path, end: str) -> McpServer:
    return server_of(shlex.join([sys.executable, "-c", BROOD, str(folder), end]))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other processes bring about."""

    def look() -> None:
        deadline_s = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    await asyncio.to_thread(look)


async def noted(folder: Path) -> list[int]:
    """The program and its orphan, once both are there."""
    files = [folder / "program", folder / "orphan"]
    await until(lambda: all(file.exists() for file in files))
    return [int(file.read_text()) for file in files]


async def until_ended(pids: list[int]) -> None:
    await until(lambda: all(has_ended(pid) for pid in pids))


@pytest.mark.asyncio
async def test_nothing_is_left_of_a_command(tmp_path: Path) -> None:
    async with opened(brood(tmp_path, "talk")) as tools:
        assert names_of(tools) == NAMES
        pids = await noted(tmp_path)
        assert not any(has_ended(pid) for pid in pids)
    assert all(has_ended(pid) for pid in pids)


@pytest.mark.asyncio
async def test_a_silent_command_fails_in_time_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "OPEN_TIMEOUT_S", 1.0)
    source = McpTools(brood(tmp_path, "wait"), ToolContext())
    with pytest.raises(McpServerError, match="did not answer within 1 s") as caught:
        await soon(source.open())
    assert caught.value.code == "timeout"
    pids = await noted(tmp_path)
    await soon(source.close())
    assert all(has_ended(pid) for pid in pids)


@pytest.mark.asyncio
async def test_nothing_is_left_of_a_start_that_is_given_up(tmp_path: Path) -> None:
    source = McpTools(brood(tmp_path, "wait"), ToolContext())
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(source.open())
        pids = await noted(tmp_path)
        opening.cancel()
    await soon(source.close())
    assert all(has_ended(pid) for pid in pids)


@pytest.mark.asyncio
async def test_a_command_that_ends_takes_with_it_what_it_started(tmp_path: Path) -> None:
    source = McpTools(brood(tmp_path, "leave"), ToolContext())
    with pytest.raises(McpServerError) as caught:
        await soon(source.open())
    assert caught.value.code == "protocol_error"
    await until_ended(await noted(tmp_path))
    await soon(source.close())


@pytest.mark.asyncio
async def test_nothing_is_left_when_the_agents_process_is_killed(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from pydantic import SecretStr
from tools import ToolContext
from toolsets.mcp import McpTools
from toolsets.mcp_server import McpServer
server = McpServer(name="words", address=SecretStr(sys.argv[1]))
asyncio.run(McpTools(server, ToolContext()).open())
"""
    address = brood(tmp_path, "wait").address.get_secret_value()
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, address)
    pids = await noted(tmp_path)
    agent.kill()
    await agent.wait()
    await until_ended(pids)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "noise",
    ["not JSON", '"\\ud83d"', "[" * 5_000, '{"jsonrpc": "2.0"}', "\xff\xfe", "", "x" * 50_000],
)
async def test_noise_among_the_messages_ends_nothing(noise: str, tmp_path: Path) -> None:
    code = f"""
import sys
from tests.fakes.mcp_server import create_server
sys.stdout.buffer.write({noise!r}.encode("latin-1") + b"\\n")
sys.stdout.flush()
create_server().run()
"""
    async with opened(server_of(shlex.join([sys.executable, "-c", code]))) as tools:
        assert (await tools.execute_tool("1", "count_words", '{"text": "a b"}')).output == "2"


@pytest.mark.asyncio
async def test_an_agent_offers_and_calls_them(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    async with Stage() as stage:
        session = await stage.start(toolset="mcp:words", mcp_servers=[server_of(command(pid_file))])
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
async def test_several_servers_stand_beside_own_tools_and_may_need_approvals() -> None:
    def count_words(text: str) -> str:
        return f"own {text}"

    definition = Agent(
        "counter",
        tools=[count_words],
        toolsets=["everyday"],
        mcp_servers=["words", parley.McpServer("more", ["count_words"], ["count_words"])],
    )
    async with http_server() as url, Stage() as stage:
        servers = [McpServer(name=name, address=SecretStr(url)) for name in ("words", "more")]
        session = await stage.start(definition=definition, mcp_servers=servers)
        offered = [tool["name"] for tool in session.settings["tools"]]
        own = ["get_current_time", "set_timer", "count_words"]
        first = [f"words_{name}" if name == "count_words" else name for name in NAMES]
        assert offered == [*own, *first, "more_count_words"]
        person = await stage.join()
        await session.call_tool("count_words", {"text": "a b"})
        await session.call_tool("words_count_words", {"text": "a b"})
        await session.wait_for("conversation.item.create", 2)
        outputs = [each["item"]["output"] for each in session.all_of("conversation.item.create")]
        assert sorted(outputs) == ["2", "own a b"]
        await session.call_tool("more_count_words", {"text": "a b c"})
        asked = await person.wait_event("agent_tool_approval_required")
        person.send(type="client_tool_approval", id=asked["tool_use"]["id"], approve=True)
        item = (await session.wait_for("conversation.item.create", 3))["item"]
        assert item["output"] == "3"


@pytest.mark.asyncio
async def test_an_agent_without_its_tools_does_not_start() -> None:
    async with Stage() as stage:
        with pytest.raises(AgentStartError) as caught:
            await soon(stage.run(toolset="mcp:words", mcp_servers=[server_of("/no/such/program")]))
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
    assert len(config.mcp_servers) == 1
    assert "sk-secret" not in repr(config)
    crossed = AgentConfig.model_validate(json.loads(json.dumps(config.to_json())))
    assert crossed.mcp_servers[0].command == ["count", "--key=sk-secret"]
    with pytest.raises(ApiError, match="MCP_SERVERS"):
        configured("mcp:others")
    for name in ("mcp:", "mcp:rm -rf", "mcp:https://host/mcp"):
        with pytest.raises(ValueError, match="unknown"):
            StartAgentRequest(channel_name="demo", uid=7, toolset=name)
