from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from bridge.adoption import Adoption
from control.ipc.link import (
    CHILD_MESSAGE,
    EVENT_BACKLOG_BYTES,
    MAX_LINE_BYTES,
    PARENT_MESSAGE,
    AdoptSocket,
    ChildMessage,
    Command,
    CommandDone,
    Event,
    Exiting,
    Forget,
    Link,
    LinkBrokenError,
    LinkBusyError,
    MessageRefusedError,
    ParentMessage,
    Ping,
    Pong,
    Ready,
    Remember,
    RenewModel,
    Start,
    StartFailed,
    StateChanged,
    Stop,
    parse_message,
    serialize_message,
)
from conversation.events.commands import CommandResult, Update
from conversation.events.server_events import AgentInputTranscriptionDone
from conversation.lifecycle import AgentState, ExitReason
from conversation.snapshot import SnapshotText, SnapshotToolCall
from conversation.vitals import Vitals

PARENT_SAYS: list[ParentMessage] = [
    Start(config={"channel_name": "demo"}),
    Stop(reason=ExitReason.STOPPED, deadline_s=1.5),
    Ping(n=7),
    RenewModel(reason="unanswered"),
]
CHILD_SAYS: list[ChildMessage] = [
    StateChanged(state=AgentState.JOINING, at_ms=1),
    Ready(timings_ms={"joining": 1.5}),
    StartFailed(phase="joining", code="room_full", message="the room\nis full"),
    Event(
        event=AgentInputTranscriptionDone(
            agent_id="a", agent_name="A", transcript="grüße\u2028", item_id="i"
        )
    ),
    Remember(entry=SnapshotText(number=3, role="user", text="one\ntwo")),
    Remember(entry=SnapshotToolCall(number=4, call_id="c", name="n", arguments="{}")),
    Forget(number=3),
    Pong(n=7, loop_lag_ms=0.4, vitals=Vitals(users=1)),
    Exiting(exit_reason=ExitReason.USER_LEFT),
]


class Ends:
    def __init__(self, parent: Link[ChildMessage], child: Link[ParentMessage]) -> None:
        self.parent = parent
        self.child = child


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[Ends]:
    ours, theirs = socket.socketpair()
    parent = await Link.open(ours, CHILD_MESSAGE)
    child = await Link.open(theirs, PARENT_MESSAGE)
    yield Ends(parent, child)
    parent.abort()
    child.abort()
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_every_message_arrives_as_it_was_sent_and_in_order(ends: Ends) -> None:
    for to_child in PARENT_SAYS:
        ends.parent.send(to_child)
    for to_parent in CHILD_SAYS:
        ends.child.send(to_parent)
    assert [await ends.child.receive() for _ in PARENT_SAYS] == PARENT_SAYS
    assert [await ends.parent.receive() for _ in CHILD_SAYS] == CHILD_SAYS


@pytest.mark.asyncio
async def test_what_was_sent_before_closing_still_arrives_then_the_end(ends: Ends) -> None:
    ends.child.send(Exiting(exit_reason=ExitReason.NO_USER))
    await ends.child.flush(1.0)
    assert await ends.parent.receive() == Exiting(exit_reason=ExitReason.NO_USER)
    assert await ends.parent.receive() is None
    ends.child.send(Pong(n=1, loop_lag_ms=0, vitals=Vitals()))  # closed: nothing happens


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n",
        b'{"type": "reboot"}\n',
        b'{"type": "ping"}\n',
        b'{"type": "ping", "n": 1, "extra": 2}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_line_that_is_no_message_means_a_broken_peer(line: bytes) -> None:
    with pytest.raises(LinkBrokenError):
        parse_message(PARENT_MESSAGE, line)


def test_each_side_refuses_the_other_sides_messages() -> None:
    with pytest.raises(LinkBrokenError):
        parse_message(PARENT_MESSAGE, serialize_message(CHILD_SAYS[0]))
    with pytest.raises(LinkBrokenError):
        parse_message(CHILD_MESSAGE, serialize_message(PARENT_SAYS[0]))


def test_refusals_and_representations_keep_secrets_to_themselves() -> None:
    secret = "sk-very-secret"
    with pytest.raises(LinkBrokenError) as caught:
        parse_message(PARENT_MESSAGE, f'{{"type": "start", "config": "{secret}"}}'.encode())
    assert secret not in str(caught.value)
    assert secret not in repr(Start(config={"api_key": secret}))


@pytest.mark.asyncio
async def test_a_line_over_the_limit_breaks_the_link() -> None:
    ours, theirs = socket.socketpair()
    link = await Link.open(ours, CHILD_MESSAGE)
    theirs.setblocking(False)
    sending = asyncio.get_running_loop().sock_sendall(theirs, b"x" * (MAX_LINE_BYTES + 2) + b"\n")
    async with asyncio.TaskGroup() as group:
        sent = group.create_task(_quietly(sending))
        with pytest.raises(LinkBrokenError, match="exceeds"):
            await link.receive()
        link.abort()
        await sent
    theirs.close()


async def _quietly(sending: Any) -> None:
    try:
        await sending
    except ConnectionError:
        return


@pytest.mark.asyncio
async def test_a_line_cut_short_by_death_is_the_end_not_a_fault() -> None:
    ours, theirs = socket.socketpair()
    link = await Link.open(ours, CHILD_MESSAGE)
    theirs.send(b'{"type": "pong", "n"')
    theirs.close()
    assert await link.receive() is None
    link.abort()
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_events_are_dropped_and_counted_while_the_peer_does_not_read(ends: Ends) -> None:
    words = "x" * 60_000
    event = Event(
        event=AgentInputTranscriptionDone(
            agent_id="a", agent_name="A", transcript=words, item_id="i"
        )
    )
    count = 4 * EVENT_BACKLOG_BYTES // len(words)
    for _ in range(count):
        ends.child.send(event)
    ends.child.send(Exiting(exit_reason=ExitReason.STOPPED))
    assert 0 < ends.child.dropped_events < count
    received = [await ends.parent.receive() for _ in range(count - ends.child.dropped_events)]
    assert all(message == event for message in received)
    assert await ends.parent.receive() == Exiting(exit_reason=ExitReason.STOPPED)


@pytest.mark.asyncio
async def test_a_peer_that_never_reads_is_broken(ends: Ends) -> None:
    big = StartFailed(phase="joining", code="x", message="y" * 500_000)

    def send_on() -> None:
        for _ in range(20):
            ends.child.send(big)

    with pytest.raises(LinkBrokenError, match="does not read"):
        send_on()


@given(st.text(), st.integers(), st.text(min_size=1))
def test_any_text_survives_the_line_format(message: str, n: int, code: str) -> None:
    failed = StartFailed(phase="joining", code=code, message=message)
    line = serialize_message(failed)
    assert line.count(b"\n") == 1
    assert parse_message(CHILD_MESSAGE, line) == failed
    assert parse_message(PARENT_MESSAGE, serialize_message(Ping(n=n))) == Ping(n=n)


def test_no_text_that_was_read_is_kept() -> None:
    line = serialize_message(Remember(entry=SnapshotText(number=0, role="user", text="hello")))
    first, second = parse_message(CHILD_MESSAGE, line), parse_message(CHILD_MESSAGE, line)
    assert isinstance(first, Remember)
    assert isinstance(second, Remember)
    assert isinstance(first.entry, SnapshotText)
    assert isinstance(second.entry, SnapshotText)
    assert first.entry.text == second.entry.text
    assert first.entry.text is not second.entry.text


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [1, 5, 120])
async def test_what_arrived_is_read_though_a_write_found_the_peer_gone(count: int) -> None:
    ours, theirs = socket.socketpair()
    parent = await Link.open(ours, CHILD_MESSAGE)
    child = await Link.open(theirs, PARENT_MESSAGE)
    entries = [
        Remember(entry=SnapshotText(number=number, role="user", text="word " * 30))
        for number in range(count)
    ]
    parent.send(Ping(n=0))  # never read: its close is a reset for the peer
    for entry in entries:
        child.send(entry)
    child.send(Exiting(exit_reason=ExitReason.USER_LEFT))
    child.abort()
    for number in range(3):
        parent.send(Ping(n=number))
    assert [await parent.receive() for _ in entries] == entries
    assert await parent.receive() == Exiting(exit_reason=ExitReason.USER_LEFT)
    assert await parent.receive() is None
    parent.abort()


def transcript(text: str) -> Event:
    return Event(
        event=AgentInputTranscriptionDone(
            agent_id="a", agent_name="A", transcript=text, item_id="item-1"
        )
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "text",
    ["x" * MAX_LINE_BYTES, "\x01" * 600_000, "\N{GRINNING FACE}" * 800_000, '"' * 1_400_000],
)
async def test_a_message_that_is_too_long_is_cut_and_its_sender_lives(
    ends: Ends, text: str
) -> None:
    ends.child.send(transcript(text))
    ends.child.send(Remember(entry=SnapshotText(number=3, role="user", text=text)))
    ends.child.send(StartFailed(phase="joining", code="failed", message=text))
    event = await ends.parent.receive()
    assert isinstance(event, Event)
    assert isinstance(event.event, AgentInputTranscriptionDone)
    assert event.event.item_id == "item-1"
    assert event.event.transcript.startswith(text[:100])
    assert len(event.event.transcript) < len(text)
    remembered = await ends.parent.receive()
    assert isinstance(remembered, Remember)
    assert remembered.entry.number == 3
    failed = await ends.parent.receive()
    assert isinstance(failed, StartFailed)
    assert failed.message.startswith(text[:100])


@pytest.mark.asyncio
async def test_what_cannot_be_written_is_mended_or_dropped(ends: Ends) -> None:
    timings_ms = {f"step {number}": 0.5 for number in range(200_000)}
    many = Ready(timings_ms=timings_ms)
    ends.child.send(transcript("half \ud83d"))
    ends.child.send(many)
    ends.child.send(Exiting(exit_reason=ExitReason.STOPPED))
    event = await ends.parent.receive()
    assert isinstance(event, Event)
    assert isinstance(event.event, AgentInputTranscriptionDone)
    assert event.event.transcript == "half \N{REPLACEMENT CHARACTER}"
    # What has no long text is dropped.
    assert await ends.parent.receive() == Exiting(exit_reason=ExitReason.STOPPED)


@pytest.mark.asyncio
@pytest.mark.parametrize("text", ["x" * MAX_LINE_BYTES, "\x01" * 600_000, "\ud83d"])
async def test_what_must_not_be_cut_is_refused_without_its_values(ends: Ends, text: str) -> None:
    messages = [
        Start(config={"system_message": text}),
        Command(number=1, command=Update(instructions=text)),
        CommandDone(number=1, result=CommandResult(item_id=text)),
    ]
    for message in messages:
        with pytest.raises(MessageRefusedError) as caught:
            ends.parent.send(message)
        assert text[:20] not in str(caught.value)
    # The link is as before.
    ends.parent.send(Ping(n=1))
    assert await ends.child.receive() == Ping(n=1)


# -- sockets ----------------------------------------------------------------------------------


def adopt(number: int) -> AdoptSocket:
    adoption = Adoption(
        dialect="parley", received=b"aGk=", session_id="s", secret="hush", uid=number
    )
    return AdoptSocket(number=number, adoption=adoption)


@pytest_asyncio.fixture
async def taking() -> AsyncIterator[Ends]:
    """A child that takes sockets."""
    ours, theirs = socket.socketpair()
    parent = await Link.open(ours, CHILD_MESSAGE)
    child = await Link.open(theirs, PARENT_MESSAGE, takes_descriptors=True)
    yield Ends(parent, child)
    parent.abort()
    child.abort()
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_sockets_arrive_with_their_messages(taking: Ends) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    for number, (ours, _) in enumerate(pairs, 1):
        taking.parent.send(Ping(n=number))
        taking.parent.send_socket(adopt(number), ours.fileno())
        ours.close()
    for number, (_, theirs) in enumerate(pairs, 1):
        assert await taking.child.receive() == Ping(n=number)
        message = await taking.child.receive()
        assert message == adopt(number)
        assert "hush" not in repr(message)
        assert isinstance(message, AdoptSocket)
        assert message.adoption.received == b"hi"
        taken = taking.child.take_socket()
        assert taken is not None
        assert not os.get_inheritable(taken.fileno())
        with taken, theirs:
            taken.send(bytes([number]))
            assert theirs.recv(1) == bytes([number])


@pytest.mark.asyncio
async def test_a_process_without_descriptors_learns_that_one_was_lost(taking: Ends) -> None:
    ours, theirs = socket.socketpair()
    spare = os.dup(ours.fileno())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(spare)
    taking.parent.send_socket(adopt(1), ours.fileno())
    # The lowest free one is `spare` again: no descriptor below the limit is free.
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
    try:
        assert await taking.child.receive() == adopt(1)
        assert taking.child.take_socket() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    taking.parent.send_socket(adopt(2), ours.fileno())
    assert await taking.child.receive() == adopt(2)
    with ours, theirs:
        taken = taking.child.take_socket()
        assert taken is not None
        taken.close()


@pytest.mark.asyncio
async def test_a_busy_or_gone_peer_gets_no_socket(taking: Ends) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        while not taking.parent._stream.unsent_bytes:
            taking.parent.send(Ping(n=1))
        with pytest.raises(LinkBusyError):
            taking.parent.send_socket(adopt(1), ours.fileno())
        taking.child.abort()
        await asyncio.sleep(0)
        with pytest.raises((LinkBusyError, LinkBrokenError)):
            taking.parent.send_socket(adopt(1), ours.fileno())
        ours.send(b"still ours")


@pytest.mark.asyncio
async def test_sockets_that_nobody_took_are_closed_with_the_link(taking: Ends) -> None:
    ours, theirs = socket.socketpair()
    taking.parent.send_socket(adopt(1), ours.fileno())
    ours.close()
    assert await taking.child.receive() == adopt(1)
    taking.child.abort()
    with theirs:
        assert theirs.recv(1) == b""
