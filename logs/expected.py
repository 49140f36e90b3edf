"""Separates expected errors (network, disk, peers) from bugs: only bugs are logged with a traceback."""

from __future__ import annotations

from typing import Final

# Packages whose own errors have a readable text; their `RuntimeError`s are bugs.
_OWN: Final = frozenset(
    {
        *(
            "agent",
            "bridge",
            "audio",
            "cli",
            "config",
            "control",
            "conversation",
            "http_server",
            "line",
            "load",
            "logs",
        ),
        *(
            "inline_steps",
            "parley",
            "proxies",
            "realtime",
            "realtime_calls",
            "rtc",
            "scenarios",
            "session",
            "shared_ticks",
            "speech",
        ),
        *(
            "telemetry_opt_out",
            "tool_client_calls",
            "tool_docstring",
            "tool_functions",
            "tool_generators",
            "tool_results",
            "tool_schema",
            "tool_stalls",
            "tool_threads",
            "tools",
            "toolsets",
        ),
        *("untrusted", "utils", "version"),
    }
)
# Library errors, by name: importing the libraries here would load them in every process.
_OF_LIBRARIES: Final = frozenset(
    {
        ("aiohttp", "ClientError"),
        ("aiohttp", "HttpProcessingError"),
        ("aiohttp", "WebSocketError"),
        ("anyio", "BrokenResourceError"),
        ("anyio", "ClosedResourceError"),
        ("asyncpg", "PostgresConnectionError"),
        ("asyncpg", "InterfaceError"),
        ("httpcore", "NetworkError"),
        ("httpcore", "ProtocolError"),
        ("httpcore", "TimeoutException"),
        ("httpx", "HTTPError"),
        ("mcp", "McpError"),
        ("mcp", "MCPError"),
        ("requests", "RequestException"),
        ("sqlalchemy", "InterfaceError"),
        ("sqlalchemy", "OperationalError"),
        ("sqlalchemy", "TimeoutError"),
    }
)
# Their text quotes input.
_QUOTING: Final = frozenset({("aiohttp", "HttpProcessingError")})


def is_expected(error: BaseException) -> bool:
    """Return true for an error of the environment; for a group, if all members are."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_expected(one) for one in error.exceptions)
    if isinstance(error, OSError):
        return True
    if isinstance(error, RuntimeError) or not isinstance(error, Exception):
        return False
    return is_own(error) or _is_one_of(error, _OF_LIBRARIES)


def is_own(error: BaseException) -> bool:
    """Return true if the error's class is defined in this project."""
    return _root(type(error)) in _OWN


def describe(error: BaseException) -> str:
    """Return class, phase and text of an error in one line; of a group, those of its members."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(describe(one) for one in error.exceptions))
    name = type(error).__name__
    if _is_one_of(error, _QUOTING):
        return name
    phase, code = getattr(error, "phase", None), getattr(error, "code", None)
    if isinstance(phase, str):
        name += f" in phase {phase}" + (f" ({code})" if isinstance(code, str) else "")
    text = str(error)
    return f"{name}: {text}" if text else name


def _is_one_of(error: BaseException, kinds: frozenset[tuple[str, str]]) -> bool:
    return any((_root(kind), kind.__name__) in kinds for kind in type(error).__mro__)


def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]
