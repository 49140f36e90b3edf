"""Calls that end by a limit: people are warned, hear a goodbye, and the reason is told."""

from __future__ import annotations

import asyncio

import pytest

from conversation.lifecycle import AgentState, ExitReason
from conversation.limits import CallLimits
from conversation.prices import parse_prices
from tests.fakes.openai_realtime import FakeSession, tone
from tests.loopback.stage import Person, Stage, soon

GOODBYE = "I have to go now. Goodbye."
GOODBYE_MS = 300


async def give_goodbye(session: FakeSession, count: int) -> None:
    """What a model does that is asked for the goodbye."""
    request = await session.wait_for("response.create", count)
    assert GOODBYE in request["response"]["instructions"]
    await session.say(tone(GOODBYE_MS), GOODBYE)


async def expect_goodbye(
    stage: Stage, session: FakeSession, person: Person, reason: ExitReason, *, count: int = 1
) -> None:
    """The goodbye is what the agent asks for as its `count`th reply."""
    heard_ms = person.loud_ms
    await soon(give_goodbye(session, count))
    ended = await person.wait_event("agent_ended")
    assert ended["reason"] == reason.value
    await person.wait_loud(heard_ms + GOODBYE_MS - 40)
    assert await stage.ended() is reason
    assert stage.states[-3:] == [AgentState.DRAINING, AgentState.STOPPING, AgentState.EXITED]


@pytest.mark.asyncio
async def test_the_longest_call_ends_with_a_warning_and_a_goodbye() -> None:
    async with Stage() as stage:
        session = await stage.start(max_duration_s=6, goodbye=GOODBYE)
        person = await stage.join()
        near = await person.wait_event("agent_limit_near")
        assert near["reason"] == "max_duration"
        assert 0 < near["ends_in_ms"] <= 3_000
        await expect_goodbye(stage, session, person, ExitReason.MAX_DURATION)


@pytest.mark.asyncio
async def test_without_a_goodbye_the_agent_just_leaves() -> None:
    async with Stage() as stage:
        session = await stage.start(max_duration_s=4)
        person = await stage.join()
        assert (await person.wait_event("agent_ended"))["reason"] == "max_duration"
        assert await stage.ended() is ExitReason.MAX_DURATION
        assert session.all_of("response.create") == []
        assert AgentState.DRAINING not in stage.states


@pytest.mark.asyncio
async def test_a_user_who_says_nothing_is_warned_and_left() -> None:
    async with Stage() as stage:
        session = await stage.start(limits=CallLimits(idle_timeout_s=4), goodbye=GOODBYE)
        person = await stage.join()
        assert (await person.wait_event("agent_limit_near"))["reason"] == "idle"
        # Somebody speaks after all: the clock starts anew, and so does the warning.
        item_id = await session.speech_started()
        await session.speech_stopped(item_id, "I am here")
        await session.wait_for("response.create")
        await session.say(tone(100), "Good.")
        await person.wait_event("agent_limit_near", 2)
        await expect_goodbye(stage, session, person, ExitReason.IDLE, count=2)


@pytest.mark.asyncio
async def test_a_long_reply_is_not_idleness() -> None:
    async with Stage() as stage:
        session = await stage.start(limits=CallLimits(idle_timeout_s=2))
        person = await stage.join()
        await session.say(tone(3_000), "a long story")
        await person.wait_event("agent_playout_done")
        assert stage.agent is not None
        assert stage.agent.state is AgentState.RUNNING
        assert await stage.ended() is ExitReason.IDLE


@pytest.mark.asyncio
async def test_the_reply_that_spends_the_budget_is_heard_to_its_end_before_the_goodbye() -> None:
    async with Stage() as stage:
        limits = CallLimits(max_tokens=60)
        session = await stage.start(limits=limits, goodbye=GOODBYE)
        person = await stage.join()
        await session.say(tone(200), "one")
        await person.wait_event("agent_playout_done")
        assert stage.agent is not None
        assert (stage.agent.vitals().tokens, stage.agent.vitals().cost) == (30, 0.0)
        await session.say(tone(500), "two")
        await person.wait_event("agent_playout_done", 2)
        await person.wait_loud(660)
        await expect_goodbye(stage, session, person, ExitReason.BUDGET_SPENT)


@pytest.mark.asyncio
async def test_cost_is_counted_by_the_price_table() -> None:
    prices = parse_prices("gpt-realtime-2.1=input:100,output:1000")
    async with Stage() as stage:
        await_cost = 10 / 10_000 + 20 / 1_000
        session = await stage.start(limits=CallLimits(max_cost=2 * await_cost, prices=prices))
        person = await stage.join()
        await session.say(tone(100), "one")
        await person.wait_event("agent_playout_done")
        assert stage.agent is not None
        assert stage.agent.vitals().cost == pytest.approx(await_cost)
        await session.say(tone(100), "two")
        assert await stage.ended() is ExitReason.BUDGET_SPENT


@pytest.mark.asyncio
async def test_a_drained_agent_says_goodbye_even_in_the_middle_of_a_reply() -> None:
    async with Stage() as stage:
        session = await stage.start(goodbye=GOODBYE)
        person = await stage.join()
        saying = asyncio.get_running_loop().create_task(
            session.say(tone(20_000), "a very long story", pace=0.5)
        )
        await person.wait_loud(200)
        assert stage.agent is not None
        stage.agent.stop(ExitReason.DRAINED)
        await person.wait_event("agent_interrupted")
        await soon(saying)
        await expect_goodbye(stage, session, person, ExitReason.DRAINED)


@pytest.mark.asyncio
async def test_a_goodbye_that_does_not_come_keeps_nobody_and_a_stop_ends_it_at_once() -> None:
    async with Stage() as stage:
        session = await stage.start(goodbye=GOODBYE)
        await stage.join()
        assert stage.agent is not None
        stage.agent.stop(ExitReason.DRAINED)
        await session.wait_for("response.create")
        assert stage.agent.state is AgentState.DRAINING
        stage.agent.stop(ExitReason.STOPPED)
        assert await stage.ended() is ExitReason.DRAINED


@pytest.mark.asyncio
async def test_a_stop_says_nothing() -> None:
    async with Stage() as stage:
        session = await stage.start(goodbye=GOODBYE)
        await stage.join()
        assert stage.agent is not None
        stage.agent.stop(ExitReason.STOPPED)
        assert await stage.ended() is ExitReason.STOPPED
        assert session.all_of("response.create") == []
