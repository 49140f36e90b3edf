"""System prompts: templates with `{placeholders}`, skills and memory. Pure.

Trimming rule: the prompt itself always stays whole. Skills follow in the order they are named; a
skill that exceeds the rest of their budget is left out whole, because half an instruction misleads.
Of the memory the newest texts, which come last, are kept, as many as fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MAX_PROMPT_CHARACTERS: Final = 32_000
"""Of a template, and of what becomes of it."""

PLACEHOLDER_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
"""What may stand between braces."""

_PIECE = re.compile(r"\{\{|\}\}|\{([A-Za-z][A-Za-z0-9_]{0,63})\}|[{}]")
_SKILL_HEADING: Final = "# Skill: {}"
_MEMORY_HEADING: Final = "# What you know from before"


class PromptError(ValueError):
    """A template cannot be filled; the text names the placeholder or the position, and the remedy."""


@dataclass(frozen=True, slots=True)
class InstructionsBudget:
    """Most characters that skills and memory may add, headings included."""

    skill_characters: int = 24_000
    memory_characters: int = 4_000


@dataclass(frozen=True, slots=True)
class Instructions:
    """The instructions for the model, and the parts that did not fit.

    left_out: names of skills
    forgotten: number of memory texts
    """

    text: str
    left_out: tuple[str, ...] = ()
    forgotten: int = 0


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace `{name}` by the value of that name, `{{` and `}}` by single braces.

    Values are inserted verbatim: braces in them have no meaning.

    Raises:
        PromptError: a placeholder has no value, a brace is unpaired, or the result is too long.
    """
    pieces: list[str] = []
    length = end = 0
    for match in _PIECE.finditer(template):
        pieces += [template[end : match.start()], _value(match, values)]
        end = match.end()
        length += len(pieces[-2]) + len(pieces[-1])
        # Checked on the way: a short template of many placeholders may become anything but short.
        if length > MAX_PROMPT_CHARACTERS:
            break
    pieces.append(template[end:])
    if length + len(pieces[-1]) > MAX_PROMPT_CHARACTERS:
        raise PromptError(_TOO_LONG)
    return "".join(pieces)


def placeholders(template: str) -> set[str]:
    """Return the names that stand between braces."""
    return {match[1] for match in _PIECE.finditer(template) if match[1] is not None}


_TOO_LONG: Final = (
    f"with its placeholders filled it has more than {MAX_PROMPT_CHARACTERS} characters"
)


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    name = match[1]
    if name is None:
        if len(match[0]) == 2:
            return match[0][0]
        brace = match[0]
        raise PromptError(
            f"the {brace} at character {match.start() + 1} belongs to no placeholder: "
            f"write {brace * 2} for a brace"
        )
    if name not in values:
        known = ", ".join(sorted(values)) or "nothing"
        raise PromptError(f"{{{name}}} has no value: metadata gives {known}")
    return values[name]


def compose(
    prompt: str,
    skills: Mapping[str, str],
    memory: Sequence[str],
    budget: InstructionsBudget | None = None,
) -> Instructions:
    """Return the prompt followed by skills (name -> text) and memory, within the budget."""
    budget = budget or InstructionsBudget()
    skill_parts, left_out = _fitting_skills(skills, budget.skill_characters)
    kept = _newest(memory, budget.memory_characters - len(_MEMORY_HEADING))
    parts = [prompt.strip(), *skill_parts]
    if kept:
        parts.append("\n".join([_MEMORY_HEADING, *(_memory_line(text) for text in kept)]))
    return Instructions("\n\n".join(parts), left_out, len(memory) - len(kept))


def skill_part(name: str, text: str) -> str:
    """Return a skill as it stands in instructions."""
    return f"{_SKILL_HEADING.format(name)}\n{text.strip()}"


def _fitting_skills(
    skills: Mapping[str, str], characters: int
) -> tuple[list[str], tuple[str, ...]]:
    parts, left_out = [], []
    for name, text in skills.items():
        part = skill_part(name, text)
        if len(part) > characters:
            left_out.append(name)
        else:
            parts.append(part)
            characters -= len(part)
    return parts, tuple(left_out)


def _newest(memory: Sequence[str], characters: int) -> list[str]:
    kept: list[str] = []
    for text in reversed(memory):
        characters -= len(_memory_line(text)) + 1
        if characters < 0:
            break
        kept.insert(0, text)
    return kept


def _memory_line(text: str) -> str:
    """Return the text as one line, so that it cannot look like a heading."""
    return f"- {' '.join(text.split())}"
