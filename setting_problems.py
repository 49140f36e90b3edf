"""What is wrong with settings, said so that it can be mended: variable, problem, remedy; all at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

_VALUE_ERROR: Final = "Value error, "
_NEAR: Final = 0.85
"""How much of a name must be that of a setting: one or two letters may be wrong."""

_OWN_PREFIX: Final = "PARLEY_"


def describe(problems: Collection[str]) -> str:
    """One problem as it is, several as a list."""
    if len(problems) == 1:
        return next(iter(problems))
    return "\n  ".join([f"{len(problems)} settings are wrong:", *problems])


def field_problems(error: ValidationError, defaults: Mapping[str, Any]) -> dict[str, str]:
    """Problem by setting; of a setting only the first. Those of several settings together have the
    name "". Values are not repeated.
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
        # Our own words, which say what to do.
        return f"{variable}: {text}"
    wanted = "without it there is none" if default is None else f"without it, it is {default}"
    return f"{variable}: {text[:1].lower()}{text[1:]}; {wanted}"


def near_misses(environ: Mapping[str, str], settings: Collection[str]) -> Iterator[str]:
    """A line for each variable that is no setting but looks like one that is meant.

    settings: names of all, in small letters
    """
    names = {name.upper() for name in settings}
    by_letters = {name.replace("_", ""): name for name in names}
    for variable in sorted(environ):
        if variable in names or not environ[variable].strip():
            continue
        letters = variable.upper().removeprefix(_OWN_PREFIX).replace("_", "")
        close = difflib.get_close_matches(letters, by_letters, n=1, cutoff=_NEAR)
        if close and not environ.get(by_letters[close[0]], "").strip():
            yield f"{variable} is no setting, and not read: is {by_letters[close[0]]} meant?"
