"""`AppCatalog`: the definitions of the owner's app that starts may name now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from config.definition import Definition
from control.forkserver.app_report import AppReport
from control.forkserver.app_source import AppSource
from parley.load_problem import Problem
from utils import wall_clock_ms

_log: Final = logging.getLogger("app")


@dataclass(frozen=True)
class Verdict:
    """The problems of a definition. warnings: of settings, without which some starts fail"""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class AppCatalog:
    """Definitions of the last version that could be loaded, and the problems of the last attempt."""

    def __init__(
        self,
        source: AppSource,
        judge: Callable[[Definition], Verdict],
        *,
        is_watched: bool = False,
    ) -> None:
        """
        Args:
            judge: checks the values of a definition by the rules of a start.
            is_watched: the app is reloaded when its files change.
        """
        self.source = source
        self.is_watched = is_watched
        self.definitions: Mapping[str, Definition] = {}
        self.problems: tuple[Problem, ...] = ()
        self.warnings: tuple[str, ...] = ()
        # Files of the owner's modules, of the last version that could be loaded.
        self.files: tuple[str, ...] = ()
        self.loads = 0
        # Unix time of the last successful load.
        self.loaded_at_ms: int | None = None
        self._judge = judge

    def take(self, report: AppReport) -> bool:
        """Take over the definitions that are reported, if all of them are right."""
        problems, warnings = [*report.problems], []
        for one in report.agents:
            verdict = self._judge(one)
            problems += (Problem(_of(one, text), one.file, one.line) for text in verdict.problems)
            warnings += [_of(one, text) for text in verdict.warnings]
        self.problems = tuple(problems)
        if problems:
            self._log_problems()
            return False
        self.definitions = {one.name: one for one in report.agents}
        self.warnings, self.files = tuple(warnings), report.files
        self.loads, self.loaded_at_ms = self.loads + 1, wall_clock_ms()
        _log.info("%s: %s", self.source.name, ", ".join(self.definitions))
        return True

    def _log_problems(self) -> None:
        version = (
            "the last good version goes on" if self.definitions else "no agent of it can start"
        )
        for problem in self.problems:
            _log.error("%s (%s)", problem, version)

    def describe_problems(self) -> Iterable[str]:
        """Yield a line for each problem."""
        return (f"app: {problem}" for problem in self.problems)


def _of(definition: Definition, text: str) -> str:
    return f"agent {definition.name}: {text}"
