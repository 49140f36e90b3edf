"""Variables of the process and of its `.env` file."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.environment import MAX_ENV_FILE_BYTES, read_environment
from config.settings import ConfigError, Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_file_there_is_the_environment_alone() -> None:
    environment = read_environment({"PATH": "/bin"})
    assert environment.variables == {"PATH": "/bin"}
    assert not environment.problems


def test_values_are_literal_and_quoted_as_other_tools_quote_them(folder: Path) -> None:
    (folder / ".env").write_bytes(
        b"\xef\xbb\xbfA=$HOME-${PATH}\r\n"
        b"B=two words # a comment\n"
        b"C='single $A \\d'\n"
        b'D="double\\nline"\n'
        b"export E=1\n"
        b"F=\n"
        b"G=a#b\n"
        b"A_B = spaced\n"
    )
    environment = read_environment({})
    assert environment.variables == {
        "A": "$HOME-${PATH}",
        "B": "two words",
        "C": "single $A \\d",
        "D": "double\nline",
        "E": "1",
        "F": "",
        "G": "a#b",
        "A_B": "spaced",
    }
    assert not environment.problems


def test_the_environment_goes_first_even_when_it_says_nothing(folder: Path) -> None:
    (folder / ".env").write_text("A=file\nB=file\nC=file\n")
    environment = read_environment({"A": "mine", "B": ""})
    assert environment.variables == {"A": "mine", "B": "", "C": "file"}
    assert environment.from_file == {"C": "file"}
    assert environment.places == {"C": ".env, line 3"}


def test_another_file_or_none_may_be_named(folder: Path) -> None:
    (folder / ".env").write_text("A=usual")
    (folder / "other.env").write_text("A=other")
    assert read_environment({"PARLEY_ENV_FILE": "other.env"}).variables["A"] == "other"
    assert "A" not in read_environment({"PARLEY_ENV_FILE": ""}).variables
    (problem,) = read_environment({"PARLEY_ENV_FILE": "missing.env"}).problems
    assert problem == "PARLEY_ENV_FILE: there is no file missing.env"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"A=\xff", "not UTF-8"),
        (b"A=" + b"x" * MAX_ENV_FILE_BYTES, "larger than"),
        (None, "directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_with_its_remedy(
    folder: Path, data: bytes | None, words: str
) -> None:
    if data is None:
        (folder / ".env").mkdir()
    else:
        (folder / ".env").write_bytes(data)
    environment = read_environment({})
    (problem,) = environment.problems
    assert words in problem
    assert "PARLEY_ENV_FILE" in problem
    with pytest.raises(ConfigError, match=words):
        Settings.from_env(environment.variables, problems=environment.problems)


def test_lines_that_are_no_variables_are_named_by_their_number(folder: Path) -> None:
    (folder / ".env").write_text("A=1\n\n\n=secret\nB='open\nC=2\nsecret\n")
    environment = read_environment({})
    assert environment.variables == {"A": "1", "C": "2"}
    assert [problem.partition(":")[0] for problem in environment.problems] == [
        ".env, line 4",
        ".env, line 5",
        ".env, line 7",
    ]
    assert "secret" not in "".join(environment.problems)
