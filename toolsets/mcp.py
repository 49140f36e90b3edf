"""Tools of an MCP server: its session and its process end with the agent.

The `mcp` package is imported when a server is opened, off the loop: most agents need none of it.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tools import MAX_TOOLS, ToolContext, ToolDeclarationError, ToolError
from toolsets.mcp_process import McpProcess
from toolsets.mcp_server import McpServer
from untrusted.boundary import Caught
from utils import OwnedTasks

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult, Tool

CALL_TIMEOUT_S: Final = 30.0
OPEN_TIMEOUT_S: Final = 8.0
"""Deadline for starting the server and listing its tools; below that of the start's phase."""

_ALL_TIMEOUT_S: Final = 9.5
"""The same with the import of the library, slow on a busy machine; below the phase's, too."""

_CLOSE_TIMEOUT_S: Final = 2.5
_MAX_PAGES: Final = 16
_UNREACHABLE: Final = ("ConnectError", "ConnectTimeout", "ReadError", "RemoteProtocolError")
"""Names of errors of the HTTP library, which is imported only for a server with a URL."""

_log = logging.getLogger("tools.mcp")


class McpServerError(Exception):
    """The server cannot be used; `code` is `unreachable`, `timeout` or `protocol_error`."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class McpTools:
    """Registers the tools of one server in `tools`. Open once; `close` is idempotent.

    A tool whose name is taken is offered as `SERVER_NAME`, that of its server before its own.
    """

    def __init__(
        self,
        server: McpServer,
        tools: ToolContext,
        *,
        asks_for: Callable[[str], bool] = lambda _: False,
        offers: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """asks_for, offers: true for a tool whose calls need an approval, that is offered at all"""
        self._server = server
        self._tools = tools
        self._asks_for = asks_for
        self._offers = offers
        self._process = None if server.url is not None else McpProcess(server.command)
        self._listed: list[tuple[Client, Tool]] = []
        self._closing = asyncio.Event()
        self._tasks = OwnedTasks(_log)
        self._serving: asyncio.Task[None] | None = None
        self._is_open = False

    async def open(self) -> None:
        """Start the server or connect to it, and register its tools.

        Raises:
            McpServerError: See `connect`.
        """
        await self.connect()
        self.register()

    async def connect(self) -> None:
        """Start the server or connect to it, and list its tools.

        Raises:
            McpServerError: The server does not start, cannot be reached, or does not speak MCP in time.
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
            text += "; LOG_LEVEL=DEBUG logs its output"
            _log.warning("%s", text)
            raise McpServerError(text, code="timeout") from None
        self._is_open = True

    async def close(self) -> None:
        """End the session, and the server's process with all its children."""
        self._closing.set()
        if self._serving is not None and self._is_open:
            # Time for the process to end by itself, before its session is torn down.
            await asyncio.wait([self._serving], timeout=_CLOSE_TIMEOUT_S)
        if self._process is not None:
            await self._process.end(grace_s=0.0)
        await self._tasks.close()

    async def _serve(self, ready: asyncio.Future[None]) -> None:
        """Hold the session: the library's contexts must be closed by the task that opened them."""
        try:
            with Caught() as caught:  # failures of a foreign server and its library stay contained
                async with self._client() as client:
                    await self._list(client)
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

    def register(self) -> None:
        """Register the tools that were listed."""
        for client, tool in self._listed:
            self._register(client, tool)

    async def _list(self, client: Client) -> None:
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            self._listed += [(client, tool) for tool in page.tools[:MAX_TOOLS]]
            if (cursor := page.next_cursor) is None:
                return

    def _register(self, client: Client, tool: Tool) -> None:
        """Register one tool; one that cannot be declared is left out, with a warning."""
        if not self._offers(tool.name):
            return
        name = re.sub(r"[^A-Za-z0-9_-]", "_", tool.name)[:64]
        if self._tools.has(name):
            name = f"{self._server.name}_{name}"[:64]
        try:
            self._tools.register_function(
                name,
                tool.description or tool.title or "",
                _caller(client, tool.name),
                tool.input_schema,
                timeout_s=CALL_TIMEOUT_S,
                needs_approval=self._asks_for(tool.name),
            )
        except ToolDeclarationError as error:
            _log.warning("a tool of %s is left out: %s", self._server.name, error)


async def open_all(servers: Sequence[McpTools]) -> None:
    """Open servers side by side; their tools are registered in order, so that a name means the same
    tool in each call.

    Raises:
        McpServerError: one of them cannot be opened.
    """
    for failure in await asyncio.gather(
        *(server.connect() for server in servers), return_exceptions=True
    ):
        if isinstance(failure, BaseException):
            raise failure
    for server in servers:
        server.register()


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
    """Return the text parts of a result, and the types of the others in brackets."""
    parts = [part.text if part.type == "text" else f"[{part.type}]" for part in result.content]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)


def _reason(cause: BaseException) -> str:
    """Return cause and remedy; the error's own text may hold secrets and is left out."""
    from mcp import MCPError

    match cause:
        case FileNotFoundError() | PermissionError():
            return "its program is not found or may not be run; check MCP_SERVERS"
        case MCPError():
            return "it ended, or does not speak MCP; LOG_LEVEL=DEBUG logs its output"
        case _ if type(cause).__name__ in _UNREACHABLE:
            return f"{type(cause).__name__}: nothing answers there; check its address"
        case _:
            return type(cause).__name__


def _first_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
