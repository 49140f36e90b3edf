"""Length of a silence after which no turn detection waits for more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MARGIN_S: Final = 0.3
LEAST_S: Final = 1.0
DEFAULT_S: Final = 1.5
"""For a provider's own default: those that state one end a turn after 0.5 to 0.8 s."""
_SEMANTIC_S: Final = {"low": 8.0, "medium": 4.0, "auto": 4.0, "high": 2.0}
"""By eagerness: the longest that OpenAI's semantic detection waits for a speaker to go on."""
_LONGEST_S: Final = 8.0


def settled_after_s(detection: Mapping[str, Any] | bool | None) -> float | None:
    """The length of a silence after which every turn before it is over, with a margin.

    detection: the provider's turn detection, as in `realtime.model.ModelSettings`

    Returns None where turns are ended by hand: any silence may be the last of one.
    """
    if detection is False:
        return None
    if not isinstance(detection, Mapping):
        return DEFAULT_S
    ends_ms = detection.get("silence_duration_ms")
    if isinstance(ends_ms, int | float):
        return max(LEAST_S, ends_ms / 1000 + MARGIN_S)
    if detection.get("type") in (None, "server_vad"):
        return DEFAULT_S
    return _SEMANTIC_S.get(str(detection.get("eagerness", "auto")), _LONGEST_S) + MARGIN_S
