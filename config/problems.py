"""Error texts for settings: variable, problem and remedy of each, all in one report."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

# Put by pydantic before the text of a validator.
_VALUE_ERROR: Final = "Value error, "
_NEAR: Final = 0.85
"""Least similarity of a near miss (difflib ratio): one or two letters may differ."""

# Settings have no prefix, but other projects do it so.
_OWN_PREFIX: Final = "PARLEY_"
_VARIABLE: Final = re.compile(r"\w+")


def describe(problems: Collection[str]) -> str:
    """Return one problem as it is, several as a list under a heading."""
    if len(problems) == 1:
        return next(iter(problems))
    return "\n  ".join([f"{len(problems)} settings are wrong:", *problems])


def field_problems(error: ValidationError, defaults: Mapping[str, Any]) -> dict[str, str]:
    """Return the first problem of each setting by name; "" holds those of several together.

    Values are never repeated.
    """
    found: dict[str, str] = {}
    for one in error.errors(include_input=False, include_url=False):
        name = str(one["loc"][0]) if one["loc"] else ""
        found.setdefault(name, _problem(one["msg"], [*one["loc"]], defaults.get(name)))
    return found


def _problem(message: str, place: list[int | str], default: Any) -> str:
    text = message.removeprefix(_VALUE_ERROR)
    if not place:
        return text
    variable = str(place[0]).upper()
    if len(place) > 1 and isinstance(place[1], int):
        variable = f"{variable}, number {place[1] + 1}"
    if message.startswith(_VALUE_ERROR):
        # A validator's own text, which names the remedy.
        return f"{variable}: {text}"
    wanted = "without it there is none" if default is None else f"without it, it is {default}"
    return f"{variable}: {text[:1].lower()}{text[1:]}; {wanted}"


def with_place(problem: str, places: Mapping[str, str]) -> str:
    """Return `problem`, which begins with a variable, with the place where that one was set."""
    variable = _VARIABLE.match(problem)
    if variable is None or variable[0] not in places:
        return problem
    return f"{variable[0]} ({places[variable[0]]}){problem[variable.end() :]}"


def near_misses(
    environ: Mapping[str, str],
    settings: Collection[str],
    places: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Yield a line for each variable that is not a setting but is spelled almost like one.

    Args:
        settings: Names of all settings, in lower case.
        places: Where variables were set, if not in the process's environment.
    """
    names = {name.upper() for name in settings}
    by_letters = {name.replace("_", ""): name for name in names}
    for variable in sorted(environ):
        if variable in names or not environ[variable].strip():
            continue
        letters = variable.upper().removeprefix(_OWN_PREFIX).replace("_", "")
        close = difflib.get_close_matches(letters, by_letters, n=1, cutoff=_NEAR)
        if close and not environ.get(by_letters[close[0]], "").strip():
            text = f"{variable} is no setting, and not read: is {by_letters[close[0]]} meant?"
            yield with_place(text, places or {})
