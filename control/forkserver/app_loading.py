"""Loading of an owner's app: in the forkserver, and in commands that run an agent themselves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from control.forkserver.app_source import LOAD_DEADLINE_S
from logs.writer import WRITER_THREAD
from parley.app import App, load
from parley.description import describe
from parley.load_problem import AppError, LoadTimeoutError, Problem
from parley.tool_definition import ToolDefinitionError
from session.owner_tools import register_tools
from tools import ToolContext, ToolDeclarationError


def load_app(name: str, deadline_s: float = LOAD_DEADLINE_S) -> tuple[App, list[dict[str, Any]]]:
    """Import an app; return it with the description of its agents. Call it in the main thread.

    Raises:
        AppError: It cannot be imported within the deadline, or a definition is wrong.
    """
    threads = set(threading.enumerate())
    with _deadline(deadline_s):
        app = load(name)
        described = describe(app)
        problems = [*_problems_of_tools(app)]
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith(WRITER_THREAD):
            # Of our own log, for something that the app prints in a process with a guarded output.
            continue
        text = f"the import starts the thread {thread.name}, which no agent process would have"
        problems.append(Problem(f"{name}: {text}: start it in a tool or a hook"))
    if problems:
        raise AppError(problems)
    return app, described


def _problems_of_tools(app: App) -> Iterator[Problem]:
    for agent in app.agents.values():
        try:
            register_tools(agent, ToolContext())
        except ToolDefinitionError as error:
            place = (error.file, error.line) if error.file else (agent.file, agent.line)
            text = str(error).removesuffix(f" ({error.file}:{error.line})")
            yield Problem(f"agent {agent.name}: {text}", *place)
        except ToolDeclarationError as error:
            yield Problem(f"agent {agent.name}: {error}", agent.file, agent.line)


@contextmanager
def _deadline(deadline_s: float) -> Iterator[None]:
    """Interrupt the block in the very line that takes too long."""

    def stop(_number: int, _frame: object) -> None:
        raise LoadTimeoutError(f"{deadline_s:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, deadline_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
