"""Starts that are sent again: one key, one agent, one answer."""

from __future__ import annotations

import asyncio

import pytest

from control.api.idempotency import MAX_KEYS, TTL_S, Answer, IdempotentAnswers
from control.http.errors import ApiError
from conversation.lifecycle import AgentStartError
from tests.control.api.test_agents import KEYED, START, error_of
from tests.control.served_api import serve_api

KEY = {"Idempotency-Key": "order 66"}


@pytest.mark.asyncio
async def test_a_start_sent_again_has_one_effect_and_one_answer() -> None:
    async with serve_api() as api:
        first = await api.post("/start_agent", json=START, headers=KEY)
        again = await api.post("/start_agent", json=START, headers=KEY)
        assert (first.status, again.status) == (200, 200)
        assert await again.text() == await first.text()
        assert again.content_type == "application/json"
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        other = await api.post("/start_agent", json=START | {"uid": 7}, headers=KEY)
        assert await error_of(other) == (422, "idempotency_key_reused")
        fresh = await api.post("/start_agent", json=START, headers={"Idempotency-Key": "2"})
        assert await error_of(fresh) == (400, "already_running")
        # The same request, written in another way.
        spelled = {"uid": 1000, "channel_name": "demo", "reads_chat": True}
        again = await api.post("/start_agent", json=spelled, headers=KEY)
        assert await again.text() == await first.text()


@pytest.mark.asyncio
async def test_of_concurrent_starts_with_one_key_all_get_the_one_answer() -> None:
    async with serve_api() as api:
        answers = await asyncio.gather(
            *(api.post("/start_agent", json=START, headers=KEY) for _ in range(20))
        )
        assert {answer.status for answer in answers} == {200}
        assert len({await answer.text() for answer in answers}) == 1
        assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 19


@pytest.mark.asyncio
async def test_what_may_fare_better_is_tried_again() -> None:
    async with serve_api() as api:
        api.placement.failure = AgentStartError("joining", "timeout", "slow")
        failed = await api.post("/start_agent", json=START, headers=KEY)
        assert await error_of(failed) == (504, "start_timeout")
        api.placement.failure = None
        assert (await api.post("/start_agent", json=START, headers=KEY)).status == 200


@pytest.mark.asyncio
async def test_keys_of_different_callers_do_not_meet() -> None:
    async with serve_api(KEYED) as api:
        one = {"Authorization": "Bearer key-one-of-the-tests", **KEY}
        two = {"Authorization": "Bearer key-two-of-the-tests", **KEY}
        assert (await api.post("/start_agent", json=START, headers=one)).status == 200
        foreign = await api.post("/start_agent", json=START | {"uid": 7}, headers=two)
        assert await error_of(foreign) == (400, "already_running")


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["", "x" * 201, "gr\u00fcn"])
async def test_keys_that_are_none(key: str) -> None:
    async with serve_api() as api:
        response = await api.post("/start_agent", json=START, headers={"Idempotency-Key": key})
        assert await error_of(response) == (400, "invalid_request")


async def done() -> Answer:
    return Answer(200, "done")


@pytest.mark.asyncio
async def test_the_table_forgets_the_old_and_is_never_too_full() -> None:
    now_s = 0.0
    answers = IdempotentAnswers(clock=lambda: now_s)
    assert await answers.answer("a", "f", done) == (Answer(200, "done"), False)
    now_s = TTL_S - 1
    assert await answers.answer("a", "f", done) == (Answer(200, "done"), True)
    now_s = TTL_S
    assert (await answers.answer("a", "g", done))[1] is False
    for number in range(MAX_KEYS + 10):
        await answers.answer(f"k{number}", "f", done)
    assert len(answers._entries) == MAX_KEYS
    assert (await answers.answer(f"k{MAX_KEYS + 9}", "f", done))[1] is True
    assert (await answers.answer("k0", "f", done))[1] is False


@pytest.mark.asyncio
async def test_keys_that_wait_are_kept_and_a_cancelled_first_one_frees_its_key() -> None:
    answers = IdempotentAnswers()
    never = asyncio.Event()

    async def hang() -> Answer:
        await never.wait()
        return await done()

    loop = asyncio.get_running_loop()
    waiting = [loop.create_task(answers.answer(str(n), "f", hang)) for n in range(MAX_KEYS)]
    twin = loop.create_task(answers.answer("0", "f", hang))
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as refused:
        await answers.answer("one more", "f", done)
    assert refused.value.status == 429
    waiting[0].cancel()
    await asyncio.wait([waiting[0], twin])
    assert twin.cancelled()
    assert (await answers.answer("0", "g", done))[0].body == "done"
    never.set()
    await asyncio.wait(waiting)


@pytest.mark.asyncio
async def test_the_answer_of_a_deleted_call_is_forgotten_and_its_key_is_not() -> None:
    async def started() -> Answer:
        return Answer(200, '{"agent_id": "agent-1", "thread_id": "anna"}', call_id="agent-1")

    async def never() -> Answer:
        raise AssertionError("one key, one deed")

    answers = IdempotentAnswers()
    await answers.answer("a", "f", started)
    await answers.answer("b", "f", done)
    answers.forget_calls({"agent-1", "agent-2"})
    for fingerprint in ("f", "another request"):
        answer, is_replayed = await answers.answer("a", fingerprint, never)
        assert (answer.status, is_replayed) == (410, True)
        assert "call_deleted" in answer.body
    assert "anna" not in str(answers._entries)
    assert await answers.answer("b", "f", never) == (Answer(200, "done"), True)
