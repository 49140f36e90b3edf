"""Replies that break a rule of the server, over real WebRTC."""

from __future__ import annotations

import asyncio

import pytest

from conversation.guardrail import parse_guardrails
from session.guardrail_enforcer import MAX_RETRIES
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Stage, soon

RULES = parse_guardrails("secret=project x")
STORY = tone(8000)


@pytest.mark.asyncio
async def test_a_reply_is_cut_before_its_forbidden_words_are_heard() -> None:
    async with Stage() as stage:
        session = await stage.start(guardrails=RULES)
        person = await stage.join()
        words = "I should not tell you of project x at all"
        # Words go ahead of the voice: after 0.35 s the forbidden ones are there, of which the last
        # begins to sound after 3.5 s.
        saying = asyncio.get_running_loop().create_task(
            session.say(STORY, words, delta_ms=500, pace=0.1)
        )
        tripped = await person.wait_event("agent_guardrail_tripped")
        assert tripped["guardrail"] == "secret"
        await session.wait_for("response.cancel")
        reply = await soon(saying)
        assert (tripped["response_id"], tripped["item_id"]) == (reply.id, reply.item_id)
        truncate = await session.wait_for("conversation.item.truncate")
        assert truncate["audio_end_ms"] < 3_500
        again = await session.wait_for("response.create")
        assert "secret" in again["response"]["instructions"]
        read = "".join(
            event["delta"]
            for event in person.events
            if event["type"] == "agent_response_audio_transcript_delta"
        )
        assert words.startswith(read)
        assert "x" not in read
        await session.say(tone(200), "I cannot tell.")
        await person.wait_event("agent_playout_done")
        assert person.loud_ms < 3_700, "the cut reply went on"
        kinds = [event["type"] for event in person.events]
        assert kinds.count("agent_guardrail_tripped") == 1


@pytest.mark.asyncio
async def test_a_model_that_insists_is_not_asked_for_ever() -> None:
    async with Stage() as stage:
        session = await stage.start(guardrails=RULES)
        person = await stage.join()
        for count in range(1, MAX_RETRIES + 2):
            await session.say(tone(100), "project x")
            await person.wait_event("agent_guardrail_tripped", count)
        await session.say(tone(100), "fine")
        await person.wait_event("agent_playout_done")
        assert len(session.all_of("response.create")) == MAX_RETRIES
        await session.say(tone(100), "project x")
        await session.wait_for("response.create", MAX_RETRIES + 1)


@pytest.mark.asyncio
async def test_without_rules_everything_is_said() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        await session.say(tone(100), "project x")
        await person.wait_event("agent_playout_done")
        assert not [e for e in person.events if e["type"] == "agent_guardrail_tripped"]
