"""Listeners hear everything, and can neither stall nor break the session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from realtime import events as ours
from realtime import listeners
from realtime.events import ModelEvent
from realtime.listeners import ListenedModel
from realtime.model import RealtimeModel, RealtimeModelConfig
from realtime.openai.model import OpenAIRealtimeModel
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.realtime.calls import Call


@pytest_asyncio.fixture
async def call() -> AsyncIterator[Call[FakeSession]]:
    async with FakeRealtimeServer() as server:
        model = ListenedModel(OpenAIRealtimeModel())
        await model.connect(RealtimeModelConfig("m", server.uri, "k"))
        yield Call(model, await server.next_session())
        await model.close()


def model_of(call: Call[FakeSession]) -> ListenedModel:
    assert isinstance(call.model, ListenedModel)
    return call.model


@pytest.mark.asyncio
async def test_plain_and_async_listeners_hear_what_the_consumer_is_given(
    call: Call[FakeSession],
) -> None:
    plain: list[ModelEvent] = []
    later: list[ModelEvent] = []

    async def hear(event: ModelEvent) -> None:
        await asyncio.sleep(0)
        later.append(event)

    model = model_of(call)
    model.add_listener(plain.append)
    model.add_listener(hear)
    await call.alongside(call.session.say(tone(40), "one"), ours.ResponseDone)
    seen = len(call.seen)
    model.remove_listener(plain.append)
    model.remove_listener(later.append)
    await call.alongside(call.session.say(tone(40), "two"), ours.ResponseDone)
    await model.close()
    await model.close()
    assert plain == call.seen[:seen]
    assert later == call.seen
    assert model.dropped_events == 0


@pytest.mark.asyncio
async def test_a_listener_that_never_returns_costs_only_its_own_events(
    call: Call[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MAX_WAITING", 4)
    monkeypatch.setattr(listeners, "CLOSE_TIMEOUT_S", 0.01)

    async def hang(_event: ModelEvent) -> None:
        await asyncio.Event().wait()

    model = model_of(call)
    model.add_listener(hang)
    done = await call.alongside(call.session.say(tone(2000), "long"), ours.ResponseDone)
    assert done.status is ours.ResponseStatus.COMPLETED
    assert len(b"".join(each.pcm for each in call.all_of(ours.AudioDelta))) == len(tone(2000))
    assert model.dropped_events == len(call.seen) - 4 - 1


@pytest.mark.asyncio
async def test_a_failing_listener_is_logged_and_told_the_next_event(
    call: Call[FakeSession], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[type] = []

    def fail(event: ModelEvent) -> None:
        told.append(type(event))
        raise ZeroDivisionError

    model = model_of(call)
    model.add_listener(fail)
    with caplog.at_level(logging.ERROR, "realtime"):
        await call.alongside(call.session.say(tone(20), "hi"), ours.ResponseDone)
        await model.close()
    assert told == [type(event) for event in call.seen]
    assert f"a listener failed at {told[0].__name__}" in caplog.text


def test_it_is_a_model_itself() -> None:
    model: RealtimeModel = ListenedModel(OpenAIRealtimeModel())
    assert model.capabilities.has_tools
