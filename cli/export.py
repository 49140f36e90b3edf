"""Command `export`: stored calls of a running server as a CSV or JSON Lines file."""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from cli.export_filters import EXPORT_FILTERS
from cli.running import CommandError
from cli.server_client import RefusedError, ask_server, server_url
from config.settings import Settings
from logs import say
from untrusted.validation import first_fault

_PAGE: Final = 200
_MOST_WAITS: Final = 30
_PLAIN: Final = (
    *("call_id", "team", "key", "channel_name", "thread_id", "person_id", "agent"),
    *("provider", "model", "language", "state", "exit_reason", "error", "restarts"),
    "has_recording",
)
_USAGE: Final = ("replies", "input_tokens", "output_tokens", "cost")
COLUMNS: Final = ("call_id", "started_at", "ended_at", "duration_s", *_PLAIN[1:], *_USAGE)
"""Of a CSV file; `transcript` follows if it is asked for."""

# A spreadsheet takes a text that begins so for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def run_export_command(options: argparse.Namespace, settings: Settings) -> int:
    """Write all calls that the options want, the latest first."""
    path: Path = options.file
    if path.suffix not in (".csv", ".jsonl"):
        raise CommandError(f"{path}: name a file that ends with .csv or .jsonl")
    query = _query(options)
    url = server_url(options, settings)
    base = url.replace("ws", "http", 1) if url.startswith("ws") else url
    count = 0
    with _replaced(path) as file:
        write = _Csv(file, options.transcripts) if path.suffix == ".csv" else _Lines(file)
        for call in _calls(base, settings, query):
            if options.transcripts:
                call["transcript"] = _transcript(base, settings, call["call_id"])
            write(call)
            count += 1
    say(f"{count} calls written to {path}")
    return 0


def _query(options: argparse.Namespace) -> dict[str, str]:
    """Return the filters, checked by the rules of the API.

    Raises:
        CommandError: one is invalid.
    """
    from control.api.calls_query import CallsFilter

    given = {name: getattr(options, name) for name in EXPORT_FILTERS}
    query = {name: value for name, value in given.items() if value is not None}
    try:
        CallsFilter.model_validate(query)
    except ValidationError as error:
        fault = first_fault(error)
        text = fault.text.removeprefix("Value error, ")
        raise CommandError(f"--{fault.place[0]}: {text}") from error
    return query


def _calls(base: str, settings: Settings, query: dict[str, str]) -> Iterator[dict[str, Any]]:
    after: str | None = None
    while True:
        more = {"limit": str(_PAGE)} | ({} if after is None else {"after": after})
        page = _ask(f"{base}/calls?{urlencode(query | more)}", settings)
        yield from page["calls"]
        if (after := page["next"]) is None:
            return


def _transcript(base: str, settings: Settings, call_id: str) -> list[dict[str, Any]]:
    """Return the entries of a call; none if it was deleted meanwhile."""
    try:
        return list(_ask(f"{base}/calls/{quote(call_id)}/transcript", settings)["entries"])
    except RefusedError as error:
        if error.status != 404:
            raise
        return []


def _ask(url: str, settings: Settings) -> dict[str, Any]:
    """Ask the server, no faster than it allows."""
    for _ in range(_MOST_WAITS):
        try:
            return ask_server(url, settings)
        except RefusedError as error:
            if error.status != 429:
                raise
            time.sleep(error.retry_after_s or 1)
    raise CommandError(f"{url}: the server still has no time for more requests")


class _Lines:
    """Writes each call as a line of JSON."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __call__(self, call: dict[str, Any]) -> None:
        self._file.write(json.dumps(call, ensure_ascii=False) + "\n")


class _Csv:
    """Writes each call as a row."""

    def __init__(self, file: IO[str], has_transcripts: bool) -> None:
        columns = [*COLUMNS, "transcript"] if has_transcripts else COLUMNS
        self._writer = csv.DictWriter(file, columns)
        self._writer.writeheader()

    def __call__(self, call: dict[str, Any]) -> None:
        self._writer.writerow({name: _cell(value) for name, value in row_of(call).items()})


def row_of(call: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a call as `GET /calls` answers it, with `transcript` if it has one."""
    began_ms, ended_ms = call["started_at_ms"], call["ended_at_ms"]
    row = {name: call.get(name) for name in _PLAIN}
    row |= {
        "started_at": _time(began_ms),
        "ended_at": None if ended_ms is None else _time(ended_ms),
        "duration_s": None if ended_ms is None else (ended_ms - began_ms) / 1000,
    }
    row |= {name: call["usage"].get(name) for name in _USAGE}
    if "transcript" in call:
        row["transcript"] = "\n".join(map(_told, call["transcript"]))
    return row


def _told(entry: dict[str, Any]) -> str:
    if entry["type"] == "call":
        return f"tool: {entry['name']}({entry['arguments']}) = {entry['output']}"
    cut = " [cut]" if entry["is_cut"] else ""
    return f"{entry['role']}: {entry['text']}{cut}"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


@contextmanager
def _replaced(path: Path) -> Iterator[IO[str]]:
    """Yield a file, for this user alone, that takes the place of `path` once it is complete.

    Raises:
        CommandError: it cannot be written.
    """
    new: str | None = None
    try:
        descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(new, path)
        new = None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if new is not None:
            Path(new).unlink(missing_ok=True)
