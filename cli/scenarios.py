"""`python -m main test`: scenario tests of an owner's agents. See docs/scenarios.md."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from cli.running import CommandError, run, stop_on_signal
from config.environment import read_environment
from config.settings import Settings
from logs import configure_logging, flush_logs, guard_standard_output, say
from logs.secrets import secrets_of
from scenarios.format import Scenario, ScenarioError
from scenarios.loading import load_scenarios
from scenarios.results import Report, RunResult, ScenarioResult
from utils import cancel_and_wait

if TYPE_CHECKING:
    from scenarios.call_start import Surroundings
    from scenarios.scripted_server import ScriptedServer
    from scenarios.seams import PersonaCaller

PASSED: Final = 0
FAILED: Final = 1
WRONG: Final = 2
"""Exit codes: every scenario passed; one did not; a scenario, or what it needs, is wrong."""

INTERRUPTED: Final = 130

_LAST_LINES_S: Final = 5.0


def run_test_command(options: argparse.Namespace, settings: Settings) -> int:
    """Run scenarios and report."""
    configure_logging("WARNING", secrets=secrets_of(settings))
    guard_standard_output()
    try:
        return run(_run(options, settings))
    except ScenarioError as error:
        raise CommandError(str(error), WRONG) from error
    finally:
        flush_logs(_LAST_LINES_S)


async def _run(options: argparse.Namespace, settings: Settings) -> int:
    scenarios = _chosen(options)
    _require_writable(options)
    stopped = asyncio.Event()
    with stop_on_signal(stopped.set):
        loop = asyncio.get_running_loop()
        running = loop.create_task(_test(options, settings, scenarios))
        waiting = loop.create_task(stopped.wait())
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if stopped.is_set() and not running.done():
                await cancel_and_wait(running)
                say("stopped; nothing is left running")
                return INTERRUPTED
            report = await running
        finally:
            await cancel_and_wait(waiting)
            await cancel_and_wait(running)
    for result in report.scenarios:
        for line in _summary(result):
            say(line)
    _write(options, report)
    passed = sum(result.has_passed for result in report.scenarios)
    say(
        f"{passed} of {len(report.scenarios)} scenarios passed in {report.duration_ms / 1000:.0f} s"
    )
    return PASSED if report.has_passed else FAILED


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    scenarios = [each for file in options.files for each in load_scenarios(file)]
    if options.agent is not None:
        scenarios = [each.model_copy(update={"agent": options.agent}) for each in scenarios]
    names = [each.name for each in scenarios]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ScenarioError(f"two scenarios are called {', '.join(sorted(twice))}")
    if options.only is None:
        return scenarios
    chosen = [each for each in scenarios if {each.name, *each.tags} & set(options.only)]
    if not chosen:
        raise ScenarioError(f"--only: no scenario is called so; there is {', '.join(names)}")
    return chosen


def _require_writable(options: argparse.Namespace) -> None:
    """Find out before the first call whether its results can be written."""
    try:
        if options.report is not None:
            options.report.mkdir(parents=True, exist_ok=True)
        for file in (options.junit, options.json):
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("ab"):
                    pass
    except OSError as error:
        raise ScenarioError(f"{error.filename}: cannot be written ({error.strerror})") from error


async def _test(
    options: argparse.Namespace, settings: Settings, scenarios: Sequence[Scenario]
) -> Report:
    # Late: engines and media take time to import.
    from scenarios.judge import judge_of
    from scenarios.persona import persona_of
    from scenarios.runner import Runner, RunOptions

    run_options = RunOptions(
        parallel=options.parallel,
        repeat=options.repeat,
        report_dir=options.report,
        recognises_all=options.report is not None,
        on_run=_say_run,
    )
    judge, persona = judge_of(settings), persona_of(settings)
    async with AsyncExitStack() as stack:
        for model in (judge, persona):
            if model is not None:
                stack.push_async_callback(model.close)
        around, scripted = await stack.enter_async_context(_site(options, settings, persona))
        return await Runner(around, scripted, run_options, judge).run(scenarios)


@contextlib.asynccontextmanager
async def _site(
    options: argparse.Namespace, settings: Settings, persona: PersonaCaller | None
) -> AsyncIterator[tuple[Surroundings, ScriptedServer]]:
    from scenarios.site import open_site

    environ = read_environment(os.environ).variables
    key = _api_key(options, settings)
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(
            open_site(
                settings.local_model_options(),
                server_url=options.server,
                api_key=key,
                app=options.app,
                environ=environ,
                persona=persona,
            )
        )


def _api_key(options: argparse.Namespace, settings: Settings) -> str | None:
    if (name := options.api_key_from_env) is not None:
        key = read_environment(os.environ).variables.get(name, "").split(",")[0].strip()
        if not key:
            raise ScenarioError(f"--api_key_from_env: the variable {name} is empty")
        return key
    return settings.api_keys[0].get_secret_value() if settings.api_keys else None


# -- what is said ------------------------------------------------------------------------------------


def _say_run(run_result: RunResult) -> None:
    latencies = ", ".join(f"{each:.0f}" for each in run_result.latencies_ms)
    word = "passed" if run_result.has_passed else "FAILED"
    text = f"{word}  {run_result.scenario} (run {run_result.run}, {run_result.duration_ms / 1000:.1f} s"
    say(f"{text}; answers after {latencies} ms)" if latencies else f"{text})")
    if run_result.error:
        say(f"        {run_result.error}")
    for verdict in run_result.failures:
        say(f"        {verdict.name}: {verdict.detail}")


def _summary(result: ScenarioResult) -> list[str]:
    """Return lines about a scenario that ran several times."""
    if len(result.runs) == 1:
        return []
    word = "passed" if result.has_passed else "FAILED"
    text = f"{word}  {result.scenario}: {result.passed_runs} of {len(result.runs)} runs passed"
    lines = [f"{text}, {result.needed} needed"]
    lines += [
        f"        {name}: {met} of {checked}"
        for name, (met, checked) in result.rates().items()
        if met < checked
    ]
    return lines


def _write(options: argparse.Namespace, report: Report) -> None:
    from scenarios.report_files import write_json, write_junit, write_page

    try:
        if options.json is not None:
            write_json(report, options.json)
        if options.junit is not None:
            write_junit(report, options.junit)
        if options.report is not None:
            say(f"report: {write_page(report, options.report)}")
    except OSError as error:
        raise ScenarioError(f"{error.filename}: cannot be written ({error.strerror})") from error
