"""Engines of the owner's own, by dotted name. Names come from settings and definitions only."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from speech.engines.protocols import RecogniserEngine, VoiceEngine
from speech.errors import SpeechError


def is_dotted_name(engine: str) -> bool:
    """Return true for `package.module:function`."""
    return ":" in engine


def create_own_recogniser(name: str) -> RecogniserEngine:
    """Call the function `name`, which returns a `Recogniser` or a `RecogniserEngine`.

    Raises:
        SpeechError: in one line, why that is impossible.
    """
    made = _call(name)
    if isinstance(made, RecogniserEngine):
        return made
    if not callable(getattr(made, "transcribe", None)):
        raise SpeechError(f"{name} returned no recogniser: an object with `transcribe` is needed")
    return RecogniserEngine(made, name.rpartition(":")[2])


def create_own_voices(name: str) -> VoiceEngine:
    """Call the function `name`, which returns a `Voice` or a `VoiceEngine`.

    Raises:
        SpeechError: in one line, why that is impossible.
    """
    made = _call(name)
    if isinstance(made, VoiceEngine):
        return made
    if not callable(getattr(made, "synthesise", None)) or not hasattr(made, "sample_rate_hz"):
        raise SpeechError(
            f"{name} returned no voice: an object with `synthesise` and `sample_rate_hz` is needed"
        )
    return VoiceEngine.of(made, name.rpartition(":")[2])


def _call(name: str) -> Any:
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
        made = function()
    except Exception as error:
        # Foreign code may raise anything; the process says so in one line and ends.
        reason = (str(error).splitlines() or [""])[0][:200]
        raise SpeechError(
            f"{name} could not be called ({type(error).__name__}: {reason})"
        ) from error
    if inspect.iscoroutine(made):
        made.close()
        raise SpeechError(f"{name} must be a plain function, not a coroutine")
    return made
