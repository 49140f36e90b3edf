"""`Webhooks`: tells a URL of agents' lives. Never waited for by anything but the server's end."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from pydantic import SecretStr
from yarl import URL

from config import AgentConfig
from control.observers import CallObserver
from control.placement import ExitRecord
from control.processes.link import ChildMessage, StateChanged
from control.webhooks.notices import Kind, Notice, NoticeData
from control.webhooks.retries import RetryPolicy, is_delivered, is_unwanted
from control.webhooks.signing import parse_secret, signed_headers
from conversation.lifecycle import AgentState
from utils import OwnedTasks, run_unless, wall_clock_ms

MAX_WAITING: Final = 1_000
"""Deliveries that wait; when full the oldest is dropped: what is newer says more."""

CLOSE_DEADLINE_S: Final = 5.0
"""How long the server's end waits for what is still to be delivered."""

_AT_ONCE: Final = 4
_ATTEMPT_TIMEOUT_S: Final = 10.0
_UNWANTED: Final = "status 410"
_EXIT_FIELDS: Final = frozenset(NoticeData.model_fields) - {"timings_ms"}

_log = logging.getLogger("control.webhooks")


@dataclass(frozen=True, slots=True)
class _Delivery:
    body: str = field(repr=False)
    kind: str
    delivery_id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(12)}")


class Webhooks(CallObserver):
    """Several deliveries at once, each tried again by itself: their order is not that of what
    happened, which is in their timestamps.
    """

    def __init__(
        self, url: SecretStr, secret: SecretStr, *, retries: RetryPolicy | None = None
    ) -> None:
        """
        Raises:
            ValueError: the URL or the secret cannot be one.
        """
        self.dropped = 0
        self._url = _parse_url(url.get_secret_value())
        self._key = parse_secret(secret.get_secret_value())
        self._retries = retries or RetryPolicy()
        self._waiting: asyncio.Queue[_Delivery] = asyncio.Queue(MAX_WAITING)
        self._tasks = OwnedTasks(_log)
        self._http: aiohttp.ClientSession | None = None
        self._given_up: asyncio.Future[None] | None = None

    # -- what happens ----------------------------------------------------------------------------

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """A call begins."""
        if restarts == 0:
            self._tell("agent.started", _about(config))

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """The agent is there."""
        self._tell("agent.ready", _about(config, timings_ms=dict(timings_ms)))

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """Somebody came."""
        if isinstance(message, StateChanged) and message.state is AgentState.RUNNING:
            self._tell("agent.in_call", _about(config))

    def handle_exit(self, record: ExitRecord) -> None:
        """A process is gone."""
        fields = {name: getattr(record, name) for name in _EXIT_FIELDS}
        kind: Kind = "agent.restarting" if record.is_restarted else "agent.exited"
        self._tell(kind, NoticeData(**fields))

    def _tell(self, kind: Kind, data: NoticeData) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        notice = Notice(type=kind, timestamp=now, data=data)
        if self._waiting.full():
            self._waiting.get_nowait()
            self._waiting.task_done()
            self.dropped += 1
            _log.warning("webhooks: %d deliveries dropped, the receiver is behind", self.dropped)
        self._waiting.put_nowait(_Delivery(notice.model_dump_json(exclude_none=True), kind))

    # -- delivering ------------------------------------------------------------------------------

    def start(self) -> None:
        """Deliver from now on."""
        timeout = aiohttp.ClientTimeout(total=_ATTEMPT_TIMEOUT_S)
        self._http = aiohttp.ClientSession(timeout=timeout)
        self._given_up = asyncio.get_running_loop().create_future()
        for number in range(_AT_ONCE):
            self._tasks.start(self._deliver_all(self._http), name=f"webhooks {number}")

    async def close(self, deadline_s: float = CLOSE_DEADLINE_S) -> None:
        """Deliver what waits, as far as that can be done within the deadline. Idempotent."""
        if self._http is None or self._given_up is None:
            return
        try:
            async with asyncio.timeout(deadline_s):
                await run_unless(self._given_up, self._waiting.join())
        except TimeoutError:
            _log.warning("webhooks: the server ends before all was delivered")
        finally:
            await self._tasks.close()
            await self._http.close()

    def give_up(self) -> None:
        """Let `close` wait for nothing."""
        if self._given_up is not None and not self._given_up.done():
            self._given_up.set_result(None)

    async def _deliver_all(self, http: aiohttp.ClientSession) -> None:
        while True:
            delivery = await self._waiting.get()
            try:
                await self._deliver(http, delivery)
            finally:
                self._waiting.task_done()

    async def _deliver(self, http: aiohttp.ClientSession, delivery: _Delivery) -> None:
        attempt = 0
        while True:
            attempt += 1
            problem = await self._attempt(http, delivery)
            if problem is None:
                return
            pause_s = self._retries.pause_s(attempt, random.random())
            if pause_s is None or problem == _UNWANTED:
                text = "webhook %s (%s) given up after %d attempts: %s"
                _log.warning(text, delivery.delivery_id, delivery.kind, attempt, problem)
                return
            await asyncio.sleep(pause_s)

    async def _attempt(self, http: aiohttp.ClientSession, delivery: _Delivery) -> str | None:
        """Why it was not taken; None when it was. The URL may hold a secret: it is in no text."""
        headers = signed_headers(
            self._key,
            delivery_id=delivery.delivery_id,
            timestamp_s=wall_clock_ms() // 1000,
            body=delivery.body,
        )
        headers["Content-Type"] = "application/json"
        try:
            async with http.post(
                self._url, data=delivery.body, headers=headers, allow_redirects=False
            ) as response:
                if is_delivered(response.status):
                    return None
                return _UNWANTED if is_unwanted(response.status) else f"status {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return type(error).__name__


def _parse_url(text: str) -> URL:
    url = URL(text)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("WEBHOOK_URL: must be an http or https address")
    return url


def _about(config: AgentConfig, **more: Any) -> NoticeData:
    return NoticeData(
        channel_name=config.channel_name, agent_id=config.agent_id, uid=config.uid, **more
    )
