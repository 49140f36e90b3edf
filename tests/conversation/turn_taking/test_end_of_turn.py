"""After which silence no turn detection waits any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from conversation.turn_taking.end_of_turn import settled_after_s


@pytest.mark.parametrize(
    ("detection", "after_s"),
    [
        (None, 1.5),
        (True, 1.5),
        ({"type": "server_vad"}, 1.5),
        ({"type": "server_vad", "silence_duration_ms": None}, 1.5),
        ({"type": "server_vad", "silence_duration_ms": 200}, 1.0),
        ({"type": "server_vad", "silence_duration_ms": 2000}, 2.3),
        ({"type": "semantic_vad"}, 4.3),
        ({"type": "semantic_vad", "eagerness": "high"}, 2.3),
        ({"type": "semantic_vad", "eagerness": "low"}, 8.3),
        ({"type": "smart_turn", "eagerness": 5}, 8.3),
    ],
)
def test_the_silence_that_ends_a_turn_is_over_with_a_margin(
    detection: Mapping[str, Any] | bool | None, after_s: float
) -> None:
    assert settled_after_s(detection) == pytest.approx(after_s)


def test_turns_that_are_ended_by_hand_may_end_in_any_silence() -> None:
    assert settled_after_s(False) is None
