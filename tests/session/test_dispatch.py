"""The order in which the parts of a session react."""

from __future__ import annotations

import random
from typing import Any, get_args

import pytest

from realtime import events as model
from session.context import Handlers
from session.dispatch import Stage, handlers_by_event
from session.guardrail_enforcer import GuardrailEnforcer
from session.reply_output import ReplyOutput
from session.session import IGNORED_EVENTS
from tests.session.running import RunningSession
from tools import ToolContext


@pytest.mark.asyncio
async def test_handlers_run_by_stage_whatever_their_order_in_the_list() -> None:
    ran: list[Stage] = []

    def handlers_of(stage: Stage) -> Handlers:
        async def handle(_event: object) -> None:
            ran.append(stage)

        return {model.ResponseDone: handle}

    staged = [(stage, handlers_of(stage)) for stage in Stage]
    random.Random(7).shuffle(staged)
    for handler in handlers_by_event(staged)[model.ResponseDone]:
        await handler(model.ResponseDone("r", model.ResponseStatus.COMPLETED))
    assert ran == list(Stage)


def test_two_parts_cannot_have_one_stage() -> None:
    with pytest.raises(ValueError, match="same stage"):
        handlers_by_event([(Stage.REPLY, {}), (Stage.REPLY, {})])


@pytest.mark.asyncio
async def test_a_guardrail_sees_words_before_they_are_published() -> None:
    rules = ({"name": "secrets", "pattern": "secret"},)
    async with RunningSession(ToolContext(), guardrails=rules) as running:
        handlers: list[Any] = list(running.session.handlers[model.TranscriptDelta])
        owners = [type(handler.__self__) for handler in handlers]
    assert owners.index(GuardrailEnforcer) < owners.index(ReplyOutput)


@pytest.mark.asyncio
async def test_every_model_event_is_handled_or_ignored_on_purpose() -> None:
    async with RunningSession(ToolContext(), guardrails=()) as running:
        handled = set(running.session.handlers)
    assert handled | IGNORED_EVENTS == set(get_args(model.ModelEvent))
    assert not handled & IGNORED_EVENTS
