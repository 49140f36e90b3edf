"""`App`: the agents that an owner's file declares, and how it is loaded.

An app is a Python file, a folder, or the dotted name of an installed module. A file and a folder are
loaded as a package of their own (`parley.owner_package`). Its agents are the `Agent` objects that its
module has at the top level, also in lists and tuples there, and those that they may hand over to.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

from parley.agent import Agent
from parley.chat_room import ChatRoom
from parley.chat_room_check import problems_of_rooms
from parley.load_problem import AppError, Problem, problem_of
from parley.owner_package import OwnerPackage
from untrusted.boundary import Caught

MAX_AGENTS: Final = 100

FOLDER_MODULES: Final = ("__init__", "app", "agents", "agent")
"""The first of these modules that a folder has is loaded."""


@dataclass(frozen=True, slots=True)
class App:
    """Agents and chat rooms by name. files: of the owner's modules that were loaded"""

    name: str
    agents: Mapping[str, Agent]
    files: tuple[str, ...] = ()
    rooms: Mapping[str, ChatRoom] = field(default_factory=dict)


_current: list[App] = []


def current() -> App | None:
    """Return the app of this process, if it has one."""
    return _current[0] if _current else None


def make_current(app: App | None) -> None:
    """Make `app` the one that `current` returns."""
    _current[:] = [] if app is None else [app]


@dataclass(frozen=True, slots=True)
class _Source:
    """Ways to import an app and to recognise the owner's files."""

    load: Callable[[], ModuleType]
    files: Callable[[], Collection[str]]
    has_file: Callable[[str], bool]


def load(app: str) -> App:
    """Import an app and return its agents.

    Raises:
        AppError: It cannot be imported, or its definitions contradict one another.
    """
    source = _source_of(app.strip())
    # Foreign code may raise anything.
    with Caught() as caught:
        module = source.load()
    if isinstance(caught.error, KeyboardInterrupt):
        raise caught.error
    if caught.error is not None:
        raise AppError([problem_of(caught.error, source.has_file)]) from caught.error
    declared = [*_definitions_of(module)]
    rooms = list(dict.fromkeys(each for each in declared if isinstance(each, ChatRoom)))
    agents = [*_all_agents(declared)]
    problems = [*_problems_of(agents, module)]
    by_name = {agent.name: agent for agent in agents}
    problems += problems_of_rooms(rooms, by_name)
    if problems:
        raise AppError(problems)
    files = tuple(sorted(source.files()))
    return App(app, by_name, files, {room.name: room for room in rooms})


def is_dotted_name(app: str) -> bool:
    """Return true if `app` names a module, rather than a file or a folder."""
    return not app or not (app.endswith(".py") or os.sep in app or Path(app).exists())


def _source_of(app: str) -> _Source:
    if is_dotted_name(app):
        return _module_source(app)
    path = Path(app).expanduser()
    package, module = _package_of(path)
    return _Source(
        lambda: package.load(module), lambda: package.files, lambda file: file in package.files
    )


def _package_of(path: Path) -> tuple[OwnerPackage, str]:
    """Return the package of a file or folder, and the module in it to load."""
    if path.is_dir():
        for name in FOLDER_MODULES:
            if (path / f"{name}.py").is_file():
                package = OwnerPackage(path, alias=path.resolve().name)
                return package, "" if name == "__init__" else name
        known = ", ".join(f"{name}.py" for name in FOLDER_MODULES)
        raise AppError([Problem(f"the folder {path} has none of {known}: add one, or name a file")])
    if path.suffix != ".py" or not path.is_file():
        raise AppError([Problem(f"there is no Python file {path}")])
    if "." in path.stem:
        raise AppError([Problem(f"{path}: a module's name has no dot: rename the file")])
    return OwnerPackage(path.parent), path.stem


def _module_source(name: str) -> _Source:
    top = name.partition(".")[0]
    try:
        spec = PathFinder.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not all(part.isidentifier() for part in name.split(".")):
        text = f"there is no file, folder or module {name}; a module must be on PYTHONPATH"
        raise AppError([Problem(text)])
    folders = [*(spec.submodule_search_locations or ())]

    def has_file(file: str) -> bool:
        return file == spec.origin or any(Path(file).is_relative_to(each) for each in folders)

    def files() -> set[str]:
        loaded = (getattr(each, "__file__", None) for each in [*sys.modules.values()])
        return {file for file in loaded if file and has_file(file)}

    return _Source(lambda: importlib.import_module(name), files, has_file)


def _definitions_of(module: ModuleType) -> Iterator[Agent | ChatRoom]:
    for value in [*vars(module).values()]:
        if isinstance(value, Agent | ChatRoom):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (each for each in value if isinstance(each, Agent | ChatRoom))


def _all_agents(declared: Iterable[Agent | ChatRoom]) -> Iterator[Agent]:
    """Yield each agent once, those of rooms and those that may get a handover included."""
    waiting: list[Agent] = []
    for each in declared:
        members = [each] if isinstance(each, Agent) else each.agents
        waiting += [member for member in members if isinstance(member, Agent)]
    seen = set[int]()
    while waiting:
        agent = waiting.pop(0)
        if id(agent) not in seen:
            seen.add(id(agent))
            yield agent
            waiting += [target for target in agent.handoffs if isinstance(target, Agent)]


def _problems_of(agents: list[Agent], module: ModuleType) -> Iterator[Problem]:
    place = getattr(module, "__file__", None) or ""
    if not agents:
        text = 'no agent is declared: write orders = Agent("orders", ...) at the top level'
        yield Problem(text, place, 1 if place else 0)
    if len(agents) > MAX_AGENTS:
        yield Problem(f"{len(agents)} agents are declared: at most {MAX_AGENTS} may be", place, 1)
    first: dict[str, Agent] = {}
    for agent in agents:
        other = first.setdefault(agent.name, agent)
        if other is not agent:
            text = f"agent {agent.name}: line {other.line} declares the name already"
            yield Problem(text, agent.file, agent.line)
    for agent in agents:
        yield from _problems_of_handoffs(agent, first)


def _problems_of_handoffs(agent: Agent, known: Mapping[str, Agent]) -> Iterator[Problem]:
    for target in agent.handoffs:
        name = target.name if isinstance(target, Agent) else target
        if name == agent.name:
            text = f"agent {agent.name}: handoffs: it cannot hand over to itself"
        elif name not in known:
            names = ", ".join(sorted(known.keys() - {agent.name})) or "no other"
            text = f"agent {agent.name}: handoffs: there is no agent {name}; there is {names}"
        else:
            continue
        yield Problem(text, agent.file, agent.line)
