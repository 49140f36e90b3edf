"""`Webhooks`: tells a URL of agents' lives. Never waited for by anything but the server's end."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Collection, Mapping
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
from control.webhooks.schedule import Schedule
from control.webhooks.signing import signed_headers
from conversation.lifecycle import AgentState
from proxies import InvalidProxyError, outbound_proxy
from secret_rules import webhook_keys
from utils import OwnedTasks, run_unless, wall_clock_ms

MAX_WAITING: Final = 1_000
"""Deliveries that wait; when full the oldest is dropped: what is newer says more."""

CLOSE_DEADLINE_S: Final = 5.0
"""How long the server's end waits for what is still to be delivered."""

_AT_ONCE: Final = 8
_REFUSED_AT_ONCE: Final = 4
"""Fewer, so that what was refused before cannot hold up what is new."""

_ATTEMPT_TIMEOUT_S: Final = 10.0
_UNWANTED: Final = "status 410"
_EXIT_FIELDS: Final = frozenset(NoticeData.model_fields) - {"timings_ms"}

_log = logging.getLogger("control.webhooks")


@dataclass(slots=True)
class _Delivery:
    notice: Notice = field(repr=False)
    attempts: int = 0
    delivery_id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(12)}")


class Webhooks(CallObserver):
    """Several deliveries at once; one that is refused waits apart until it is tried again. Their
    order is not that of what happened, which is in their timestamps.
    """

    def __init__(
        self, url: SecretStr, secret: SecretStr, *, retries: RetryPolicy | None = None
    ) -> None:
        """
        Raises:
            ValueError: the URL or the secret cannot be one.
        """
        self._url = _parse_url(url.get_secret_value())
        try:
            self._keys = webhook_keys(secret.get_secret_value())
        except ValueError as error:
            raise ValueError(f"WEBHOOK_SECRET: {error}") from error
        self._retries = retries or RetryPolicy()
        self._schedule: Schedule[_Delivery] = Schedule(MAX_WAITING)
        self._under_way: dict[int, _Delivery] = {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._tasks = OwnedTasks(_log)
        self._http: aiohttp.ClientSession | None = None
        self._given_up: asyncio.Future[None] | None = None

    @property
    def dropped(self) -> int:
        """Deliveries that were never sent because too many waited."""
        return self._schedule.dropped

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

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Take the only free text, the error, out of what still waits."""
        for delivery in (*self._schedule, *self._under_way.values()):
            data = delivery.notice.data
            if data.agent_id in call_ids and data.error is not None:
                silent = data.model_copy(update={"error": None})
                delivery.notice = delivery.notice.model_copy(update={"data": silent})

    def _tell(self, kind: Kind, data: NoticeData) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        dropped = self.dropped
        self._schedule.add(_Delivery(Notice(type=kind, timestamp=now, data=data)))
        if self.dropped > dropped:
            _log.warning("webhooks: %d deliveries dropped, the receiver is behind", self.dropped)
        self._idle.clear()
        self._changed.set()

    # -- delivering ------------------------------------------------------------------------------

    def start(self) -> None:
        """Deliver from now on."""
        timeout = aiohttp.ClientTimeout(total=_ATTEMPT_TIMEOUT_S)
        self._http = aiohttp.ClientSession(timeout=timeout)
        self._given_up = asyncio.get_running_loop().create_future()
        self._tasks.start(self._deliver_all(self._http), name="webhooks")

    async def close(self, deadline_s: float = CLOSE_DEADLINE_S) -> None:
        """Deliver what waits, as far as that can be done within the deadline. Idempotent."""
        if self._http is None or self._given_up is None:
            return
        self._schedule.hurry()
        self._changed.set()
        try:
            async with asyncio.timeout(deadline_s):
                await run_unless(self._given_up, self._idle.wait())
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
            self._changed.clear()
            while (taken := self._take()) is not None:
                number, delivery = taken
                self._under_way[number] = delivery
                self._tasks.start(self._deliver(http, number), name=f"webhook {number}")
            if not self._under_way and not self._schedule:
                self._idle.set()
            await self._wait_change()

    def _take(self) -> tuple[int, _Delivery] | None:
        """The next to try, if there is room."""
        if len(self._under_way) >= _AT_ONCE:
            return None
        return self._schedule.take(time.monotonic(), may_be_refused=self._has_room_for_refused)

    @property
    def _has_room_for_refused(self) -> bool:
        refused = sum(delivery.attempts > 0 for delivery in self._under_way.values())
        return len(self._under_way) < _AT_ONCE and refused < _REFUSED_AT_ONCE

    async def _wait_change(self) -> None:
        """Something new, a place that is free, or something refused that is due."""
        due_s = self._schedule.due_s() if self._has_room_for_refused else None
        try:
            async with asyncio.timeout(None if due_s is None else due_s - time.monotonic()):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _deliver(self, http: aiohttp.ClientSession, number: int) -> None:
        delivery = self._under_way[number]
        try:
            problem = await self._attempt(http, delivery)
        finally:
            del self._under_way[number]
            self._changed.set()
        delivery.attempts += 1
        if problem is None:
            return
        pause_s = self._retries.pause_s(delivery.attempts, random.random())
        if pause_s is None or problem == _UNWANTED:
            text = "webhook %s (%s) given up after %d attempts: %s"
            kind = delivery.notice.type
            _log.warning(text, delivery.delivery_id, kind, delivery.attempts, problem)
            return
        self._schedule.put_back(number, delivery, time.monotonic() + pause_s)

    async def _attempt(self, http: aiohttp.ClientSession, delivery: _Delivery) -> str | None:
        """Why it was not taken; None when it was. The URL may hold a secret: it is in no text."""
        body = delivery.notice.model_dump_json(exclude_none=True)
        headers = signed_headers(
            self._keys,
            delivery_id=delivery.delivery_id,
            timestamp_s=wall_clock_ms() // 1000,
            body=body,
        )
        headers["Content-Type"] = "application/json"
        try:
            async with http.post(
                self._url,
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=outbound_proxy(self._url),
            ) as response:
                if is_delivered(response.status):
                    return None
                return _UNWANTED if is_unwanted(response.status) else f"status {response.status}"
        except InvalidProxyError as error:
            return str(error)
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
