"""The order in which the parts of a session react to one model event."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, auto

from session.context import Handler, Handlers


class Stage(IntEnum):
    """A part's place: the handlers of one event run in this order.

    Each stage may rely on those before it. `GUARDRAIL` cuts a reply before `REPLY` publishes the
    words that break a rule; `OWNER` begins the checks of the agent's owner, which end later;
    `CHAT_ROOM_INPUT` and `SPEAKER_NOTES` know of a turn before `TURN` has it answered, and
    `CHAT_ROOM` its words as `TURN` has judged them; `TURN` and later read the turn state that
    `REPLY` has set; `TOOLS` asks
    for a follow-up after the response is closed; measurements and `GOODBYE` see the final state.
    """

    CONNECTION = auto()
    FORWARDING = auto()
    GUARDRAIL = auto()
    OWNER = auto()
    REPLY = auto()
    CHAT_ROOM_INPUT = auto()
    SPEAKER_NOTES = auto()
    TURN = auto()
    CHAT_ROOM = auto()
    TOOLS = auto()
    VITALS = auto()
    METRICS = auto()
    LIMITS = auto()
    IDLE_PROMPTS = auto()
    SOUNDS = auto()
    GOODBYE = auto()


StagedHandlers = Sequence[tuple[Stage, Handlers]]


def handlers_by_event(staged: StagedHandlers) -> dict[type, list[Handler]]:
    """Merge the parts' handlers: for each event class those of all stages, in stage order.

    Raises:
        ValueError: two parts claim one stage, so that their order would be undefined.
    """
    stages = [stage for stage, _ in staged]
    if len(set(stages)) < len(stages):
        raise ValueError("two parts of a session have the same stage")
    merged: dict[type, list[Handler]] = {}
    for _, handlers in sorted(staged, key=lambda each: each[0]):
        for event_type, handler in handlers.items():
            merged.setdefault(event_type, []).append(handler)
    return merged
