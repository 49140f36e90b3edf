"""Commands and their answers: matched by number, each caller gets one or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from control.ipc.link import Command, CommandDone
from control.placement import AgentGoneError, AgentSilentError
from control.supervisor.pending_commands import MAX_PENDING, PendingCommands
from conversation.events.commands import CommandRefusedError, CommandResult, Say

SAY = Say(text="hi")


@contextmanager
def executing(
    pending: PendingCommands, count: int
) -> Iterator[tuple[list[Command], list[asyncio.Task[CommandResult]]]]:
    """`count` commands on their way: what was sent, and their callers."""
    sent: list[Command] = []
    loop = asyncio.get_running_loop()

    def send(number: int) -> None:
        sent.append(Command(number=number, command=SAY))

    yield sent, [loop.create_task(pending.execute(send)) for _ in range(count)]


@pytest.mark.asyncio
async def test_answers_in_any_order_reach_their_callers() -> None:
    pending = PendingCommands()
    with executing(pending, 3) as (sent, callers):
        await asyncio.sleep(0)
        for command in reversed(sent):
            result = CommandResult(item_id=f"item {command.number}")
            pending.handle_done(CommandDone(number=command.number, result=result))
        results = await asyncio.gather(*callers)
    assert [one.item_id for one in results] == [f"item {one.number}" for one in sent]


@pytest.mark.asyncio
async def test_a_refusal_keeps_its_code() -> None:
    pending = PendingCommands()
    with executing(pending, 1) as (sent, (caller,)):
        await asyncio.sleep(0)
        pending.handle_done(CommandDone(number=sent[0].number, code="not_ready", message="no"))
        with pytest.raises(CommandRefusedError, match="no") as caught:
            await caller
    assert caught.value.code == "not_ready"


@pytest.mark.asyncio
async def test_no_answer_in_time_is_an_error_and_a_late_one_is_dropped() -> None:
    pending = PendingCommands()
    numbers: list[int] = []
    with pytest.raises(AgentSilentError):
        await pending.execute(numbers.append, deadline_s=0.01)
    pending.handle_done(CommandDone(number=numbers[0], result=CommandResult()))
    with executing(pending, 1) as (again, (caller,)):
        await asyncio.sleep(0)
        assert again[0].number != numbers[0]
        pending.close()
        with pytest.raises(AgentGoneError):
            await caller


@pytest.mark.asyncio
async def test_more_commands_than_may_be_pending_are_refused() -> None:
    pending = PendingCommands()
    with executing(pending, MAX_PENDING) as (sent, callers):
        await asyncio.sleep(0)
        assert len(sent) == MAX_PENDING
        with pytest.raises(CommandRefusedError, match="are pending") as caught:
            await pending.execute(lambda _number: None)
        assert caught.value.code == "too_many_events"
        pending.close()
        pending.close()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(one) for one in outcomes} == {AgentGoneError}
