"""In what DashScope's realtime model families differ on the wire: a table by model name. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final


@dataclass(frozen=True, slots=True)
class QwenFamily:
    """One family.

    transcription_model: writes the user's words down
    turn_detections: the kinds it has; the first is its own default
    has_nested_audio: formats and voice are within `audio`, and may not be given flat
    has_finish: `session.finish` is answered before the socket is closed
    has_sampling: temperature and the like can be set
    """

    transcription_model: str = "qwen3-asr-flash-realtime"
    turn_detections: tuple[str, ...] = ("server_vad",)
    has_nested_audio: bool = False
    has_finish: bool = True
    has_sampling: bool = True


_OMNI: Final = QwenFamily()
_OMNI_3_5: Final = replace(_OMNI, turn_detections=("server_vad", "semantic_vad"))

_TABLE: Final = (
    (
        "qwen-omni-turbo*",
        replace(_OMNI, transcription_model="gummy-realtime-v1", has_sampling=False),
    ),
    ("qwen3-omni-flash*", replace(_OMNI, transcription_model="gummy-realtime-v1")),
    ("qwen3.8-omni*", replace(_OMNI_3_5, has_nested_audio=True)),
    ("qwen-audio*", replace(_OMNI, turn_detections=("smart_turn", "server_vad"), has_finish=False)),
    ("*livetranslate*", _OMNI),
    ("*", _OMNI_3_5),
)


def family_of(model: str) -> QwenFamily:
    """The family that `model` belongs to; names we do not know count as the current one."""
    return next(family for pattern, family in _TABLE if fnmatchcase(model, pattern))
