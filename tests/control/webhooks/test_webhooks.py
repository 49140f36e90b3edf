"""Webhooks to a real receiver: signed, tried again, bounded, and delivered before the end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from config.secrets import webhook_keys
from control.ipc.link import Event, StateChanged
from control.webhooks.retries import RetryPolicy
from control.webhooks.schedule import Schedule
from control.webhooks.sender import MAX_WAITING, Webhooks
from conversation.events.server_events import AgentTransferred, AgentTransferRequested
from conversation.lifecycle import AgentState, ExitReason
from rtc.room_server.tokens import RoomTokens
from tests.control.event_stream.test_streams import end
from tests.fakes.http_server import serving
from tests.processes.conftest import agent_config, until

KEY = b"0123456789abcdef01234567"
SECRET = SecretStr("whsec_" + base64.b64encode(KEY).decode())
QUICK = RetryPolicy(attempts=4, first_s=0.001, cap_s=0.002)


@dataclass(frozen=True)
class Received:
    delivery_id: str
    timestamp: str
    signature: str
    body: str

    @property
    def kind(self) -> str:
        return str(json.loads(self.body)["type"])

    def verify(self, secret: str = "") -> None:
        """By the specification's own library."""
        headers = {
            "webhook-id": self.delivery_id,
            "webhook-timestamp": self.timestamp,
            "webhook-signature": self.signature,
        }
        assert Webhook(secret or SECRET.get_secret_value()).verify(self.body, headers)


class Receiver:
    """Answers with what `status` says; records everything."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.status: Callable[[], int] = lambda: 204
        # Of the channels whose notices are not taken, if there are some.
        self.refused: set[str] = set()
        self.hung: set[str] = set()
        self.release = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.received.append(
            Received(
                headers["webhook-id"],
                headers["webhook-timestamp"],
                headers["webhook-signature"],
                await request.text(),
            )
        )
        channel_name = json.loads(self.received[-1].body)["data"]["channel_name"]
        if channel_name in self.hung:
            await self.release.wait()
        await self.gate.wait()
        status = 500 if channel_name in self.refused else self.status()
        return web.Response(status=status, headers={"Location": self.url})

    def of(self, channel_name: str) -> list[Received]:
        return [one for one in self.received if f'"{channel_name}"' in one.body]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    async with serving(app) as port:
        receiver.url = f"http://127.0.0.1:{port}/hook?token=hook-secret"
        try:
            yield receiver
        finally:
            receiver.gate.set()
            receiver.release.set()


@asynccontextmanager
async def sending(
    url: str, retries: RetryPolicy = QUICK, secret: SecretStr = SECRET
) -> AsyncIterator[Webhooks]:
    webhooks = Webhooks(SecretStr(url), secret, retries=retries)
    webhooks.start()
    try:
        yield webhooks
    finally:
        webhooks.give_up()
        await webhooks.close()


def live(webhooks: Webhooks) -> None:
    """A whole life with a crash in it."""
    config = agent_config()
    webhooks.handle_start(config, restarts=0)
    webhooks.handle_ready(config, {"total": 1.5})
    webhooks.handle_message(config, StateChanged(state=AgentState.RUNNING, at_ms=1))
    end_of = (webhooks, config)
    end(*end_of, is_restarted=True, exit_reason=ExitReason.CRASHED)  # type: ignore[arg-type]
    webhooks.handle_start(config, restarts=1)
    webhooks.handle_ready(config, {"total": 0.5})
    end(*end_of)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_person_who_shall_take_over_gets_a_token_for_the_room() -> None:
    tokens = RoomTokens(["s" * 32])
    async with receiving() as receiver:
        webhooks = Webhooks(SecretStr(receiver.url), SECRET, room_tokens=tokens)
        webhooks.start()
        about: dict[str, Any] = {
            "agent_id": "id-demo",
            "agent_name": "Ada",
            "target": "billing",
            "uid": 3_000_000_001,
        }
        asked = AgentTransferRequested(**about, summary="A bill of 20 euros.")
        webhooks.handle_message(agent_config(), Event(event=asked))
        webhooks.handle_message(agent_config(), Event(event=AgentTransferred(**about)))
        await webhooks.close()
        told = {one.kind: json.loads(one.body)["data"] for one in receiver.received}
        data = told["agent.transfer_requested"]
        assert (data["target"], data["summary"]) == ("billing", "A bill of 20 euros.")
        permit = tokens.verify(data["room_token"], channel="demo", uid=None, role="user")
        assert permit.uid == data["person_uid"] == 3_000_000_001
        assert told["agent.transferred"]["person_uid"] == 3_000_000_001


@pytest.mark.asyncio
async def test_notices_of_a_call_are_signed_and_delivered_before_the_end() -> None:
    async with receiving() as receiver, sending(receiver.url) as webhooks:
        live(webhooks)
        await webhooks.close()
        told = receiver.received
        assert sorted(one.kind for one in told) == [
            "agent.exited",
            "agent.in_call",
            "agent.ready",
            "agent.ready",
            "agent.restarting",
            "agent.started",
        ]
        for one in told:
            one.verify()
        assert len({one.delivery_id for one in told}) == len(told)
        exited = next(json.loads(one.body) for one in told if one.kind == "agent.exited")
        assert exited["data"] == {
            "channel_name": "demo",
            "agent_id": "id-demo",
            "uid": 1000,
            "exit_reason": "stopped",
            "exit_code": 0,
            "uptime_s": 1.0,
        }


@pytest.mark.asyncio
async def test_a_refused_delivery_is_retried_under_the_same_id() -> None:
    statuses = [500, 302, 429, 200]
    async with receiving() as receiver, sending(receiver.url) as webhooks:
        receiver.status = lambda: statuses[len(receiver.received) - 1]
        webhooks.handle_start(agent_config(), restarts=0)
        await webhooks.close()
        assert len(receiver.received) == 4
        assert len({one.delivery_id for one in receiver.received}) == 1
        for one in receiver.received:
            one.verify()


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "attempts"), [(500, 4), (410, 1)])
async def test_a_delivery_refused_for_good_is_given_up_without_a_secret_in_the_log(
    status: int, attempts: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as receiver, sending(receiver.url) as webhooks:
        receiver.status = lambda: status
        webhooks.handle_start(agent_config(), restarts=0)
        await webhooks.close()
        assert len(receiver.received) == attempts
    assert f"given up after {attempts} attempts: status {status}" in caplog.text
    assert "hook-secret" not in caplog.text


@pytest.mark.asyncio
async def test_a_receiver_that_hangs_costs_the_oldest_and_delays_no_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with receiving() as receiver, sending(receiver.url) as webhooks:
        receiver.gate.clear()
        for _ in range(MAX_WAITING + 20):
            webhooks.handle_start(agent_config(), restarts=0)
        assert (webhooks.dropped, webhooks.waiting) == (20, MAX_WAITING)
        assert caplog.text.count("queue of webhooks grows: 100 entries wait") == 1
        with caplog.at_level(logging.WARNING):
            await webhooks.close(deadline_s=0.05)
        assert "before all notices were delivered" in caplog.text


@pytest.mark.asyncio
async def test_an_unreachable_receiver_is_retried_too(caplog: pytest.LogCaptureFixture) -> None:
    async with sending("http://127.0.0.1:9/hook") as webhooks:
        webhooks.handle_start(agent_config(), restarts=0)
        await webhooks.close()
    assert "ClientConnectorError" in caplog.text


@given(st.integers(1, 7), st.floats(0, 1))
def test_pauses_grow_within_bounds(attempt: int, chance: float) -> None:
    policy = RetryPolicy()
    pause_s = policy.pause_s(attempt, chance)
    assert pause_s is not None
    longest_s = min(60.0, 2.0 ** (attempt - 1))
    assert longest_s / 2 <= pause_s <= longest_s
    assert policy.pause_s(policy.attempts, chance) is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "secret",
    [
        "w" * 30,
        "x" * 24,
        "abcdefghijklmnopqrstuvwxyz0123456789",
        base64.b64encode(KEY * 2).decode(),
        "whsec_" + base64.b64encode(KEY * 2).decode(),
        "whsec_" + base64.b64encode(b"0" * 25).decode().rstrip("="),
    ],
)
async def test_signatures_of_any_secret_pass_the_official_library(
    secret: str,
) -> None:
    async with (
        receiving() as receiver,
        sending(receiver.url, secret=SecretStr(secret)) as webhooks,
    ):
        webhooks.handle_start(agent_config(), restarts=0)
        await webhooks.close()
        (told,) = receiver.received
    told.verify(secret)
    with pytest.raises(WebhookVerificationError):
        told.verify("whsec_" + base64.b64encode(b"another key of 24 bytes.").decode())
    if not secret.startswith("whsec_"):
        # Receivers that take the characters themselves.
        content = f"{told.delivery_id}.{told.timestamp}.{told.body}".encode()
        digest = hmac.new(secret.encode(), content, hashlib.sha256).digest()
        assert f"v1,{base64.b64encode(digest).decode()}" in told.signature.split()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["refused", "hung"])
async def test_a_refused_delivery_blocks_no_other(kind: str) -> None:
    patient = RetryPolicy(attempts=8, first_s=60.0, cap_s=60.0)
    async with receiving() as receiver, sending(receiver.url, patient) as webhooks:
        getattr(receiver, kind).update({"bad"})
        # Of one call, the next one follows when the one before was answered.
        number = {"refused": 20, "hung": 1}[kind]
        for _ in range(number):
            webhooks.handle_start(agent_config("bad"), restarts=0)
        await until(lambda: len(receiver.of("bad")) == number)
        for _ in range(10):
            webhooks.handle_start(agent_config("good"), restarts=0)
        await until(lambda: len(receiver.of("good")) == 10)
        assert len(receiver.of("bad")) == number


@pytest.mark.asyncio
async def test_a_refused_one_comes_again_when_it_is_due_and_the_end_waits_for_no_pause() -> None:
    soon = RetryPolicy(attempts=3, first_s=0.2, cap_s=60.0)
    async with receiving() as receiver, sending(receiver.url, soon) as webhooks:
        receiver.refused = {"bad"}
        webhooks.handle_start(agent_config("bad"), restarts=0)
        await until(lambda: len(receiver.of("bad")) == 2)
        late = RetryPolicy(attempts=3, first_s=60.0, cap_s=60.0)
        webhooks._retries = late
        webhooks.handle_start(agent_config("worse"), restarts=0)
        receiver.refused = {"worse"}
        await until(lambda: len(receiver.of("worse")) == 1)
        receiver.refused = set()
        await webhooks.close()
        assert len(receiver.of("worse")) == 2


@pytest.mark.asyncio
async def test_an_attempt_that_is_refused_during_the_end_is_repeated_without_its_pause() -> None:
    late = RetryPolicy(attempts=3, first_s=60.0, cap_s=60.0)
    async with receiving() as receiver, sending(receiver.url, late) as webhooks:
        receiver.refused = {"bad"}
        receiver.gate.clear()
        webhooks.handle_start(agent_config("bad"), restarts=0)
        await until(lambda: len(receiver.of("bad")) == 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(webhooks.close(deadline_s=10))
            await until(lambda: bool(webhooks._hurried))
            receiver.gate.set()
            await until(lambda: len(receiver.of("bad")) == 2)
            webhooks.give_up()


@pytest.mark.asyncio
async def test_a_waiting_notice_of_a_deleted_call_loses_its_error() -> None:
    async with receiving() as receiver, sending(receiver.url) as webhooks:
        receiver.gate.clear()
        config = agent_config()
        for _ in range(12):
            end(webhooks, config, error="she said: 4711")  # type: ignore[arg-type]
        await until(lambda: receiver.received)
        webhooks.forget_calls({config.agent_id})
        before = len(receiver.received)
        receiver.gate.set()
        await webhooks.close()
        assert len(receiver.received) == 12
        assert "4711" not in str([one.body for one in receiver.received[before:]])
        for one in receiver.received[before:]:
            one.verify()


@pytest.mark.asyncio
async def test_the_owners_proxy_is_used_and_no_redirect_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []

    async def pass_on(request: web.Request) -> web.Response:
        asked.append((request.raw_path, await request.text()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    async with serving(app) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        async with sending("http://receiver.invalid/hook") as webhooks:
            webhooks.handle_start(agent_config(), restarts=0)
            await webhooks.close()
        ((path, body),) = asked
        assert "receiver.invalid/hook" in path or path == "/hook"
        assert "agent.started" in body
        # Programs of this machine are never asked through it.
        async with receiving() as receiver, sending(receiver.url) as webhooks:
            receiver.status = lambda: 307
            webhooks.handle_start(agent_config(), restarts=0)
            await webhooks.close()
            assert len(receiver.received) == QUICK.attempts
        assert len(asked) == 1


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 8))
def test_a_schedule_is_bounded_keeps_the_newest_and_forgets_nothing_else(
    steps: list[int], limit: int
) -> None:
    schedule: Schedule[int] = Schedule(limit)
    now_s, added, taken, done = 0.0, 0, dict[int, int](), set[int]()
    for step in steps:
        now_s += 1
        if step in (0, 1):
            schedule.add(added)
            added += 1
        elif step == 2 and (one := schedule.take(now_s, may_be_refused=True)) is not None:
            taken[one[0]] = one[1]
        elif step == 3 and taken:
            number, thing = taken.popitem()
            schedule.put_back(number, thing, now_s + 2)
        assert len(schedule) <= limit
    schedule.hurry()
    while (one := schedule.take(now_s, may_be_refused=True)) is not None:
        done.add(one[1])
    left = done | set(taken.values())
    assert len(left) + schedule.dropped == added
    assert schedule.due_s() is None
    if added:
        assert added - 1 in left or schedule.dropped


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("whsec_***", "no base64"),
        ("whsec_c2hvcnQ=", "5 bytes after whsec_"),
        ("too short", "9 characters"),
        ("short", "5 characters"),
        ("correct horse battery staple!", "no base64"),
        ("a-secret-with-dashes-in-it-of-many", "no base64"),
        ("x" * 25, "no base64"),
        ("whsec_" + "x" * 41, "no base64"),
        ("gr\u00fcn" * 9, "no base64"),
    ],
)
def test_a_secret_that_no_library_reads_is_refused_with_the_remedy(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        Webhooks(SecretStr("http://127.0.0.1:9"), SecretStr(text))
    assert str(raised.value).startswith("WEBHOOK_SECRET: ")
    assert text not in str(raised.value)
    # The remedy is a command that makes a good one.
    command = str(raised.value).partition("make one with: ")[2]
    made = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert len(webhook_keys(made.stdout.strip())[0]) == 32
