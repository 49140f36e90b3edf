"""Runs scenarios: each in a call of its own, repeated, several at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenarios.call_run import CallRun
from scenarios.call_start import Surroundings, new_channel_name, start_body
from scenarios.caller import Caller, CallerError
from scenarios.format import Scenario, ScenarioError
from scenarios.outcome import Outcome
from scenarios.results import (
    MediaFigures,
    Report,
    RunResult,
    ScenarioResult,
)
from scenarios.scripted_server import Script, ScriptedServer
from scenarios.seams import Judge
from scenarios.server_api import RefusedError
from scenarios.sound import write_call
from utils import wall_clock_ms

_log = logging.getLogger("scenario")


@dataclass
class OpenCall:
    """A call that is made, and what becomes known of it. record: of the server's store, at the end"""

    scenario: Scenario
    call: CallRun
    script: Script | None = None
    call_id: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class RunOptions:
    """Options of a run.

    repeat: of every scenario, in place of its own number
    report_dir: gets a recording of each run; None: none is kept
    recognises_all: every turn, for reports; else those whose words are expected
    on_run: called after each run
    """

    parallel: int = 1
    repeat: int | None = None
    report_dir: Path | None = None
    recognises_all: bool = False
    on_run: Callable[[RunResult], None] | None = None


class Runner:
    """Runs scenarios against one server."""

    def __init__(
        self,
        around: Surroundings,
        scripted: ScriptedServer,
        options: RunOptions = RunOptions(),
        judge: Judge | None = None,
    ) -> None:
        self._around = around
        self._scripted = scripted
        self._options = options
        self._judge = judge

    async def run(self, scenarios: Sequence[Scenario]) -> Report:
        """Run all of them.

        Raises:
            ScenarioError: One of them, or what it needs, is wrong; those under way are ended.
        """
        for scenario in scenarios:
            self.require_runnable(scenario)
        started_at_ms, begin_s = wall_clock_ms(), time.monotonic()
        try:
            runs = await self._run_all(scenarios)
        except BaseExceptionGroup as group:
            raise _first_cause(group) from group
        results = tuple(
            self._result(scenario, of) for scenario, of in zip(scenarios, runs, strict=True)
        )
        return Report(
            server=self._around.api.url,
            started_at_ms=started_at_ms,
            duration_ms=round((time.monotonic() - begin_s) * 1000, 1),
            scenarios=results,
        )

    async def _run_all(self, scenarios: Sequence[Scenario]) -> list[list[RunResult]]:
        room = asyncio.Semaphore(max(1, self._options.parallel))
        async with asyncio.TaskGroup() as group:
            tasks = [
                [
                    group.create_task(self._run_in(room, scenario, number))
                    for number in range(1, self._times(scenario) + 1)
                ]
                for scenario in scenarios
            ]
        return [[task.result() for task in of] for of in tasks]

    def _times(self, scenario: Scenario) -> int:
        return self._options.repeat or scenario.repeat.times

    def _result(self, scenario: Scenario, runs: Sequence[RunResult]) -> ScenarioResult:
        needed = scenario.repeat.needed
        if self._options.repeat is not None:
            # The share stays as the scenario has it.
            share = scenario.repeat.needed / scenario.repeat.times
            needed = min(len(runs), -int(-share * len(runs) // 1))
        return ScenarioResult(
            scenario=scenario.name,
            file=scenario.file,
            description=scenario.description,
            needed=needed,
            runs=tuple(runs),
        )

    def require_runnable(self, scenario: Scenario) -> None:
        """Refuse a scenario that asks for what there is not here.

        Raises:
            ScenarioError: naming the turn.
        """
        for at, turn in enumerate(scenario.turns, 1):
            problem = None
            if turn.kind == "press":
                problem = (
                    "press: a WebRTC room carries no DTMF, and the agent has no other line here"
                )
            elif turn.kind == "kill_agent" and not self._around.is_own_server:
                problem = "kill_agent: only of a server that the command starts (without --server)"
            elif turn.kind == "persona" and self._around.persona is None:
                problem = "persona: name a language model that plays it (docs/scenarios.md)"
            if problem is not None:
                raise ScenarioError(f"{scenario.name}, turn {at}: {problem}", scenario.file)
        all_expected = [
            scenario.expect,
            scenario.greeting,
            *(turn.expect for turn in scenario.turns),
        ]
        if self._judge is None and any(expect.judge is not None for expect in all_expected):
            problem = "judge: name a language model that judges (docs/scenarios.md)"
            raise ScenarioError(f"{scenario.name}: {problem}", scenario.file)

    async def _run_in(self, room: asyncio.Semaphore, scenario: Scenario, number: int) -> RunResult:
        async with room:
            result = await self.run_once(scenario, number)
        if self._options.on_run is not None:
            self._options.on_run(result)
        return result

    async def run_once(self, scenario: Scenario, number: int = 1) -> RunResult:
        """Make one call.

        Raises:
            ScenarioError: The scenario, or what it needs, is wrong.
        """
        started_at_ms, begin_s = wall_clock_ms(), time.monotonic()
        opened = OpenCall(scenario, CallRun(scenario, new_channel_name(scenario), self._around))
        try:
            async with self.open_call(opened):
                opened.error = await self._play(opened.call, scenario)
        except (CallerError, RefusedError) as failure:
            opened.error = str(failure)
        outcome = self.outcome(opened)
        await outcome.recognise(everything=self._options.recognises_all)
        call, record = opened.call, opened.record
        return RunResult(
            scenario=scenario.name,
            file=scenario.file,
            run=number,
            channel_name=call.channel_name,
            call_id=opened.call_id,
            started_at_ms=started_at_ms,
            duration_ms=round((time.monotonic() - begin_s) * 1000, 1),
            turns=tuple(await outcome.turns()),
            events=tuple(outcome.timeline.events()),
            verdicts=tuple(
                await outcome.of_call(record, opened.script, is_complete=not opened.error)
            ),
            exit_reason=str(record.get("exit_reason") or ""),
            state=record.get("call_state"),
            media=tuple(_media(name, caller) for name, caller in call.callers.items()),
            recording=await self._record(call, scenario, number),
            error=opened.error,
        )

    def outcome(self, opened: OpenCall) -> Outcome:
        """Return what judges a call."""
        return Outcome(opened.call, opened.scenario, self._around.engines, self._judge)

    @contextlib.asynccontextmanager
    async def open_call(self, opened: OpenCall) -> AsyncIterator[OpenCall]:
        """Start the agent of a call, and end it with the block, whatever happens in there.

        Raises:
            ScenarioError: It cannot be started.
        """
        scenario, call = opened.scenario, opened.call
        await call.prepare()
        with contextlib.ExitStack() as stack:
            language_model = None
            if scenario.model is not None:
                name, opened.script = stack.enter_context(self._scripted.play(scenario.model))
                language_model = {"base_url": self._scripted.base_url, "model": name}
            try:
                body = start_body(scenario, call.channel_name, language_model)
                opened.call_id = str((await self._start(body, scenario)).get("agent_id", ""))
                yield opened
            finally:
                await call.leave()
                # One that was hung up is left to the agent.
                if not call.has_hung_up:
                    await self._around.api.stop(call.channel_name)
                if opened.call_id:
                    opened.record = await self._around.api.ended_call(opened.call_id)

    async def _start(self, body: dict[str, Any], scenario: Scenario) -> dict[str, Any]:
        try:
            return await self._around.api.start(body)
        except RefusedError as refusal:
            if 400 <= refusal.status < 500 and refusal.status not in (408, 409, 429):
                problem = f"{scenario.name}: {refusal.problem}"
                if refusal.code == "base_url_not_allowed":
                    problem += "; a script needs the server that the command starts itself"
                raise ScenarioError(problem, scenario.file) from refusal
            raise

    async def _play(self, call: CallRun, scenario: Scenario) -> str:
        """Play the turns; returns why they could not be played to their end, or nothing."""
        try:
            async with asyncio.timeout(scenario.timeout_s):
                await call.play()
        except TimeoutError:
            return f"it was not over within {scenario.timeout_s:g} s (timeout_s)"
        return ""

    async def _record(self, call: CallRun, scenario: Scenario, number: int) -> Path | None:
        folder = self._options.report_dir
        if folder is None or not call.callers:
            return None
        name = re.sub(r"[^A-Za-z0-9]+", "-", scenario.name).strip("-")[:80] or "scenario"
        path = folder / f"{name}-{number}.wav"
        people = [piece for caller in call.callers.values() for piece in caller.sent]
        first = next(iter(call.callers.values()))
        try:
            await asyncio.to_thread(write_call, path, people, first.heard.frames, call.origin_s)
        except OSError as error:
            raise ScenarioError(f"{path}: cannot be written ({error.strerror})") from error
        return path


def _media(name: str, caller: Caller) -> MediaFigures:
    statistics = caller.statistics
    connect_ms = None if caller.connect_s is None else round(caller.connect_s * 1000, 1)
    if statistics is None:
        return MediaFigures(person=name, connect_ms=connect_ms)
    return MediaFigures(
        person=name,
        packets_received=statistics.packets_received,
        packets_lost=statistics.packets_lost,
        packets_late=statistics.packets_late,
        frames_concealed=statistics.frames_concealed,
        jitter_buffer_ms=statistics.delay_ms,
        connect_ms=connect_ms,
    )


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error within: of several scenarios that are wrong one is named."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
