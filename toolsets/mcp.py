"""Tools of an MCP server: its session lives as long as the agent, its process no longer.

Everything of the `mcp` package is imported when a server is opened, off the loop: most agents
have none.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from boundary import Caught
from tools import MAX_TOOLS, ToolContext, ToolDeclarationError, ToolError
from toolsets.mcp_process import McpProcess
from toolsets.mcp_server import McpServer
from utils import OwnedTasks

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult, Tool

CALL_TIMEOUT_S: Final = 30.0
OPEN_TIMEOUT_S: Final = 8.0
"""For starting the server and hearing of its tools; less than the start's phase has."""

_ALL_TIMEOUT_S: Final = 9.5
"""With the import of the library, on a busy machine; less than the start's phase has, too."""

_CLOSE_TIMEOUT_S: Final = 2.5
_MAX_PAGES: Final = 16
_UNREACHABLE: Final = ("ConnectError", "ConnectTimeout", "ReadError", "RemoteProtocolError")
"""Names of errors of the HTTP library, which is imported only when a server has a URL."""

_log = logging.getLogger("tools.mcp")


class McpServerError(Exception):
    """The server cannot be used; `code` is `unreachable`, `timeout` or `protocol_error`."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class McpTools:
    """Offers the tools of one server in `tools`. Open once, close once (close is idempotent)."""

    def __init__(self, server: McpServer, tools: ToolContext) -> None:
        self._server = server
        self._tools = tools
        self._process = None if server.url is not None else McpProcess(server.command)
        self._closing = asyncio.Event()
        self._tasks = OwnedTasks(_log)
        self._serving: asyncio.Task[None] | None = None
        self._is_open = False

    async def open(self) -> None:
        """Start the server or connect to it, and register its tools.

        Raises:
            McpServerError: it does not start, is not there, or does not speak MCP in time.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_ALL_TIMEOUT_S):
                await asyncio.to_thread(importlib.import_module, "mcp")
                self._serving = self._tasks.start(
                    self._serve(ready), name=f"mcp {self._server.name}"
                )
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    await ready
        except TimeoutError:
            text = f"tool server {self._server.name} did not answer within {OPEN_TIMEOUT_S:g} s"
            text += "; LOG_LEVEL=DEBUG tells what it writes"
            _log.warning("%s", text)
            raise McpServerError(text, code="timeout") from None
        self._is_open = True

    async def close(self) -> None:
        """End the session, and the server's process with all it started."""
        self._closing.set()
        if self._serving is not None and self._is_open:
            # The process gets the time to end by itself; after that its session is torn down.
            await asyncio.wait([self._serving], timeout=_CLOSE_TIMEOUT_S)
        if self._process is not None:
            await self._process.end(grace_s=0.0)
        await self._tasks.close()

    async def _serve(self, ready: asyncio.Future[None]) -> None:
        """Hold the session: what MCP's library opens must be closed by the task that opened it."""
        try:
            with Caught() as caught:  # whatever a foreign server and its library do stays their own
                async with self._client() as client:
                    await self._register_all(client)
                    if not ready.done():
                        ready.set_result(None)
                    await self._closing.wait()
            if caught.error is not None:
                self._handle_failure(caught.error, ready)
        finally:
            ready.cancel()

    def _client(self) -> Client:
        from mcp import Client

        if self._process is None:
            assert self._server.url is not None
            return Client(self._server.url, read_timeout_seconds=CALL_TIMEOUT_S)
        return Client(self._process, read_timeout_seconds=CALL_TIMEOUT_S)

    def _handle_failure(self, error: BaseException, ready: asyncio.Future[None]) -> None:
        cause = _first_cause(error)
        text = f"tool server {self._server.name} cannot be used ({_reason(cause)})"
        _log.warning("%s", text)
        _log.debug("%s", text, exc_info=error)
        if not ready.done():
            from mcp import MCPError

            code = "protocol_error" if isinstance(cause, MCPError) else "unreachable"
            failure = McpServerError(text, code=code)
            failure.__cause__ = cause
            ready.set_exception(failure)

    # -- tools ---------------------------------------------------------------------------------

    async def _register_all(self, client: Client) -> None:
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools[:MAX_TOOLS]:
                self._register(client, tool)
            if (cursor := page.next_cursor) is None:
                return

    def _register(self, client: Client, tool: Tool) -> None:
        """One tool that cannot be offered does not take the others away."""
        try:
            self._tools.register_function(
                re.sub(r"[^A-Za-z0-9_-]", "_", tool.name)[:64],
                tool.description or tool.title or "",
                _caller(client, tool.name),
                tool.input_schema,
                timeout_s=CALL_TIMEOUT_S,
            )
        except ToolDeclarationError as error:
            _log.warning("a tool of %s is left out: %s", self._server.name, error)


def _caller(client: Client, name: str) -> Callable[..., Awaitable[str]]:
    async def call(**arguments: Any) -> str:
        from mcp import MCPError

        try:
            result = await client.call_tool(name, arguments)
        except MCPError as error:
            raise ToolError(f"the tool server did not answer ({error})") from error
        text = _text_of(result)
        if result.is_error:
            raise ToolError(text or "the tool failed and did not say why")
        return text

    return call


def _text_of(result: CallToolResult) -> str:
    """What the model is told: texts as they are, and that there was something else."""
    parts = [part.text if part.type == "text" else f"[{part.type}]" for part in result.content]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)


def _reason(cause: BaseException) -> str:
    """Why it cannot be used, and what to do; its own words may be secrets."""
    from mcp import MCPError

    match cause:
        case FileNotFoundError() | PermissionError():
            return "its program is not found or may not be run; check MCP_SERVERS"
        case MCPError():
            return "it ended, or does not speak MCP; LOG_LEVEL=DEBUG tells what it writes"
        case _ if type(cause).__name__ in _UNREACHABLE:
            return f"{type(cause).__name__}: nothing answers there; check its address"
        case _:
            return type(cause).__name__


def _first_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
