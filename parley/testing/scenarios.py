"""pytest fixtures that call an agent as a person does: `scenarios` runs files, `caller` makes one call.

Use it with `pytest -p parley.testing.scenarios --parley_app orders.py`, or with
`pytest_plugins = ["parley.testing.scenarios"]` in the `conftest.py` of your project. One server is started for
the whole session, and ended with it. See docs/scenarios.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from config.environment import read_environment
from config.settings import Settings
from scenarios.call_run import CallRun
from scenarios.call_start import Surroundings, new_channel_name
from scenarios.expectations import Observed, check, check_end
from scenarios.expected import CallExpectations, Expectations
from scenarios.format import Scenario, Turn
from scenarios.judge import judge_of
from scenarios.loading import load_scenarios
from scenarios.outcome import Outcome
from scenarios.persona import persona_of
from scenarios.results import ScenarioResult, ToolCallResult, TurnResult, Verdict
from scenarios.runner import OpenCall, Runner, RunOptions
from scenarios.site import open_site
from scenarios.windows import Window

T = TypeVar("T")

_JOIN_S: Final = 60.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the setting that name the app."""
    text = "the app whose agents are called: a file, folder or module, as --app of `main server`"
    parser.addoption("--parley_app", "--parley-app", help=text)
    parser.addini("parley_app", text, default="")


@pytest.fixture(scope="session")
def parley_app(request: pytest.FixtureRequest) -> str | None:
    """The app: of the option, else of the ini file, else APP. Override it to name another one."""
    given = request.config.getoption("--parley_app")
    if given:
        return str(given)
    named = str(request.config.getini("parley_app"))
    path = request.config.rootpath / named
    return str(path) if named and path.exists() else named or None


@pytest.fixture(scope="session")
def parley_settings() -> dict[str, str]:
    """Settings of the server (docs/README.md) beside those of the environment. Override it to have some."""
    return {}


@pytest.fixture(scope="session")
def scenario_site(
    parley_app: str | None, parley_settings: dict[str, str]
) -> Iterator[ScenarioSite]:
    """The server with the app, voices and recogniser; one for all tests of a session."""
    site = ScenarioSite(parley_app, parley_settings)
    try:
        site.open()
        yield site
    finally:
        site.close()


@pytest.fixture
def scenarios(scenario_site: ScenarioSite) -> ScenarioRuns:
    """Runs scenario files."""
    return ScenarioRuns(scenario_site)


@pytest.fixture
def caller(
    scenario_site: ScenarioSite,
) -> Callable[..., contextlib.AbstractContextManager[LiveCall]]:
    """Makes calls: `with caller(agent="orders") as call: call.say("Where is my order?")`."""
    return scenario_site.call


class ScenarioSite:
    """Everything that calls need, on an event loop in a thread of its own: tests are plain functions."""

    def __init__(self, app: str | None, settings: Mapping[str, str]) -> None:
        self._app = app
        self._environ = read_environment(os.environ).variables | dict(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scenarios")
        self._stack = AsyncExitStack()
        self._around: Surroundings | None = None
        self._make_runner: Callable[[RunOptions], Runner] | None = None

    def open(self) -> None:
        """Start the server, and wait until it is ready.

        Raises:
            ScenarioError: It cannot be had.
        """
        self._thread.start()
        self.wait(self._open())

    def close(self) -> None:
        """End everything that was started. Idempotent."""
        if not self._thread.is_alive():
            return
        self.wait(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_S)
        self._loop.close()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, and return its result; Ctrl-C ends it."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _open(self) -> None:
        settings = Settings.from_env(self._environ)
        judge, persona = judge_of(settings), persona_of(settings)
        for model in (judge, persona):
            if model is not None:
                self._stack.push_async_callback(model.close)
        around, scripted = await self._stack.enter_async_context(
            open_site(
                settings.local_model_options(),
                server_url=None,
                api_key=None,
                app=self._app,
                environ=self._environ,
                persona=persona,
            )
        )
        self._around = around
        self._make_runner = lambda options: Runner(around, scripted, options, judge)

    def runner(self, options: RunOptions) -> Runner:
        """Return a runner of scenarios."""
        assert self._make_runner is not None, "the site is not open"
        return self._make_runner(options)

    @contextlib.contextmanager
    def call(
        self,
        agent: str | None = None,
        *,
        script: Sequence[Mapping[str, Any]] = (),
        rules: Sequence[Mapping[str, Any]] = (),
        **scenario: Any,
    ) -> Iterator[LiveCall]:
        """Call an agent, and hang up with the block.

        agent: of the app; None: its single one
        script, rules: of the scripted model, as in a file; none: the agent's own model answers
        scenario: further fields of a scenario, such as `people`, `start`, `first`, `quiet_s`
        """
        model = {"script": list(script), "rules": list(rules)} if script or rules else None
        values = {"name": f"call {agent or ''}".strip(), "agent": agent, "model": model, **scenario}
        # It has no turns beforehand, which a file must have.
        made = Scenario.model_validate({**values, "turns": [{"silence_s": 0.001}]})
        made = made.model_copy(update={"turns": ()})
        runner = self.runner(RunOptions())
        assert self._around is not None
        opened = self.wait(_made(made, self._around))
        entered = runner.open_call(opened)
        self.wait(entered.__aenter__())
        live = LiveCall(self, opened, runner.outcome(opened))
        try:
            self.wait(opened.call.begin())
            yield live
        finally:
            self.wait(entered.__aexit__(None, None, None))
        # Not after a failure of the block, which says more.
        live.expect_no_surprise()


async def _made(scenario: Scenario, around: Surroundings) -> OpenCall:
    return OpenCall(scenario, CallRun(scenario, new_channel_name(scenario), around))


@dataclass(frozen=True)
class ScenarioRuns:
    """Runs scenario files on the session's server."""

    site: ScenarioSite

    def run(
        self,
        *files: Path | str,
        only: Sequence[str] = (),
        repeat: int | None = None,
        parallel: int = 1,
        agent: str | None = None,
    ) -> list[ScenarioResult]:
        """Run files, and return the results.

        only: names or tags; repeat, agent: in place of the files' own

        Raises:
            AssertionError: A scenario failed; the text has its expectations that are not met.
            ScenarioError: A file is wrong, with its line.
        """
        found = [each for file in files for each in load_scenarios(Path(file))]
        found = [each for each in found if not only or {each.name, *each.tags} & set(only)]
        if agent is not None:
            found = [each.model_copy(update={"agent": agent}) for each in found]
        runner = self.site.runner(RunOptions(parallel=parallel, repeat=repeat))
        results = self.site.wait(runner.run(found)).scenarios
        lines = [line for result in results if not result.has_passed for line in _lines(result)]
        if lines:
            raise AssertionError("\n".join(lines))
        return list(results)


def _lines(result: ScenarioResult) -> Iterator[str]:
    yield f"{result.scenario}: {result.passed_runs} of {len(result.runs)} runs passed"
    for run in result.runs:
        if run.error:
            yield f"  run {run.run}: {run.error}"
        yield from (f"  run {run.run}: {one.name}: {one.detail}" for one in run.failures)


class LiveCall:
    """A call that a test makes turn by turn. Each method returns when the turn is over."""

    def __init__(self, site: ScenarioSite, opened: OpenCall, outcome: Outcome) -> None:
        self._site = site
        self._opened = opened
        self._outcome = outcome

    # -- what people do ----------------------------------------------------------------------------

    def do(self, **turn: Any) -> LiveTurn:
        """Take a turn with the fields of a file's turn (docs/scenarios.md), without `expect`."""
        made = Turn.model_validate(turn)
        window = self._site.wait(self._opened.call.act(made))
        return LiveTurn(self, window)

    def say(self, text: str, **options: Any) -> LiveTurn:
        """Say a text. options: `by`, `voice`, `barge_in`, `push_to_talk`, `snr_db`, `wait`"""
        return self.do(say=text, **options)

    def play(self, wav: Path | str, **options: Any) -> LiveTurn:
        """Say what is in a WAV file."""
        return self.do(wav=Path(wav).resolve(), **options)

    def type(self, text: str, **options: Any) -> LiveTurn:
        """Write a text."""
        return self.do(type=text, **options)

    def silence(self, seconds: float, **options: Any) -> LiveTurn:
        """Say nothing."""
        return self.do(silence_s=seconds, **options)

    def approve(self, tool: str, **options: Any) -> LiveTurn:
        """Allow a tool call that waits for it."""
        return self.do(approve=tool, **options)

    def reject(self, tool: str, **options: Any) -> LiveTurn:
        """Forbid a tool call that waits for an answer."""
        return self.do(reject=tool, **options)

    def answer_tool(self, name: str, output: Any, **options: Any) -> LiveTurn:
        """Give the result of a tool that the caller's program runs."""
        return self.do(answer_tool={"name": name, "output": output}, **options)

    def kill_agent(self) -> LiveTurn:
        """Kill the agent's process, and wait until another one has taken over."""
        return self.do(kill_agent=True)

    def hang_up(self) -> LiveTurn:
        """Have everybody leave; the agent ends the call by itself."""
        return self.do(hang_up=True)

    # -- what happened -----------------------------------------------------------------------------

    @property
    def tool_calls(self) -> tuple[ToolCallResult, ...]:
        """All of the call so far."""
        return tuple(call for turn in self.turns for call in turn.tool_calls)

    @property
    def transcript(self) -> str:
        """The agent's words so far, as its model made them."""
        return " ".join(turn.transcript for turn in self.turns if turn.transcript)

    @property
    def turns(self) -> list[TurnResult]:
        """The turns so far; number 0 is the greeting."""
        return [self.result_of(window) for window in self._opened.call.windows]

    @property
    def exit_reason(self) -> str:
        """The reason of the call's end; empty before."""
        return str(self._opened.record.get("exit_reason") or "")

    @property
    def state(self) -> dict[str, Any] | None:
        """`call.state` at the end; None before."""
        state: dict[str, Any] | None = self._opened.record.get("call_state")
        return state

    def expect(self, **expectations: Any) -> None:
        """Assert what holds of the whole call so far; `exit_reason` and `state` after its end.

        Raises:
            AssertionError: naming each expectation that is not met.
        """
        __tracebackhide__ = True
        expect = CallExpectations.model_validate(expectations)
        windows = [_until_now(window) for window in self._opened.call.windows]
        if expect.heard is not None:
            for window in windows:
                self._site.wait(self._outcome.recognise_window(window))
        seen = self._outcome.observed(windows, "call", None)
        require([*check(expect, seen), *check_end(expect, seen, self.exit_reason, self.state)])

    def expect_no_surprise(self) -> None:
        """Assert what holds of every call: the script was long enough, and the agent did not break."""
        __tracebackhide__ = True
        record, script = self._opened.record, self._opened.script
        found = self._site.wait(self._outcome.of_call(record, script, is_complete=True))
        require(found)

    def result_of(self, window: Window) -> TurnResult:
        """Return what happened in a window until now."""
        return self._outcome.timeline.result(_until_now(window))

    def check_turn(self, window: Window, expect: Expectations) -> list[Verdict]:
        """Return the verdicts of a turn until now."""
        until_now = _until_now(window)
        if expect.heard is not None:
            self._site.wait(self._outcome.recognise_window(until_now))
        where = "greeting" if window.number == 0 else f"turn {window.number}"
        seen: Observed = self._outcome.observed([until_now], where, window.number)
        found = check(expect, seen)
        if window.problem is not None:
            name, detail = window.problem
            found.append(seen.verdict(name, is_met=False, detail=detail))
        if window.is_answer_expected and expect.replies is None:
            detail = "the agent did not reply in time"
            found.append(seen.verdict("answered", until_now.is_answered, detail))
        return found

    def words_of(self, window: Window) -> str:
        """Return the agent's words in a window, by the recogniser."""
        until_now = _until_now(window)
        self._site.wait(self._outcome.recognise_window(until_now))
        return until_now.words_heard or ""


@dataclass(frozen=True)
class LiveTurn:
    """A turn that was taken."""

    call: LiveCall
    window: Window

    @property
    def result(self) -> TurnResult:
        """All that happened in it until now, or until the next turn began."""
        return self.call.result_of(self.window)

    @property
    def transcript(self) -> str:
        """The agent's words, as its model made them."""
        return self.result.transcript

    @property
    def words_heard(self) -> str:
        """The agent's words, as they were recognised in its sound."""
        return self.call.words_of(self.window)

    def expect(self, **expectations: Any) -> LiveTurn:
        """Assert expectations with the fields of a file's `expect`; returns the turn.

        Raises:
            AssertionError: naming each expectation that is not met.
        """
        __tracebackhide__ = True
        require(self.call.check_turn(self.window, Expectations.model_validate(expectations)))
        return self


def require(verdicts: Sequence[Verdict]) -> None:
    """Fail unless all are met.

    Raises:
        AssertionError: naming those that are not.
    """
    # pytest shows the line of the test instead.
    __tracebackhide__ = True
    failed = [f"{verdict.name}: {verdict.detail}" for verdict in verdicts if not verdict.is_met]
    if failed:
        raise AssertionError("\n".join(failed))


def _until_now(window: Window) -> Window:
    """Return a window that ends now, if it has not ended."""
    if window.ended_s != float("inf"):
        return window
    # Loop times are those of the monotonic clock.
    return replace(window, ended_s=max(window.began_s, time.monotonic()))
