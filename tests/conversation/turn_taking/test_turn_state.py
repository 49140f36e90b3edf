"""Whose turn it is."""

from __future__ import annotations

from conversation.turn_taking.turn_state import Turns, TurnState


def test_a_turn_from_speech_to_playout() -> None:
    turns = Turns()
    seen = [turns.state]
    for step in (
        turns.speech_started,
        turns.speech_stopped,
        lambda: turns.response_created("r1"),
        lambda: turns.playout_started("r1"),
        lambda: turns.response_done("r1"),
        lambda: turns.playout_ended("r1"),
    ):
        step()
        seen.append(turns.state)
    assert seen == [
        TurnState.IDLE,
        TurnState.USER_SPEAKING,
        TurnState.IDLE,
        TurnState.THINKING,
        TurnState.AGENT_SPEAKING,
        TurnState.AGENT_SPEAKING,
        TurnState.IDLE,
    ]


def test_a_cut_silences_the_reply_in_the_making_and_the_audible_ones() -> None:
    turns = Turns()
    turns.response_created("made")
    turns.playout_started("heard")
    turns.cut(["heard"])
    assert turns.is_cut("made")
    assert turns.is_cut("heard")
    assert not turns.is_cut("next")
    assert turns.state is TurnState.THINKING  # the provider still generates, unheard


def test_an_old_response_that_ends_late_does_not_end_the_new_one() -> None:
    turns = Turns()
    turns.response_created("old")
    turns.response_created("new")
    turns.response_done("old")
    assert turns.active_response == "new"


def test_cuts_are_forgotten_in_order_not_without_end() -> None:
    turns = Turns()
    for number in range(300):
        turns.cut([f"r{number}"])
    assert not turns.is_cut("r0")
    assert turns.is_cut("r299")
