"""Requests for replies with settings of their own, and replies outside of the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import TypeAdapter

from realtime import events as ours
from realtime.capabilities import capabilities_of
from realtime.events import CreateResponse, OutOfBand
from realtime.model import RealtimeModelConfig, UnsupportedCommandError
from realtime.openai.dialect import BETA_DIALECT
from realtime.openai.model import OpenAIRealtimeModel
from realtime.response_gate import ANSWER_TIMEOUT_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.fakes.openai_vocabulary import BETA
from tests.realtime.calls import Call

CLIENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
SERVER: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
CLOCK_TOOL = {"type": "function", "name": "clock", "parameters": {"type": "object"}}
ASIDE = OutOfBand("side1")


def config(server: FakeRealtimeServer, **changes: Any) -> RealtimeModelConfig:
    values: dict[str, Any] = {"model": "gpt-realtime-2.1", "base_uri": server.uri, "api_key": "k"}
    return RealtimeModelConfig(**values | changes)


@pytest_asyncio.fixture
async def call() -> AsyncIterator[Call[FakeSession]]:
    async with FakeRealtimeServer() as server:
        model = OpenAIRealtimeModel()
        await model.connect(config(server))
        call = Call(model, await server.next_session())
        yield call
        await model.close()
        for received in call.session.received:
            CLIENT.validate_python(_without_references(received.frame))
        for sent in call.session.sent:
            SERVER.validate_python(sent.frame)


def _without_references(frame: dict[str, Any]) -> dict[str, Any]:
    """The package's types lack them; the provider's documentation has them."""
    if "input" not in (response := frame.get("response") or {}):
        return frame
    items = [item for item in response["input"] if item["type"] != "item_reference"]
    return frame | {"response": response | {"input": items}}


@pytest.mark.asyncio
async def test_a_request_carries_all_that_is_its_own_and_its_metadata_comes_back(
    call: Call[FakeSession],
) -> None:
    call.session.reply_with = lambda session: session.say(tone(40), "noon")
    await call.model.send(
        CreateResponse(
            "Be brief.",
            output_modality="audio",
            voice="cedar",
            tools=(CLOCK_TOOL,),
            tool_choice={"type": "function", "name": "clock"},
            max_output_tokens=90,
            metadata={"topic": "time"},
            input_items=(
                ours.AddText("What time is it?"),
                ours.AddImage(b"\xff\xd8", "image/jpeg"),
                ours.AddToolCall("call_1", "clock", "{}"),
                ours.AddToolOutput("call_1", "noon"),
                ours.ItemReference("item_9"),
            ),
        )
    )
    done = await call.until(ours.ResponseDone)
    assert done.metadata == {"topic": "time"}
    assert done.out_of_band is None
    assert call.all_of(ours.ResponseCreated)[0].metadata == {"topic": "time"}
    (request,) = call.session.all_of("response.create")
    assert request["response"] == {
        "instructions": "Be brief.",
        "output_modalities": ["audio"],
        "audio": {"output": {"voice": "cedar"}},
        "tools": [CLOCK_TOOL],
        "tool_choice": {"type": "function", "name": "clock"},
        "max_output_tokens": 90,
        "metadata": {"topic": "time"},
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "What time is it?"}],
            },
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_image", "image_url": "data:image/jpeg;base64,/9g="}],
            },
            {"type": "function_call", "call_id": "call_1", "name": "clock", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "noon"},
            {"type": "item_reference", "id": "item_9"},
        ],
    }


@pytest.mark.asyncio
async def test_a_reply_outside_of_the_conversation_is_made_beside_another_one(
    call: Call[FakeSession],
) -> None:
    call.session.reply_beside = lambda session, params: session.answer_beside(params, "angry")

    async def speak() -> None:
        await call.session.say(tone(600), "a long story", pace=0.5)

    async with asyncio.TaskGroup() as group:
        group.create_task(speak())
        story = await call.until(ours.AudioDelta)
        await call.model.send(
            CreateResponse("How does the caller feel?", metadata={"a": "b"}, out_of_band=ASIDE)
        )
        await call.model.send(CreateResponse())
        done = await call.until(ours.ResponseDone)
        assert len(call.session.all_of("response.create")) == 1, "the conversation's own waits"
        rest = await call.until(ours.ResponseDone)
    assert (done.out_of_band, done.metadata) == (ASIDE, {"a": "b"})
    assert (rest.response_id, rest.out_of_band) == (story.response_id, None)
    text = call.all_of(ours.TextDone)[0]
    assert (text.response_id, text.text) == (done.response_id, "angry")
    request = call.session.all_of("response.create")[0]["response"]
    assert (request["conversation"], request["output_modalities"]) == ("none", ["text"])
    await call.session.wait_for("response.create", 2)


@pytest.mark.asyncio
async def test_such_replies_are_made_one_after_the_other(call: Call[FakeSession]) -> None:
    for key in ("one", "two"):
        await call.model.send(CreateResponse(key, out_of_band=OutOfBand(key, is_spoken=True)))
    first = (await call.session.wait_for("response.create"))["response"]
    assert first["output_modalities"] == ["audio"]
    assert len(call.session.all_of("response.create")) == 1
    acting = call.session.answer_beside(first, "eins", pcm=tone(20))
    done = await call.alongside(acting, ours.ResponseDone)
    assert done.out_of_band == OutOfBand("one", is_spoken=True)
    second = (await call.session.wait_for("response.create", 2))["response"]
    assert second["instructions"] == "two"


@pytest.mark.asyncio
async def test_a_refused_one_ends_for_its_sender_and_is_no_error_of_the_call(
    call: Call[FakeSession],
) -> None:
    await call.model.send(CreateResponse("x", metadata={"n": "1"}, out_of_band=ASIDE))
    request = await call.session.wait_for("response.create")
    acting = call.session.fail("invalid_value", "not like this", event_id=request["event_id"])
    done = await call.alongside(acting, ours.ResponseDone)
    assert (done.status, done.out_of_band) == (ours.ResponseStatus.FAILED, ASIDE)
    assert (done.reason, done.metadata) == ("invalid_value: not like this", {"n": "1"})
    assert not call.all_of(ours.ProviderError)
    await call.model.send(CreateResponse("y", out_of_band=OutOfBand("side2")))
    await call.session.wait_for("response.create", 2)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (CreateResponse(metadata={str(n): "" for n in range(16)}), "metadata: at most 15"),
        (CreateResponse(metadata={"a": "x" * 513}), "metadata: at most 15"),
        (CreateResponse(metadata={"a": 1}), "metadata: at most 15"),  # type: ignore[dict-item]
        (CreateResponse(tool_choice="sometimes"), "tool_choice"),
        (CreateResponse(max_output_tokens=0), "max_output_tokens"),
        (CreateResponse(tools=({"type": "novel"},)), "tools"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_before_it_waits(
    command: CreateResponse, words: str, call: Call[FakeSession]
) -> None:
    with pytest.raises(UnsupportedCommandError, match=words):
        await call.model.send(command)
    call.session.reply_with = lambda session: session.say(tone(20), "fine")
    await call.model.send(CreateResponse())
    await call.until(ours.ResponseDone)


@pytest.mark.parametrize(
    ("provider", "model", "refused"),
    [
        ("openai", "", set()),
        ("local", "", set()),
        ("openai-beta", "", {"input_items", "out_of_band"}),
        ("xai", "", {"output_modality", "voice", "tools", "input_items", "out_of_band"}),
        ("dashscope", "qwen3.5-omni-flash-realtime", {"voice", "tools", "out_of_band"}),
        ("gemini", "", {"output_modality", "voice", "max_output_tokens", "out_of_band"}),
    ],
)
def test_the_capability_record_names_what_a_request_may_set(
    provider: str, model: str, refused: set[str]
) -> None:
    options = capabilities_of(provider, model).reply_options
    assert not refused & options
    assert refused or {"out_of_band", "input_items", "voice"} <= options


@pytest.mark.asyncio
async def test_a_server_that_repeats_no_metadata_is_told_none_and_the_reply_has_it() -> None:
    async with FakeRealtimeServer(
        reply_with=lambda session: session.say(tone(20), "hi"), vocabulary=BETA
    ) as server:
        model = OpenAIRealtimeModel(capabilities_of("openai-beta"), BETA_DIALECT)
        await model.connect(config(server))
        call: Call[FakeSession] = Call(model, await server.next_session())
        await model.send(CreateResponse(voice="ash", metadata={"topic": "time"}))
        done = await call.until(ours.ResponseDone)
        assert call.all_of(ours.ResponseCreated)[0].metadata == {"topic": "time"}
        assert done.metadata == {"topic": "time"}
        (request,) = call.session.all_of("response.create")
        assert request["response"] == {"voice": "ash"}
        with pytest.raises(UnsupportedCommandError, match="no reply outside of the conversation"):
            await model.send(CreateResponse(out_of_band=ASIDE))
        await model.send(CreateResponse())
        assert (await call.until(ours.ResponseDone)).metadata == {}
        await model.close()


@pytest.mark.asyncio
async def test_one_that_the_server_ignores_holds_back_the_next_for_a_while_only() -> None:
    now_s = 0.0
    async with FakeRealtimeServer() as server:
        model = OpenAIRealtimeModel(clock=lambda: now_s)
        await model.connect(config(server))
        session = await server.next_session()
        await model.send(CreateResponse("one", out_of_band=OutOfBand("one")))
        await model.send(CreateResponse("two", out_of_band=OutOfBand("two")))
        await session.wait_for("response.create")
        now_s = ANSWER_TIMEOUT_S
        await model.send(CreateResponse("three", out_of_band=OutOfBand("three")))
        request = await session.wait_for("response.create", 2)
        assert request["response"]["instructions"] == "two"
        await model.close()
