"""Sound files: found by name in our folder, the app's and `SOUNDS_DIR`, and decoded once.

A name in a request is looked up in a listing and never becomes a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from audio import Resampler, read_wav
from config.settings import AgentConfigError, ConfigError, Settings
from config.sounds import SOUND_PATTERN, Sounds
from line.sounds.clip import Clip, Samples, amplitude, seamless

SHIPPED: Final = Path(__file__).parent.parent / "parley" / "sounds"
APP_FOLDER: Final = "sounds"
"""Folder beside the owner's file, or in the owner's folder."""

MAX_SOUNDS: Final = 100
MAX_SOUND_S: Final = 120.0
MAX_TOTAL_S: Final = 600.0
"""Of one folder: 29 MB of memory, which all agents share."""

RATE_HZ: Final = 24_000
"""Of decoded sounds: that of nearly every model's voice."""


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A decoded file. loop: its samples with the end blended into the beginning"""

    samples: Samples
    loop: Samples


# By path: filled before agents are forked, so that their processes share it.
_decoded: dict[Path, SoundFile] = {}
# Of lines with another rate, by path, rate and whether it is the loop.
_resampled: dict[tuple[Path, int, bool], Samples] = {}


def sound_folders(settings: Settings) -> tuple[Path, ...]:
    """Return the folders that are searched, the first one first."""
    folders = []
    if settings.sounds_dir is not None:
        folders.append(settings.sounds_dir.absolute())
    if settings.app is not None:
        app = Path(settings.app.strip())
        beside = app / APP_FOLDER if app.is_dir() else app.parent / APP_FOLDER
        if app.exists() and beside.is_dir():
            folders.append(beside.absolute())
    return (*folders, SHIPPED)


def sound_paths(folders: Iterable[Path]) -> dict[str, Path]:
    """Return the path of each sound by its name; of two of one name that of the first folder.

    Raises:
        ConfigError: A folder cannot be read, or a file is misnamed.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        try:
            paths = sorted(each for each in folder.iterdir() if each.suffix.lower() == ".wav")
        except OSError as error:
            raise ConfigError(f"sounds: {folder} cannot be read: {error.strerror}") from error
        if len(paths) > MAX_SOUNDS:
            raise ConfigError(f"sounds: {folder} has more than {MAX_SOUNDS} files")
        for path in paths:
            if re.fullmatch(SOUND_PATTERN, path.stem) is None:
                text = "name it with a-z, 0-9, - and _, at most 64 characters, and .wav"
                raise ConfigError(f"sounds: {path}: {text}")
            found.setdefault(path.stem, path)
    return found


def load_sounds(folders: Sequence[Path]) -> None:
    """Decode all that is not decoded yet.

    Raises:
        ConfigError: A folder or a file cannot be used; the text names it and the reason.
    """
    total_s = 0.0
    for path in sound_paths(folders).values():
        if path not in _decoded:
            _decoded[path] = _read(path)
        total_s += len(_decoded[path].samples) / RATE_HZ
        if total_s > MAX_TOTAL_S:
            raise ConfigError(f"sounds: {path}: more than {MAX_TOTAL_S:g} s of sound in all")


def _read(path: Path) -> SoundFile:
    try:
        pcm = read_wav(path, RATE_HZ)
    except OSError as error:
        raise ConfigError(f"sounds: {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"sounds: {error}") from error
    samples = np.frombuffer(pcm, np.int16)
    if len(samples) > MAX_SOUND_S * RATE_HZ:
        raise ConfigError(f"sounds: {path}: longer than {MAX_SOUND_S:g} s")
    return SoundFile(samples, seamless(samples, RATE_HZ))


def require_sounds(settings: Settings, sounds: Sounds | None) -> None:
    """Refuse a choice of sounds that the server does not have.

    Raises:
        AgentConfigError: A name is unknown.
    """
    names = set() if sounds is None else sounds.sound_names()
    if not names:
        return
    known = sound_paths(sound_folders(settings))
    if unknown := sorted(names - known.keys()):
        text = f"sounds: {', '.join(unknown)}: unknown, known are {', '.join(sorted(known))}"
        raise AgentConfigError(text, code="unknown_sound")


def find_clip(
    folders: Sequence[Path],
    name: str,
    sample_rate_hz: int,
    *,
    level_db: float,
    is_loop: bool = False,
) -> Clip:
    """Return a sound for a line of this rate; decoded now only if no parent process has done so.

    Raises:
        ConfigError: It is gone, or cannot be read.
    """
    path = sound_paths(folders).get(name)
    if path is None:
        raise ConfigError(f"sounds: {name} is gone")
    if path not in _decoded:
        _decoded[path] = _read(path)
    samples = _decoded[path].loop if is_loop else _decoded[path].samples
    if sample_rate_hz != RATE_HZ:
        key = (path, sample_rate_hz, is_loop)
        if key not in _resampled:
            _resampled[key] = _converted(samples, sample_rate_hz)
        samples = _resampled[key]
    return Clip(samples, amplitude(level_db), is_loop)


def _converted(samples: Samples, sample_rate_hz: int) -> Samples:
    resampler = Resampler(RATE_HZ, sample_rate_hz)
    pcm = resampler.push(samples.tobytes()) + resampler.flush()
    return np.frombuffer(pcm, np.int16)
