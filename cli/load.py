"""Command `load`: many simulated callers against a running server."""

from __future__ import annotations

import argparse
from pathlib import Path

from audio import read_wav
from cli.load_scenario import LoadScenario, read_load_scenario
from cli.running import CommandError, run, stop_on_signal
from cli.server_client import server_url
from config.settings import Settings
from load.result import LoadResult, summary_lines
from load.run import Load, LoadOptions
from load.server_api import ServerApiError
from load.sounds import RATE_HZ, NoSoundError
from logs import configure_logging, say
from logs.secrets import secrets_of
from scenarios.format import ScenarioError
from speech.errors import SpeechError

DEFAULT_CALLS = 10
DEFAULT_MOST_CALLS = 200
UNSOUND = 3
"""Exit code when calls were not sound, for scripts."""


def run_load_command(options: argparse.Namespace, settings: Settings) -> int:
    """Load a server and report."""
    configure_logging("WARNING", secrets=secrets_of(settings))
    url = server_url(options, settings)
    played = _scenario(options, settings)
    fields = dict(played.fields) if played else {}
    if options.agent is not None:
        fields["agent"] = options.agent
    named = str(options.scenario) if played else ", ".join(map(str, options.say))
    wanted = LoadOptions(
        server_url=url.replace("ws", "http", 1) if url.startswith("ws") else url,
        calls=options.calls or (DEFAULT_MOST_CALLS if options.find_limit else DEFAULT_CALLS),
        ramp_s=options.ramp,
        duration_s=options.duration,
        is_search=options.find_limit,
        fields=fields,
        sentences=played.sentences if played else [_read(path) for path in options.say],
        spoken=named or "built-in conversation",
        notes=played.notes if played else (),
        api_key=settings.api_keys[0] if settings.api_keys else None,
        metrics_token=settings.metrics_token,
    )
    for path in (options.json, options.report):
        if path is not None:
            _make_parent(path)
    load = Load(wanted, on_line=say)

    async def make_calls() -> LoadResult:
        with stop_on_signal(load.stop):
            return await load.run()

    try:
        result = run(make_calls())
    except (NoSoundError, ServerApiError, SpeechError) as error:
        raise CommandError(str(error)) from error
    for line in summary_lines(result):
        say(line)
    _write(options, result)
    if result.is_interrupted:
        return 130
    return UNSOUND if result.limit is not None and not result.is_searched else 0


def _scenario(options: argparse.Namespace, settings: Settings) -> LoadScenario | None:
    if options.scenario is None:
        return None
    if options.say:
        raise CommandError("--say, --scenario: name one of them")
    try:
        return run(read_load_scenario(options.scenario, settings.local_model_options()))
    except ScenarioError as error:
        raise CommandError(str(error)) from error


def _read(path: Path) -> bytes:
    try:
        return read_wav(path, RATE_HZ)
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CommandError(str(error)) from error


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written ({error.strerror})") from error


def _write(options: argparse.Namespace, result: LoadResult) -> None:
    from load.report import report_page

    try:
        if options.json is not None:
            options.json.write_text(result.to_json(), encoding="utf-8")
        if options.report is not None:
            options.report.mkdir(exist_ok=True)
            page = options.report / "load.html"
            page.write_text(report_page(result), encoding="utf-8")
            say(f"report: {page}")
    except OSError as error:
        raise CommandError(f"{error.filename}: cannot be written ({error.strerror})") from error
