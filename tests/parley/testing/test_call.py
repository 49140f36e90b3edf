"""`parley.testing`: people, a scripted model and virtual time."""

from __future__ import annotations

import asyncio
import time

import pytest

from conversation.events import server_events as out
from conversation.lifecycle import AgentStartError
from parley import Agent, testing
from parley.testing import ScriptedModel, Step, Wait, fails, says, writes
from realtime import events as model
from realtime.model import ModelConnectError
from tests.fakes.openai_session import tone

pytestmark = pytest.mark.asyncio

AGENT = Agent("helper", instructions="Be brief.")
STORY = "one two three four five six seven eight nine ten eleven twelve"


async def test_a_question_is_answered() -> None:
    async with testing.call(AGENT, [says("It ships today.")]) as call:
        await call.says("Where is my order?")
        assert call.said == call.heard == ["It ships today."]
        assert [(turn.role, turn.text, turn.is_cut) for turn in call.transcript] == [
            ("user", "Where is my order?", False),
            ("assistant", "It ships today.", False),
        ]
        assert call.model.instructions == "Be brief."


async def test_a_long_call_takes_no_time() -> None:
    began_s, began_loop_s = time.perf_counter(), asyncio.get_running_loop().time()
    async with testing.call(AGENT, otherwise_says("yes " * 40)) as call:
        for _ in range(5):
            await call.says("Tell me more.")
        assert asyncio.get_running_loop().time() - began_loop_s > 50
    assert time.perf_counter() - began_s < 5
    # Real again.
    await asyncio.sleep(0.01)
    assert time.perf_counter() - began_s >= 0.01


def otherwise_says(text: str) -> ScriptedModel:
    return ScriptedModel(otherwise=says(text))


async def test_a_greeting_is_said_as_it_is() -> None:
    agent = Agent("helper", greeting="Good morning!")
    async with testing.call(agent) as call:
        await call.quiet()
        assert call.heard == ["Good morning!"]
        # 60 ms a character.
        assert len(call.played) >= 13 * 60 * 48


async def test_what_was_heard_before_an_interruption_is_exact() -> None:
    async with testing.call(AGENT, [says(STORY), says("Sure.")]) as call:
        await call.says("Count.", wait=False)
        await call.until_speaking()
        await call.passes(1.0)
        await call.says("Please stop that now.")
        (interrupted,) = call.all_events(out.AgentInterrupted)
        (truncated,) = call.model.all_sent("truncate")
        assert truncated.audio_end_ms == interrupted.audio_end_ms
        assert 1000 <= interrupted.audio_end_ms <= 1200
        assert call.heard == [interrupted.heard, "Sure."]
        assert STORY.startswith(interrupted.heard)


async def test_a_noise_does_not_interrupt() -> None:
    async with testing.call(AGENT, [says(STORY)]) as call:
        await call.says("Count.", wait=False)
        await call.until_speaking()
        await call.passes(0.5)
        item_id = await call.starts_speaking()
        await call.passes(0.2)
        await call.stops_speaking(item_id, "")
        assert call.heard == [STORY]
        assert call.all_events("agent_paused")
        assert call.all_events("agent_resumed")


async def test_sound_reaches_the_model() -> None:
    async with testing.call(AGENT) as call:
        await call.plays(tone(500))
        await call.plays(bytes(16_000), sample_rate=16_000)
    assert call.model.audio_bytes >= 2 * 24_000 * 0.98


async def test_people_come_and_go() -> None:
    async with testing.call(AGENT, has_user=False, start={"user_wait_s": 60}) as call:
        assert not call.is_over
        uid = await call.joins("Ann")
        await call.passes(30)
        await call.leaves(uid)
        await call.until(lambda: call.is_over)
        assert call.reason == "user_left"


async def test_the_end_of_the_input_ends_the_call() -> None:
    async with testing.call(AGENT, [writes("Good bye.")]) as call:
        await call.writes("Bye")
        await call.hangs_up()
    assert call.reason == "user_left"
    assert call.all_events("agent_ended")


async def test_an_unexpected_request_and_a_step_that_does_not_come_fail_the_test() -> None:
    with pytest.raises(AssertionError, match="does not have"):
        async with testing.call(AGENT) as call:
            await call.says("Anyone?")
    with pytest.raises(AssertionError, match="did not come: reply"):
        async with testing.call(AGENT, [says("never")]):
            pass
    with pytest.raises(AssertionError, match="did not come within"):
        async with testing.call(AGENT) as call:
            await call.until_event("agent_handed_over")


async def test_a_failure_of_the_block_is_the_one_that_is_seen() -> None:
    with pytest.raises(ZeroDivisionError):
        async with testing.call(AGENT, [says("never")]):
            _ = 1 // 0


async def test_a_lost_connection_is_opened_anew_and_the_conversation_goes_on() -> None:
    script = ScriptedModel([says("One."), Step((), is_lost=True), says("Two.")])
    async with testing.call(AGENT, script) as call:
        await call.says("First?")
        await call.says("Second?")
        assert call.heard == ["One.", "Two."]
        assert [change.status for change in call.all_events("agent_connection_changed")] == [
            "reconnecting",
            "open",
        ]
    assert len(script.connects) == 2
    assert [each.text for each in script.all_sent("text")][:2] == ["First?", "One."]


async def test_a_connection_that_cannot_be_opened_fails_the_start() -> None:
    refused = ModelConnectError("wrong key", code="invalid_api_key", is_retryable=False)
    script = ScriptedModel(connect_errors=[refused])
    with pytest.raises(AgentStartError, match="wrong key"):
        async with testing.call(AGENT, script):
            pass


async def test_a_reply_that_fails_is_none() -> None:
    async with testing.call(AGENT, [fails("overloaded"), says("Again.")]) as call:
        await call.says("First?")
        await call.writes("Second?")
        assert call.heard == ["Again."]
        assert call.all_events(out.AgentResponseDone)[0].status == "failed"


async def test_steps_may_wait_and_match_anything() -> None:
    response_id = "resp_slow"
    slow: list[model.ModelEvent | Wait] = [
        model.ResponseCreated(response_id),
        Wait(7.0),
        model.ResponseDone(response_id, model.ResponseStatus.COMPLETED),
    ]
    script = ScriptedModel(
        [Step(slow), Step(expect=lambda each: isinstance(each, model.CancelResponse))]
    )
    async with testing.call(AGENT, script) as call:
        began_s = asyncio.get_running_loop().time()
        await call.says("Slowly?", wait=False)
        await call.passes(3.0)
        call.queue.interrupt()
        await call.quiet()
        assert asyncio.get_running_loop().time() - began_s < 7


async def test_secrets_are_not_recorded() -> None:
    agent = Agent("helper", provider="openai", api_key="sk-secret")
    async with testing.call(agent, settings={"OPENAI_API_KEY": "sk-" + "x" * 40}) as call:
        pass
    (connect,) = call.model.connects
    assert connect.api_key is None
    assert "sk-" not in repr(connect) + repr(call.model)


async def test_threads_are_waited_for_in_real_time() -> None:
    async with testing.call(AGENT):
        began_s = time.perf_counter()
        await asyncio.to_thread(time.sleep, 0.05)
        assert time.perf_counter() - began_s >= 0.05


async def test_time_stands_still_while_the_loop_works() -> None:
    async def work() -> None:
        for _ in range(20):
            time.sleep(0.002)  # noqa: ASYNC251 - as a busy machine does
            await asyncio.sleep(0)

    async with testing.call(AGENT, [fails("overloaded"), says("Again.")]) as call:
        await call.says("First?")
        began_s = time.monotonic()
        await asyncio.gather(work(), call.writes("Second?", wait=False))
        assert time.monotonic() - began_s < 0.01
        await call.quiet()
        assert call.heard == ["Again."]


async def test_there_is_one_virtual_time() -> None:
    async with testing.call(AGENT):
        with pytest.raises(RuntimeError, match="in use"):
            async with testing.call(AGENT):
                pass
