"""Tool sets that the server's owner registered; a request can only name one of them."""

from __future__ import annotations

from collections.abc import Callable

from tools import ToolContext
from toolsets.everyday import create_everyday
from toolsets.mcp_server import is_mcp_toolset
from toolsets.services import NoServices, ToolServices

__all__ = ["NoServices", "ToolServices", "UnknownToolsetError", "build_toolset", "toolset_names"]

_TOOLSETS: dict[str, Callable[[ToolServices], ToolContext]] = {"everyday": create_everyday}


class UnknownToolsetError(ValueError):
    """No tool set has this name; the text lists those there are."""


def toolset_names() -> list[str]:
    """The names that `build_toolset` knows."""
    return sorted(_TOOLSETS)


def build_toolset(name: str, services: ToolServices) -> ToolContext:
    """A fresh copy of the tool set for one agent.

    Raises:
        UnknownToolsetError: no tool set is registered under this name.
    """
    if is_mcp_toolset(name):
        return ToolContext()  # filled once its server was asked (`toolsets.mcp`)
    if name not in _TOOLSETS:
        raise UnknownToolsetError(f"unknown toolset, known are: {', '.join(toolset_names())}")
    return _TOOLSETS[name](services)
