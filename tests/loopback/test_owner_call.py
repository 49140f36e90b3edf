"""The call as tools, hooks and guardrails of an owner see it, over real WebRTC."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from conversation.lifecycle import ExitReason
from parley import Agent, Call, CallError, HeardTurn, Participant
from parley.hooks import CallEnded, CallStarted, ReplyFinished, UserJoined, UserLeft
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Stage, soon


class Seen:
    """Keeps what hooks get, and lets a test wait for it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.calls: list[Call] = []
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, call: Call, event: Any) -> None:
        self.calls.append(call)
        self.events.append(event)
        self._loop.call_soon_threadsafe(self._news.set)

    async def first(self, kind: type) -> Any:
        async with asyncio.timeout(20):
            while True:
                self._news.clear()
                if found := [each for each in self.events if isinstance(each, kind)]:
                    return found[0]
                await self._news.wait()


@pytest.mark.asyncio
async def test_hooks_follow_a_call_from_its_start_to_its_record() -> None:
    seen = Seen()
    names: tuple[Any, ...] = (
        "call_started",
        "user_joined",
        "user_left",
        "reply_finished",
        "call_ended",
    )
    async with Stage() as stage:
        definition = Agent("orders", hooks=dict.fromkeys(names, seen))
        session = await stage.start(
            definition=definition, thread_id="t1", metadata={"customer": "Ada"}
        )
        person = await stage.join(7)
        await session.say(tone(200), "Your order is here.")
        assert await seen.first(ReplyFinished) == ReplyFinished("Your order is here.")
        call = seen.calls[0]
        assert (call.channel, call.agent, call.thread_id) == ("demo", "orders", "t1")
        assert call.metadata == {"customer": "Ada"}
        assert call.participants == [Participant(7, "user 7", is_speaking=False)]
        assert call.history == [HeardTurn("assistant", "Your order is here.", "orders")]
        call.state["order"] = 17
        assert stage.agent is not None
        stage.agent.stop()
        assert await stage.ended() is ExitReason.STOPPED
        await person.leave()
    assert [type(each) for each in seen.events] == [
        CallStarted,
        UserJoined,
        ReplyFinished,
        CallEnded,
    ]
    ended = seen.events[-1]
    assert ended.reason == "stopped"
    record = ended.record
    assert [entry["text"] for entry in record["transcript"]] == ["Your order is here."]
    assert (record["agent"], record["state"], record["exit_reason"]) == (
        "orders",
        {"order": 17},
        "stopped",
    )
    assert stage.call_states[-1] == ({"order": 17}, "orders")


@pytest.mark.asyncio
async def test_plain_functions_use_the_call_from_their_threads() -> None:
    found: list[Any] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def started(call: Call, _event: CallStarted) -> None:
        assert threading.current_thread() is not threading.main_thread()
        call.run(call.send_text("the caller is a member", should_reply=False))
        asyncio.run(call.reply("Greet the member."))
        with pytest.raises(CallError, match="there is no agent nobody"):
            call.run(call.handoff("nobody"))
        found.append([turn.text for turn in call.history])
        loop.call_soon_threadsafe(done.set)

    async def refused(call: Call, _event: UserJoined) -> None:
        with pytest.raises(RuntimeError, match="use await"):
            call.run(call.interrupt())
        await call.interrupt()
        loop.call_soon_threadsafe(done.set)

    async with Stage() as stage:
        definition = Agent("orders", hooks={"call_started": started, "user_joined": refused})
        session = await stage.start(definition=definition)
        asked = await session.wait_for("response.create")
        assert "Greet the member." in asked["response"]["instructions"]
        await soon(done.wait())
        assert found == [["the caller is a member"]]
        done.clear()
        await stage.join()
        await soon(done.wait())
        assert not stage.owner_failures


@pytest.mark.asyncio
async def test_a_call_ends_once_its_last_sentence_was_heard() -> None:
    async def answered(call: Call, event: ReplyFinished) -> None:
        if not event.is_cut and event.text == "All done.":
            await call.hang_up(say="Goodbye and thank you!")

    async with Stage() as stage:
        definition = Agent("orders", hooks={"reply_finished": answered})
        session = await stage.start(definition=definition)
        person = await stage.join()
        await session.say(tone(100), "All done.")
        asked = await session.wait_for("response.create")
        assert "Goodbye and thank you!" in asked["response"]["instructions"]
        before_ms = person.loud_ms
        await session.say(tone(600), "Goodbye and thank you!")
        assert await stage.ended() is ExitReason.HUNG_UP
        await person.wait_event("agent_ended")
        assert person.loud_ms - before_ms >= 500, "the last sentence was cut"


@pytest.mark.asyncio
async def test_hooks_that_raise_hang_or_block_harm_nothing() -> None:
    seen = Seen()

    def raising(_call: Call, _event: Any) -> None:
        raise LookupError("no such customer")

    async def hanging(_call: Call, _event: Any) -> None:
        await asyncio.sleep(3600)

    def blocking(_call: Call, _event: Any) -> None:
        threading.Event().wait(8)

    async with Stage() as stage:
        definition = Agent(
            "orders",
            hooks={
                "call_started": raising,
                "user_joined": blocking,
                "reply_finished": hanging,
                "error": seen,
                "call_ended": seen,
            },
        )
        session = await stage.start(definition=definition)
        person = await stage.join()
        await session.say(tone(300), "Hello.")
        await person.wait_event("agent_playout_done")
        await person.wait_loud(250)
        assert stage.agent is not None
        stage.agent.stop()
        await stage.ended()
        failure = stage.owner_failures[0]
        assert (failure.source, failure.name) == ("hook", "call_started")
        assert failure.message == "LookupError: no such customer"
        assert failure.place.startswith("loopback/test_owner_call.py:")
        ended = await seen.first(CallEnded)
        assert ended.record["owner_errors"][0]["place"] == failure.place


@pytest.mark.asyncio
async def test_hooks_see_people_leave() -> None:
    seen = Seen()
    async with Stage() as stage:
        definition = Agent("orders", hooks={"user_left": seen})
        await stage.start(definition=definition)
        person = await stage.join(7)
        await person.leave()
        assert (await seen.first(UserLeft)).uid == 7


@pytest.mark.asyncio
async def test_a_question_beside_the_conversation_is_answered_and_not_kept() -> None:
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def joined(call: Call, _event: UserJoined) -> None:
        answers.put_nowait(await call.ask("How does the caller feel?", metadata={"a": "b"}))
        try:
            await call.ask("And now?", timeout_s=0.05)
        except CallError as error:
            answers.put_nowait(error.code)
        answers.put_nowait(str(call.history))

    async with Stage() as stage:
        definition = Agent("orders", hooks={"user_joined": joined})
        session = await stage.start(definition=definition)
        await stage.join()
        asked = (await session.wait_for("response.create"))["response"]
        assert (asked["conversation"], asked["metadata"]["a"]) == ("none", "b")
        await session.answer_beside(asked, "Angry.")
        async with asyncio.timeout(10):
            assert [await answers.get() for _ in range(3)] == ["Angry.", "timeout", "[]"]


@pytest.mark.asyncio
async def test_what_a_tool_changes_inside_the_state_is_kept_with_its_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("session.owner.STATE_INTERVAL_S", 600.0)

    def add(call: Call, item: str) -> list[str]:
        """Add an item to the cart."""
        cart: list[str] = call.state.setdefault("cart", [])
        cart.append(item)
        return cart

    async with Stage() as stage:
        session = await stage.start(definition=Agent("shop", tools=[add]))
        person = await stage.join(7)
        for count, item in enumerate(("tea", "milk"), 1):
            await session.call_tool("add", {"item": item})
            await session.wait_for("conversation.item.create", count)
            await person.wait_event("agent_response_tool_result")
        assert stage.call_states[-1] == ({"cart": ["tea", "milk"]}, "shop")
