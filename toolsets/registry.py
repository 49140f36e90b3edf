"""Registered tool sets; a request can only name one of them."""

from __future__ import annotations

from collections.abc import Callable

from tools import ToolContext
from toolsets.everyday import create_everyday
from toolsets.mcp_server import is_mcp_toolset
from toolsets.services import ToolServices

_TOOLSETS: dict[str, Callable[[ToolServices], ToolContext]] = {"everyday": create_everyday}


class UnknownToolsetError(ValueError):
    """No tool set has this name; the text lists the known ones."""


def toolset_names() -> list[str]:
    """Return the names that `build_toolset` knows."""
    return sorted(_TOOLSETS)


def build_toolset(name: str, services: ToolServices) -> ToolContext:
    """Create the tool set for one agent.

    Raises:
        UnknownToolsetError: No tool set is registered under this name.
    """
    if is_mcp_toolset(name):
        return ToolContext()  # filled when the server is opened (`toolsets.mcp`)
    if name not in _TOOLSETS:
        raise UnknownToolsetError(f"unknown toolset, known are: {', '.join(toolset_names())}")
    return _TOOLSETS[name](services)
