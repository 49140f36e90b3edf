"""Replies outside of the conversation across lost sessions: asked for again, never remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from realtime import events as ours
from realtime.capabilities import capabilities_of
from realtime.events import ConnectionStatus, CreateResponse, OutOfBand
from realtime.model import UnsupportedCommandError
from realtime.openai.dialect import BETA_DIALECT
from realtime.openai.model import OpenAIRealtimeModel
from realtime.resilience.model import ModelSource, ResilientModel
from realtime.resilience.side_replies import FORGOTTEN_S, MAX_OWED, SideReplies
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.fakes.openai_vocabulary import BETA
from tests.realtime.resilience.stage import FAST, collecting, config, talking, told

ASIDE = OutOfBand("side1")
REQUEST = CreateResponse("How does the caller feel?", metadata={"a": "b"}, out_of_band=ASIDE)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeRealtimeServer]:
    async with FakeRealtimeServer() as running:
        yield running


@pytest.mark.asyncio
@pytest.mark.parametrize("is_begun", [True, False])
async def test_a_reopened_session_is_asked_again_with_all_that_was_asked(
    is_begun: bool, server: FakeRealtimeServer
) -> None:
    async with talking(server) as (talk, first):
        await talk.model.send(REQUEST)
        asked = await first.wait_for("response.create")
        reply_id = ""
        if is_begun:
            reply_id = (await first.begin_beside(asked["response"])).id
            assert (await talk.until(ours.ResponseCreated)).response_id == reply_id
        await first.drop()
        if is_begun:
            lost = await talk.until(ours.ResponseDone)
            assert (lost.response_id, lost.reason) == (reply_id, "connection_lost")
            assert (lost.out_of_band, lost.metadata) == (ASIDE, {"a": "b"})
        second = await server.next_session()
        again = await second.wait_for("response.create")
        assert again["response"] == asked["response"]
        await second.answer_beside(again["response"], "angry")
        done = await talk.until(ours.ResponseDone, 1 + is_begun)
        assert (done.status, done.out_of_band) == (ours.ResponseStatus.COMPLETED, ASIDE)


@pytest.mark.asyncio
async def test_it_is_in_no_replay_and_no_interruption_ends_it(server: FakeRealtimeServer) -> None:
    async with talking(server) as (talk, first):
        await talk.model.send(ours.AddText("good morning"))
        await talk.model.send(REQUEST)
        asked = await first.wait_for("response.create")
        await first.begin_beside(asked["response"])
        await talk.until(ours.ResponseCreated)
        await talk.model.send(ours.CancelResponse())
        await first.answer_beside(asked["response"], "angry")
        await talk.until(ours.ResponseDone)
        assert not talk.model.transcript.since(1), "only the user's words are in it"
        await first.drop()
        second = await server.next_session()
        await talk.until_status(ConnectionStatus.OPEN, 2)
        await second.wait_for("conversation.item.create")
        assert told(second) == ["user: good morning"]
        await talk.model.send(ours.CommitAudio())
        assert not second.all_of("response.create")


@pytest.mark.asyncio
async def test_asked_for_in_an_outage_it_survives_a_cancel_and_names_replayed_items(
    server: FakeRealtimeServer,
) -> None:
    async with talking(server) as (talk, first):
        await talk.model.send(ours.AddText("good morning", item_id="mine"))
        saying = await first.say(tone(40), "hello")
        await talk.until(ours.ResponseDone)
        server.faults.reject_status = 503
        await first.drop()
        await talk.until_status(ConnectionStatus.RECONNECTING)
        items = tuple(map(ours.ItemReference, ("mine", saying.item_id, "never")))
        await talk.model.send(CreateResponse("Sum up.", input_items=items, out_of_band=ASIDE))
        await talk.model.send(ours.CancelResponse())
        server.faults.reject_status = None
        second = await server.next_session()
        asked = (await second.wait_for("response.create"))["response"]
        known = {event["item"]["id"] for event in second.all_of("conversation.item.create")}
        assert {item["id"] for item in asked["input"]} == known
        assert len(known) == 2
        assert talk.model.statistics.stale_ids == 1


@pytest.mark.asyncio
async def test_a_provider_without_such_replies_ends_them_for_their_sender(
    server: FakeRealtimeServer,
) -> None:
    async with FakeRealtimeServer(vocabulary=BETA) as other:
        source = ModelSource(
            "other",
            lambda: OpenAIRealtimeModel(capabilities_of("openai-beta"), BETA_DIALECT),
            config(other),
        )
        model = ResilientModel(OpenAIRealtimeModel, fallback=source, options=FAST)
        await model.connect(config(server))
        async with collecting(model) as talk:
            first = await server.next_session()
            await model.send(REQUEST)
            await first.wait_for("response.create")
            server.faults.api_key = "another"
            await first.drop()
            done = await talk.until(ours.ResponseDone)
            assert (done.status, done.out_of_band) == (ours.ResponseStatus.FAILED, ASIDE)
            assert "no reply outside of the conversation" in (done.reason or "")


@pytest.mark.asyncio
async def test_what_the_preferred_model_cannot_is_refused_in_an_outage_too() -> None:
    async with FakeRealtimeServer(vocabulary=BETA) as server:
        beta = capabilities_of("openai-beta")
        async with talking(server, create=lambda: OpenAIRealtimeModel(beta, BETA_DIALECT)) as (
            talk,
            first,
        ):
            server.faults.reject_status = 503
            await first.drop()
            await talk.until_status(ConnectionStatus.RECONNECTING)
            with pytest.raises(UnsupportedCommandError, match="outside of the conversation"):
                await talk.model.send(REQUEST)


def test_one_that_is_ignored_is_owed_for_a_while_only() -> None:
    beside = SideReplies()
    beside.request(REQUEST, now_s=0)
    assert beside.pending(now_s=FORGOTTEN_S - 1) == [REQUEST]
    assert not beside.is_idle(now_s=FORGOTTEN_S - 1)
    assert beside.is_idle(now_s=FORGOTTEN_S)
    for number in range(MAX_OWED + 1):
        beside.request(CreateResponse(out_of_band=OutOfBand(str(number))), now_s=0)
    assert len(beside.pending(now_s=0)) == MAX_OWED


def test_events_of_others_are_not_taken() -> None:
    beside = SideReplies()
    beside.request(REQUEST, now_s=0)
    assert not beside.takes(ours.ResponseCreated("r1"), now_s=0)
    assert not beside.takes(ours.TextDelta("r1", "i", 0, "a"), now_s=0)
    assert beside.takes(ours.ResponseCreated("r2", out_of_band=ASIDE), now_s=0)
    assert beside.takes(ours.TextDelta("r2", "i", 0, "a"), now_s=9)
    assert not beside.takes(ours.SpeechStarted("i", 0), now_s=9)
    assert beside.pending(now_s=FORGOTTEN_S + 8) == [REQUEST]
    done = ours.ResponseDone("r2", ours.ResponseStatus.COMPLETED, out_of_band=ASIDE)
    assert beside.takes(done, now_s=9)
    assert not beside.pending(now_s=9)
    assert not beside.endings("lost")
