"""What a turn is found to have been, from sound and events with their times."""

from __future__ import annotations

from typing import Any, cast

import pytest

from scenarios.caller import Caller
from scenarios.microphone import Utterance
from scenarios.reply_log import ReplyLog
from scenarios.results import TurnResult
from scenarios.sound import HeardSound
from scenarios.windows import Timeline, Window
from tests.rtc.sound import tone

ORIGIN_S = 100.0


class _Person:
    """As much of a caller as a window looks at."""

    def __init__(self, *loud: tuple[float, float]) -> None:
        """loud: from when to when the agent sounds, in seconds since the origin"""
        self.name, self.uid = "ann", 101
        self.heard, self.log = HeardSound(), ReplyLog()
        self.events: list[tuple[float, dict[str, Any]]] = []
        for frame in range(500):
            at_s = frame * 0.02
            is_loud = any(begin <= at_s < end - 0.001 for begin, end in loud)
            pcm = tone(440, 0.02, 24_000) if is_loud else bytes(960)
            self.heard.add(pcm, ORIGIN_S + at_s)


def _result(person: _Person, spoke: tuple[float, float] | None = None, **fields: Any) -> TurnResult:
    window = Window(1, "say", cast("Caller", person), ORIGIN_S + 1.0, "hi", ORIGIN_S + 9.0)
    if spoke is not None:
        window.utterance = Utterance(b"", "hi", ORIGIN_S + spoke[0], ORIGIN_S + spoke[1])
    for name, value in fields.items():
        setattr(window, name, value)
    return Timeline(ORIGIN_S, [window]).result(window)


def test_the_latency_is_from_the_last_sound_to_the_first_one_of_the_answer() -> None:
    result = _result(_Person((3.0, 4.0)), spoke=(1.0, 2.4))
    assert result.latency_ms == pytest.approx(600, abs=25)
    assert result.heard_ms == pytest.approx(1000, abs=25)
    assert result.sounded_to_ms == pytest.approx(4000, abs=25)
    assert (result.spoke_over_agent, result.silent_after_ms, result.overlap_ms) == (False, None, 0)


def test_who_speaks_over_the_agent_meets_its_silence() -> None:
    result = _result(_Person((1.0, 3.4), (5.0, 6.0)), spoke=(3.0, 4.0))
    assert result.spoke_over_agent
    assert result.silent_after_ms == pytest.approx(400, abs=25)
    assert result.overlap_ms == 0
    assert result.latency_ms == pytest.approx(1000, abs=25)


def test_an_agent_that_goes_on_overlaps_and_has_no_latency() -> None:
    result = _result(_Person((1.0, 9.0)), spoke=(3.0, 6.0))
    assert result.silent_after_ms is None
    assert result.overlap_ms == pytest.approx(2000, abs=45)
    assert result.latency_ms is None


def test_an_agent_that_begins_while_the_person_speaks_overlaps_at_once() -> None:
    result = _result(_Person((2.0, 3.0)), spoke=(1.5, 4.0))
    assert not result.spoke_over_agent
    assert result.overlap_ms == pytest.approx(1000, abs=25)


def test_a_text_has_a_latency_from_its_sending() -> None:
    assert _result(_Person((3.0, 4.0)), acted_s=ORIGIN_S + 2.0).latency_ms == pytest.approx(
        1000, abs=25
    )
    assert _result(_Person((9.2, 9.4)), acted_s=ORIGIN_S + 2.0).latency_ms is None


def test_words_and_interruptions_of_other_times_are_of_other_turns() -> None:
    person = _Person()
    person.log.understood = [
        *((ORIGIN_S + 0.5, "before", 101), (ORIGIN_S + 2, "mine", 101)),
        *((ORIGIN_S + 3, "", None), (ORIGIN_S + 4, "of ben", 102)),
    ]
    person.log.interruptions = [ORIGIN_S + 0.9, ORIGIN_S + 9.5]
    result = _result(person)
    assert (result.understood, result.was_interrupted) == ("mine", False)
