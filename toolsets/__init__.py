"""Tool sets of the server's owner: their registry, the ready-made ones, and MCP servers."""
