"""Tells what the world did to us from what we did wrong: only the latter is worth a traceback."""

from __future__ import annotations

from typing import Final

# Errors of ours are raised for people to read; those that are `RuntimeError` say that we erred.
_OWN: Final = frozenset(
    {
        *("agent", "commands", "config", "control", "conversation", "json_reader", "proxies"),
        *("provider_config", "realtime", "rtc", "session", "speech", "tool_schema", "tools"),
        *("toolsets",),
    }
)
# Of libraries that are known by name here, lest everybody who logs has to import them.
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
# Their text quotes what was sent.
_QUOTING: Final = frozenset({("aiohttp", "HttpProcessingError")})


def is_expected(error: BaseException) -> bool:
    """Whether it says what others did, or could not do; a group: whether all its members do."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_expected(one) for one in error.exceptions)
    if isinstance(error, OSError):
        return True
    if isinstance(error, RuntimeError) or not isinstance(error, Exception):
        return False
    return is_own(error) or _is_one_of(error, _OF_LIBRARIES)


def is_own(error: BaseException) -> bool:
    """Whether its class is one of this project."""
    return _root(type(error)) in _OWN


def describe(error: BaseException) -> str:
    """Kind, phase and text of an error, for one line; of a group, those of its members."""
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
