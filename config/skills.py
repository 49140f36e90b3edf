"""Skills: texts in `SKILLS_DIR` that a start selects by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from config.settings import ConfigError

SKILL_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MAX_SKILL_CHARACTERS: Final = 8_000
MAX_SKILLS: Final = 256

_ENDINGS: Final = (".md", ".txt")


def load_skills(folder: Path | None) -> dict[str, str]:
    """Return the text of each `.md` and `.txt` file by its stem; other files are ignored.

    Files are read once, so that a name in a request never becomes a path.

    Raises:
        ConfigError: The folder or a file cannot be used; the text gives the reason.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ConfigError(f"SKILLS_DIR: {folder} is no folder")
    skills: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in _ENDINGS and path.is_file():
            _register(skills, path)
    return skills


def _register(skills: dict[str, str], path: Path) -> None:
    name = path.stem
    if re.fullmatch(SKILL_PATTERN, name) is None:
        raise ConfigError(
            f"SKILLS_DIR: {path.name}: name it with a-z, 0-9, - and _, at most 64 characters"
        )
    if name in skills:
        raise ConfigError(f"SKILLS_DIR: there are two files for the skill {name}")
    if len(skills) == MAX_SKILLS:
        raise ConfigError(f"SKILLS_DIR: more than {MAX_SKILLS} skills")
    skills[name] = _read(path)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_SKILL_CHARACTERS + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"SKILLS_DIR: {path.name} cannot be read as UTF-8 text") from error
    if not 0 < len(text) <= MAX_SKILL_CHARACTERS:
        limit = MAX_SKILL_CHARACTERS
        raise ConfigError(f"SKILLS_DIR: {path.name}: needs 1 to {limit} characters")
    return text
