"""Command `keys`: named API keys of a running server."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from cli.running import CommandError
from cli.server_client import ask_server, server_url
from config.settings import Settings
from control.keys.access import KeyLimits
from logs import say

_COLUMNS = ("name", "team", "scopes", "limits", "created", "last used", "state")


def run_keys_command(options: argparse.Namespace, settings: Settings) -> int:
    """Add, change, list, rotate or revoke keys."""
    url = server_url(options, settings)
    base = url.replace("ws", "http", 1) if url.startswith("ws") else url
    match options.what:
        case "list":
            _list(ask_server(f"{base}/keys", settings)["keys"])
        case "add":
            wanted = {"name": options.name, "team": options.team, "scopes": options.scope}
            wanted["limits"] = _limits(options)
            _show_secret(ask_server(f"{base}/keys", settings, wanted))
        case "change":
            limits = _limits(options) | dict.fromkeys(options.no_limit)
            wanted = {"scopes": options.scope, "limits": limits}
            path = f"{base}/keys/{options.name}"
            _list([ask_server(path, settings, wanted, method="PATCH")["key"]])
        case "rotate":
            wanted = {"overlap_s": options.overlap_s}
            _show_secret(ask_server(f"{base}/keys/{options.name}/rotate", settings, wanted))
        case "revoke":
            ask_server(f"{base}/keys/{options.name}", settings, method="DELETE")
            say(f"{options.name} is revoked; calls that it started go on")
        case other:
            raise CommandError(f"keys: there is no {other}")
    return 0


def _limits(options: argparse.Namespace) -> dict[str, float | None]:
    return {
        name: value
        for name in KeyLimits.model_fields
        if (value := getattr(options, name)) is not None
    }


def _show_secret(answer: dict[str, Any]) -> None:
    until_ms = answer["key"].get("old_works_until_ms")
    # The secret alone on the last line, for scripts; it is shown nowhere else.
    if until_ms is not None:
        say(f"the secret before works until {_time(until_ms)}")
    say(answer["secret"])


def _list(keys: list[dict[str, Any]]) -> None:
    rows = [_COLUMNS, *map(_row, keys)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    for row in rows:
        say("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    limits = [f"{name}={value:g}" for name, value in key["limits"].items() if value is not None]
    return (
        key["name"],
        key["team"] or "-",
        ",".join(key["scopes"]),
        ",".join(limits) or "-",
        _time(key["created_at_ms"]),
        _time(key["last_used_at_ms"]),
        "revoked" if key["revoked_at_ms"] else "active",
    )


def _time(at_ms: int | None) -> str:
    if at_ms is None:
        return "never"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
