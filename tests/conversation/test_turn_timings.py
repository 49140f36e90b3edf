"""The steps of a turn, whatever order their signs come in."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from conversation.turn_timings import TurnClock, TurnTimings


def spoken(clock: TurnClock, item_id: str = "i1", *, at_s: float = 10.0) -> None:
    """A second of speech until `at_s`; the provider reports its end half a second later."""
    clock.voice_started()
    clock.voice_stopped(at_s)
    assert clock.turn_ended(item_id, at_s + 0.5) is None


def test_all_steps_of_a_turn() -> None:
    clock = TurnClock()
    spoken(clock)
    assert clock.turn_ended("i1", 10.6) is None  # committed: the same turn
    clock.response_created("r1", 10.7)
    clock.model_spoke("r1", 10.8)
    clock.model_spoke("r1", 10.9)
    assert clock.playout_started("r1", 10.85, heard_after_ms=40.0) == TurnTimings(
        turn=1,
        speech_end_to_endpoint_ms=500.0,
        endpoint_to_first_byte_ms=300.0,
        first_byte_to_first_audio_ms=50.0,
        first_audio_to_heard_ms=40.0,
    )
    assert clock.playout_started("r1", 11.0) is None, "told once"


def test_a_pause_within_a_turn_is_not_its_end() -> None:
    clock = TurnClock()
    clock.voice_started()
    clock.voice_stopped(8.0)
    clock.voice_started()
    clock.voice_stopped(10.0)
    clock.turn_ended("i1", 10.5)
    clock.response_created("r1", 10.5)
    clock.model_spoke("r1", 10.6)
    told = clock.playout_started("r1", 10.6)
    assert told is not None
    assert told.speech_end_to_endpoint_ms == 500.0


def test_a_provider_that_is_quicker_than_the_local_ear() -> None:
    clock = TurnClock()
    clock.voice_started()
    clock.turn_ended("i1", 10.05)
    clock.voice_stopped(10.0)
    clock.response_created("r1", 10.1)
    clock.model_spoke("r1", 10.1)
    told = clock.playout_started("r1", 10.1)
    assert told is not None
    assert told.speech_end_to_endpoint_ms == 50.0


def test_a_tool_belongs_to_the_reply() -> None:
    clock = TurnClock()
    spoken(clock)
    clock.response_created("call", 10.6)
    clock.model_spoke("call", 10.7)
    clock.response_created("answer", 11.7)
    clock.model_spoke("answer", 11.8)
    told = clock.playout_started("answer", 11.9)
    assert told is not None
    assert told.endpoint_to_first_byte_ms == 200.0
    assert told.first_byte_to_first_audio_ms == 1200.0


def test_a_turn_ended_by_hand_is_the_one_that_the_provider_names_later() -> None:
    clock = TurnClock()
    assert clock.turn_ended(None, 10.0) is None
    assert clock.turn_ended("i1", 10.1) is None
    clock.response_created("r1", 10.2)
    clock.model_spoke("r1", 10.2)
    told = clock.playout_started("r1", 10.2)
    assert told == TurnTimings(
        turn=1, endpoint_to_first_byte_ms=200.0, first_byte_to_first_audio_ms=0.0
    )


def test_what_was_written_has_no_end_of_speech() -> None:
    clock = TurnClock()
    clock.voice_started()
    clock.voice_stopped(9.0)
    clock.turn_written(10.0)
    clock.response_created("r1", 10.1)
    clock.model_spoke("r1", 10.1)
    told = clock.playout_started("r1", 10.2)
    assert told is not None
    assert told.speech_end_to_endpoint_ms is None
    assert told.total_ms == 200.0


def test_a_greeting_and_noise_are_no_turns() -> None:
    clock = TurnClock()
    clock.response_created("greeting", 1.0)
    clock.model_spoke("greeting", 1.1)
    assert clock.playout_started("greeting", 1.2) is None
    spoken(clock, "cough")
    clock.turn_dropped("cough")
    clock.response_created("remark", 11.0)
    clock.model_spoke("remark", 11.0)
    assert clock.playout_started("remark", 11.0) is None


def test_a_reply_given_up_before_it_was_heard_is_told_with_the_next_turn() -> None:
    clock = TurnClock()
    spoken(clock)
    clock.response_created("r1", 10.6)
    clock.model_spoke("r1", 10.8)
    unheard = clock.turn_ended("i2", 12.0)
    assert unheard == TurnTimings(
        turn=1, speech_end_to_endpoint_ms=500.0, endpoint_to_first_byte_ms=300.0
    )


def test_a_reply_that_goes_on_after_a_turn_is_not_its_answer() -> None:
    clock = TurnClock()
    clock.response_created("old", 9.0)
    spoken(clock)
    clock.model_spoke("old", 10.6)
    assert clock.playout_started("old", 10.7) is None


def test_what_is_said_much_later_is_no_answer() -> None:
    clock = TurnClock()
    spoken(clock)
    clock.response_created("late", 60.0)
    clock.model_spoke("late", 60.0)
    assert clock.playout_started("late", 60.0) is None


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["voice_on", "voice_off", "end", "hand", "written", "drop", "created", "spoke", "play"]
        ),
        st.sampled_from(["a", "b", "c"]),
        st.floats(0, 2),
    ),
    max_size=60,
)


def _do(clock: TurnClock, what: str, name: str, now_s: float) -> TurnTimings | None:
    steps: dict[str, Callable[[], TurnTimings | None]] = {
        "voice_on": clock.voice_started,
        "voice_off": lambda: clock.voice_stopped(now_s),
        "end": lambda: clock.turn_ended(name, now_s),
        "hand": lambda: clock.turn_ended(None, now_s),
        "written": lambda: clock.turn_written(now_s),
        "drop": lambda: clock.turn_dropped(name),
        "created": lambda: clock.response_created(name, now_s),
        "spoke": lambda: clock.model_spoke(name, now_s),
        "play": lambda: clock.playout_started(name, now_s),
    }
    return steps[what]()


@given(_STEPS)
def test_no_order_of_signs_gives_a_negative_time_or_skips_a_number(
    steps: list[tuple[str, str, float]],
) -> None:
    clock, now_s, told = TurnClock(), 0.0, []
    for what, name, pause_s in steps:
        now_s += pause_s
        told.append(_do(clock, what, name, now_s))
    turns = [each for each in told if each is not None]
    assert [each.turn for each in turns] == list(range(1, len(turns) + 1))
    for each in turns:
        times = [value for key, value in each.model_dump().items() if key != "turn"]
        assert all(value is None or value >= 0 for value in times)
