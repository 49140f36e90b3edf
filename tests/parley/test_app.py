"""Loading of owners' apps: files, folders and modules, whose names never meet ours, and what is wrong."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import tools
import utils
from control.forkserver.app_loading import load_app
from parley.app import App, load
from parley.description import describe
from parley.load_problem import AppError


@pytest.fixture(autouse=True)
def _own_modules_stay() -> Iterator[None]:
    before, path = dict(sys.modules), [*sys.path]
    yield
    for name in ("tools", "utils", "agent", "parley"):
        assert sys.modules.get(name) is before.get(name)
    assert sys.path == path


def write(folder: Path, **files: str) -> Path:
    """The folder with a file for each name; two underscores stand for a slash."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


NEIGHBOURS = {
    "tools": "from utils import shout\n\ndef find(number: str) -> str:\n    return shout(number)\n",
    "utils": "def shout(text: str) -> str:\n    return text.upper()\n",
    "agent": "import tools\nNAME = 'orders'\n",
}


@pytest.mark.parametrize(
    "imports",
    [
        "import agent, tools, utils\nfind, NAME = tools.find, agent.NAME",
        "from agent import NAME\nfrom tools import find",
        "from .agent import NAME\nfrom .tools import find",
        "from . import agent as a, tools as t\nfind, NAME = t.find, a.NAME",
    ],
)
def test_neighbours_may_have_the_names_of_our_modules(tmp_path: Path, imports: str) -> None:
    text = f"from parley import Agent\n{imports}\ndesk = Agent(NAME, tools=[find])\n"
    write(tmp_path, orders=text, **NEIGHBOURS)
    app = load(str(tmp_path / "orders.py"))
    assert app.agents["orders"].tools[0].function("ok") == "OK"
    assert not hasattr(utils, "shout")
    assert not hasattr(tools, "find")
    assert {Path(file).name for file in app.files} >= {"orders.py", "tools.py", "agent.py"}


def test_a_neighbour_that_is_imported_during_a_call_is_the_owners(tmp_path: Path) -> None:
    text = """
        from parley import Agent

        def find(number: str) -> str:
            import utils
            from parcels.tracking import place
            return utils.shout(place)

        orders = Agent("orders", tools=[find])
        """
    write(tmp_path, orders=text, parcels__tracking="place = 'hall'", **NEIGHBOURS)
    app = load(str(tmp_path / "orders.py"))
    assert app.agents["orders"].tools[0].function("1") == "HALL"


def test_a_folder_may_name_itself_and_two_apps_do_not_meet(tmp_path: Path) -> None:
    entry = """
        from parley import Agent
        from tools.db import CITY
        import tools.db as db

        desk = Agent("desk", instructions=CITY + db.CITY)
        """
    for city in ("Rome", "Oslo"):
        folder = write(tmp_path / city / "tools", db=f"CITY = '{city}'")
        (folder / "__init__.py").write_text(textwrap.dedent(entry))
    found = [load(str(tmp_path / city / "tools")) for city in ("Rome", "Oslo")]
    assert [app.agents["desk"].instructions for app in found] == ["RomeRome", "OsloOslo"]


@pytest.mark.parametrize("name", ["app", "agents", "agent"])
def test_a_folder_without_an_init_has_its_agents_in_a_known_module(
    tmp_path: Path, name: str
) -> None:
    text = "from parley import Agent\nfrom db import NAME\ndesk = Agent(NAME)"
    write(tmp_path, **{name: text}, db="NAME = 'desk'")
    assert [*load(str(tmp_path)).agents] == ["desk"]


def test_an_installed_module_is_named_with_dots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        leaf_company__desk="from parley import Agent\nfrom .db import NAME\ndesk = Agent(NAME)",
        leaf_company__db="NAME = 'desk'",
        leaf_company__broken="import leaf_company.missing",
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        app = load("leaf_company.desk")
        assert [*app.agents] == ["desk"]
        assert str(tmp_path / "leaf_company" / "db.py") in app.files
        assert problem_of("leaf_company.broken")[1:] == ("broken.py", 1)
    finally:
        for name in [one for one in sys.modules if one.startswith("leaf_company")]:
            del sys.modules[name]
        monkeypatch.undo()


def test_agents_are_found_in_lists_and_behind_handoffs(tmp_path: Path) -> None:
    text = """
        from parley import Agent
        agents = [Agent("one"), Agent("two", handoffs=["one"])]
        front = Agent("front", handoffs=[Agent("hidden", handoffs=["front"]), "one"])
        also_front = front
        """
    write(tmp_path, desk=text)
    assert {*load(str(tmp_path / "desk.py")).agents} == {"one", "two", "front", "hidden"}


def test_a_script_part_is_not_run_and_no_bytecode_is_left(tmp_path: Path) -> None:
    text = """
        from parley import Agent
        desk = Agent("desk")
        if __name__ == "__main__":
            raise SystemExit(1)
        """
    write(tmp_path, desk=text)
    load(str(tmp_path / "desk.py"))
    assert [path.name for path in tmp_path.iterdir()] == ["desk.py"]


# -- what is wrong --------------------------------------------------------------------------------


def problem_of(app: str) -> tuple[str, str, int]:
    """Text, file name and line of the only problem."""
    with pytest.raises(AppError) as caught:
        load_app(app, 1.0)
    [problem] = caught.value.problems
    assert str(problem) == str(caught.value)
    assert "\n" not in str(problem)
    return problem.text, Path(problem.file).name if problem.file else "", problem.line


HEAD = "from parley import Agent, tool\n"


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        (f"{HEAD}desk = Agent('desk'\n", "was never closed", 2),
        (f"{HEAD}import no_such_thing\n", "no_such_thing'; mind the name, or install it", 2),
        (f"{HEAD}x = 1\nx.y\n", "AttributeError: 'int' object has no attribute 'y'", 3),
        (f"{HEAD}\nraise ValueError('a' * 9000)\n", "ValueError: aaa", 3),
        (f"{HEAD}\nraise ValueError('two\\nlines')\n", "ValueError: two lines", 3),
        (f"{HEAD}import sys\nsys.exit(3)\n", "must not end the process", 3),
        (f"{HEAD}\ndesk = Agent('Desk')\n", "lower case letter", 3),
        (f"{HEAD}import neighbour\n", "ZeroDivisionError", 2),
        ("x = 1\n", "no agent is declared", 1),
        (f"{HEAD}a = Agent('desk')\nb = Agent('desk')\n", "line 2 declares the name already", 3),
        (f"{HEAD}desk = Agent('desk', handoffs=['bills'])", "there is no agent bills", 2),
        (f"{HEAD}desk = Agent('desk', handoffs=['desk'])", "cannot hand over to itself", 2),
        (f"{HEAD}import time\ntime.sleep(60)\n", "does not end within 1 s", 3),
        (
            f"{HEAD}while True:\n    try:\n        pass\n    except Exception:\n        pass\n",
            "1 s",
            0,
        ),
        (
            f"{HEAD}def f(x): ...\ndesk = Agent('desk', tools=[f])",
            "parameter 'x': it has no type hint",
            2,
        ),
        (f"{HEAD}def f(): ...\ndesk = Agent('desk', tools=[f, f])", "already a tool named f", 3),
        (f"{HEAD}desk = Agent('desk', skills='a')", "skills: give a list", 2),
        (f"{HEAD}desk = Agent('desk', instructions=5)", "instructions: give a text", 2),
        (f"{HEAD}desk = Agent('desk', model_settings={{'a': set()}})", "model_settings: give", 2),
        (f"{HEAD}desk = Agent('desk', hooks={{'call_started': 5}})", "call_started is no fun", 2),
    ],
)
def test_a_problem_has_its_file_its_line_and_a_remedy(
    tmp_path: Path, text: str, words: str, line: int
) -> None:
    write(tmp_path, desk=text, neighbour="\n1 / 0\n")
    found, file, number = problem_of(str(tmp_path / "desk.py"))
    assert words in found
    assert len(found) <= 600
    assert file == ("neighbour.py" if "neighbour" in text else "desk.py")
    assert number == (line or number)


def test_a_thread_that_no_fork_would_have_is_refused(tmp_path: Path) -> None:
    text = f"""{HEAD}
import threading
end = threading.Event()
thread = threading.Thread(target=end.wait, name="pool", daemon=True)
thread.start()
desk = Agent("desk", instructions=lambda call: end.set())
"""
    write(tmp_path, desk=text)
    try:
        assert "the thread pool" in problem_of(str(tmp_path / "desk.py"))[0]
    finally:
        for module in [*sys.modules.values()]:
            if getattr(module, "__file__", "") == str(tmp_path / "desk.py"):
                module.end.set()
                module.thread.join()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.py", "there is no Python file"),
        ("missing/desk.py", "there is no Python file"),
        ("no_such_module", "no file, folder or module"),
        ("a-b", "no file, folder or module"),
        ("a..b", "no file, folder or module"),
        ("", "no file, folder or module"),
    ],
)
def test_an_app_that_is_not_there_is_named(name: str, words: str) -> None:
    assert words in problem_of(name)[0]


def test_a_folder_without_agents_and_a_name_with_a_dot_are_refused(tmp_path: Path) -> None:
    assert "has none of __init__.py, app.py" in problem_of(str(tmp_path))[0]
    (tmp_path / "a.b.py").touch()
    assert "rename the file" in problem_of(str(tmp_path / "a.b.py"))[0]


def test_a_failed_load_leaves_nothing_behind(tmp_path: Path) -> None:
    before, finders = set(sys.modules), [*sys.meta_path]
    write(tmp_path, desk="import utils\n1 / 0", **NEIGHBOURS)
    with pytest.raises(AppError):
        load(str(tmp_path / "desk.py"))
    assert set(sys.modules) == before
    assert sys.meta_path == finders


def test_the_description_is_json_without_secrets(tmp_path: Path) -> None:
    text = f"""{HEAD}
def instructions(call): return "Be kind."
desk = Agent("desk", instructions=instructions, api_key="sk-very-secret", voice="marin",
             mcp_servers=["files"], handoffs=["bills"])
bills = Agent("bills", instructions="Be exact.")
"""
    write(tmp_path, desk=text)
    described = describe(load(str(tmp_path / "desk.py")))
    assert "very-secret" not in json.dumps(described)
    desk, bills = described
    assert (desk["has_dynamic_instructions"], desk["has_api_key"]) == (True, True)
    assert (desk["mcp_servers"], desk["handoffs"], desk["voice"]) == (["files"], ["bills"], "marin")
    assert (desk["instructions"], bills["instructions"]) == (None, "Be exact.")
    assert (bills["line"], Path(bills["file"]).name) == (6, "desk.py")


def test_a_description_is_bounded(tmp_path: Path) -> None:
    many = "agents = [Agent(f'a{n}', instructions='x' * 1_000_000) for n in range(5)]"
    write(tmp_path, desk=HEAD + many)
    assert "larger than" in problem_of(str(tmp_path / "desk.py"))[0]
    write(tmp_path, desk=f"{HEAD}agents = [Agent(f'a{{n}}') for n in range(101)]")
    assert "at most 100" in problem_of(str(tmp_path / "desk.py"))[0]
    write(tmp_path, desk=f"{HEAD}desk = Agent('desk', skills=['a'] * 201)")
    assert "skills: at most 200" in problem_of(str(tmp_path / "desk.py"))[0]


def test_the_examples_load() -> None:
    for path in sorted((Path(__file__).parents[2] / "examples").glob("*.py")):
        if "Agent(" in path.read_text():
            app, described = load_app(str(path))
            assert isinstance(app, App)
            assert described
