"""A small real MCP server: `python mcp_server.py PIDFILE` serves on the standard streams."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mcp.server import MCPServer


def create_server() -> MCPServer:
    """A server with tools that work, fail, and cannot be offered."""
    server = MCPServer("words")

    @server.tool()
    def count_words(text: str) -> str:
        """Count the words of a text."""
        return str(len(text.split()))

    @server.tool(name="text.reverse")
    def reverse(text: str) -> str:
        """Say a text backwards."""
        return text[::-1]

    @server.tool()
    def fail() -> str:
        """Fail."""
        raise RuntimeError("out of paper")

    @server.tool()
    def vanish() -> str:
        """End the server."""
        os.abort()

    @server.tool()
    def environment() -> str:
        """Tell the names of the variables."""
        return ",".join(sorted(os.environ))

    return server


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(str(os.getpid()))
    create_server().run()
