"""Webhooks to a real receiver: signed, tried again, bounded, and delivered before the end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from config import Settings
from control.processes.link import StateChanged
from control.server import ControlServer, ServerError
from control.serving import open_listener
from control.webhooks.retries import RetryPolicy
from control.webhooks.sender import MAX_WAITING, Webhooks
from control.webhooks.signing import parse_secret
from conversation.lifecycle import AgentState, ExitReason
from tests.control.live.test_streams import end
from tests.fakes.http_server import serving
from tests.processes.conftest import agent_config

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

    def verify(self) -> None:
        """As the specification's own libraries do it."""
        content = f"{self.delivery_id}.{self.timestamp}.{self.body}".encode()
        expected = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
        assert self.signature == f"v1,{expected}"


class Receiver:
    """Answers with what `status` says; records everything."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.status: Callable[[], int] = lambda: 204
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
        await self.gate.wait()
        return web.Response(status=self.status(), headers={"Location": self.url})


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


@asynccontextmanager
async def sending(url: str, retries: RetryPolicy = QUICK) -> AsyncIterator[Webhooks]:
    webhooks = Webhooks(SecretStr(url), SECRET, retries=retries)
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
async def test_a_life_is_told_and_signed_before_the_server_ends() -> None:
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
async def test_what_is_not_taken_comes_again_under_the_same_id() -> None:
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
async def test_what_is_never_taken_is_given_up_without_a_secret_in_the_log(
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
        assert webhooks.dropped == 20
        with caplog.at_level(logging.WARNING):
            await webhooks.close(deadline_s=0.05)
        assert "before all was delivered" in caplog.text


@pytest.mark.asyncio
async def test_nobody_there_is_tried_again_too(caplog: pytest.LogCaptureFixture) -> None:
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


@pytest.mark.parametrize("text", ["whsec_***", "whsec_c2hvcnQ=", "too short"])
def test_secrets_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="WEBHOOK_SECRET"):
        parse_secret(text)
    assert parse_secret("x" * 24) == b"x" * 24


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"webhook_url": "http://127.0.0.1:9"}, "needs WEBHOOK_SECRET"),
        ({"webhook_url": "ftp://x", "webhook_secret": "x" * 24}, "WEBHOOK_URL"),
        ({"webhook_url": "http://x", "webhook_secret": "short"}, "24 bytes"),
    ],
)
async def test_a_server_says_what_is_wrong_with_its_webhooks(
    settings: dict[str, str], problem: str
) -> None:
    wanted = Settings.model_validate({"local_model_uri": "ws://127.0.0.1:9", **settings})
    with open_listener("127.0.0.1", 0) as listener, pytest.raises(ServerError, match=problem):
        ControlServer(wanted, listener)
