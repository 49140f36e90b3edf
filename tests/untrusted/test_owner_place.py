"""File and line at which an owner looks for an error."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools import ToolContext
from untrusted.owner_place import error_place, function_place


def raised_by(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - what any function raises
        return error
    raise AssertionError


def parse(text: str = "{") -> Any:
    return json.loads(text)


def test_the_innermost_line_of_an_owner_counts_not_that_of_a_library() -> None:
    assert error_place(raised_by(parse)) == "untrusted/test_owner_place.py:26"


def test_a_line_of_ours_is_not_an_owners() -> None:
    def misuse() -> None:
        ToolContext().register_function("bad name", "", parse)

    assert error_place(raised_by(misuse)).startswith("untrusted/test_owner_place.py:")


def test_a_file_anywhere_is_an_owners(tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    code = compile("\n\ndef fail():\n    raise LookupError\n", str(file), "exec")
    space: dict[str, Any] = {}
    exec(code, space)
    assert error_place(raised_by(space["fail"])) == f"{tmp_path.name}/orders.py:4"
    assert function_place(space["fail"]) == f"{tmp_path.name}/orders.py:3"


@pytest.mark.parametrize(
    "function", [parse, functools.partial(parse, "{"), functools.wraps(parse)(lambda: 1)]
)
def test_a_function_is_found_behind_its_wrappers(function: Callable[..., Any]) -> None:
    assert function_place(function) == "untrusted/test_owner_place.py:25"


def test_what_has_no_line_has_no_place() -> None:
    assert function_place(len) == ""
    assert error_place(LookupError()) == ""
