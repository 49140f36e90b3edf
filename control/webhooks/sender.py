"""`Webhooks`: delivers notices of agents and calls to a URL. Only the server's end waits for it."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp
from pydantic import SecretStr
from yarl import URL

from config.agent import AgentConfig
from config.notices import CONTENT_KINDS, LIFECYCLE_KINDS, NoticeKind
from config.secrets import webhook_keys
from control.ipc.link import ChildMessage, Event, StateChanged
from control.observers import CallObserver
from control.placement import ExitRecord
from control.webhooks.notices import AgentData, Notice, NoticeData, ToolCallData
from control.webhooks.retries import RetryPolicy, is_delivered, is_unwanted
from control.webhooks.schedule import Schedule
from control.webhooks.signing import signed_headers
from control.webhooks.tool_calls import ToolCalls
from conversation.events.server_events import (
    AgentHostedToolProgress,
    AgentResponseToolResult,
    AgentResponseToolUseDone,
    AgentTransferred,
    AgentTransferRequested,
)
from conversation.lifecycle import AgentState
from proxies import InvalidProxyError, outbound_proxy
from rtc.room_server.tokens import RoomTokens
from utils import BacklogWarning, OwnedTasks, run_unless, wall_clock_ms

MAX_WAITING: Final = 1_000
"""Waiting deliveries; past it the oldest is dropped, as newer ones supersede it."""

CLOSE_DEADLINE_S: Final = 5.0
"""Time that the server's end waits for pending deliveries."""

TRANSFER_TTL_S: Final = 3600.0
"""Validity of the room token of a person who shall take a call over."""

_AT_ONCE: Final = 8
_REFUSED_AT_ONCE: Final = 4
"""Fewer, so that refused deliveries cannot block new ones."""

_ATTEMPT_TIMEOUT_S: Final = 10.0
_UNWANTED: Final = "status 410"
_EXIT_FIELDS: Final = frozenset(NoticeData.model_fields) - {
    *("timings_ms", "target", "summary", "person_uid", "room_token")
}

_log = logging.getLogger("control.webhooks")


@dataclass(slots=True)
class _Delivery:
    notice: Notice = field(repr=False)
    attempts: int = 0
    # True once its call is deleted: it is not sent again.
    is_void: bool = False
    delivery_id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(12)}")

    @property
    def call_id(self) -> str:
        return self.notice.data.agent_id

    @property
    def size_bytes(self) -> int:
        return len(self.notice.model_dump_json().encode())


class Webhooks(CallObserver):
    """Delivers concurrently, of one call one after the other; a refused delivery waits apart for its
    retry and may arrive after later ones: timestamps have the order of events.
    """

    def __init__(
        self,
        url: SecretStr,
        secret: SecretStr,
        *,
        kinds: Collection[NoticeKind] = LIFECYCLE_KINDS,
        retries: RetryPolicy | None = None,
        room_tokens: RoomTokens | None = None,
    ) -> None:
        """
        kinds: of notices that are sent
        room_tokens: of the rooms that people join who take a call over

        Raises:
            ValueError: the URL or the secret is invalid.
        """
        self._url = _parse_url(url.get_secret_value())
        try:
            self._keys = webhook_keys(secret.get_secret_value())
        except ValueError as error:
            raise ValueError(f"WEBHOOK_SECRET: {error}") from error
        self.kinds = frozenset(kinds)
        self._tool_calls = ToolCalls()
        self._last_at = datetime.min.replace(tzinfo=UTC)
        self._retries = retries or RetryPolicy()
        self._room_tokens = room_tokens or RoomTokens()
        self._schedule: Schedule[_Delivery] = Schedule(MAX_WAITING)
        self._backlog = BacklogWarning(_log, "of webhooks", MAX_WAITING // 10)
        self._under_way: dict[int, _Delivery] = {}
        self._hurried: set[int] = set()
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._tasks = OwnedTasks(_log)
        self._http: aiohttp.ClientSession | None = None
        self._given_up: asyncio.Future[None] | None = None

    @property
    def dropped(self) -> int:
        """Deliveries that were never sent because too many waited."""
        return self._schedule.dropped

    @property
    def waiting(self) -> int:
        """Deliveries that wait, new ones and those to be tried again."""
        return len(self._schedule)

    # -- observer ----------------------------------------------------------------------------

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """Enqueue `agent.started`, once per call."""
        if restarts == 0:
            self._enqueue("agent.started", _about(config))

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """Enqueue `agent.ready`."""
        self._enqueue("agent.ready", _about(config, timings_ms=dict(timings_ms)))

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """Enqueue `agent.in_call` when a user has joined, and notices of a transfer."""
        match message:
            case StateChanged(state=AgentState.RUNNING):
                self._enqueue("agent.in_call", _about(config))
            case Event(event=AgentTransferRequested() as event):
                self._enqueue("agent.transfer_requested", self._about_transfer(config, event))
            case Event(event=AgentTransferred(target=target, uid=uid)):
                self._enqueue("agent.transferred", _about(config, target=target, person_uid=uid))
            case Event(event=AgentResponseToolUseDone(tool_use=use)) if self._has_tool_calls:
                self._tool_calls.begin(config.agent_id, use, now_s=time.monotonic())
            case Event(event=AgentResponseToolResult(tool_result=result)) if self._has_tool_calls:
                self._enqueue_call(self._tool_calls.end(config, result, now_s=time.monotonic()))
            case Event(event=AgentHostedToolProgress() as step) if self._has_tool_calls:
                self._enqueue_call(
                    self._tool_calls.follow_hosted(config, step, now_s=time.monotonic())
                )
            case _:
                pass

    def _enqueue_call(self, call: ToolCallData | None) -> None:
        if call is not None:
            self._enqueue("call.tool_call", call)

    @property
    def _has_tool_calls(self) -> bool:
        return "call.tool_call" in self.kinds

    def _about_transfer(self, config: AgentConfig, event: AgentTransferRequested) -> NoticeData:
        return _about(
            config,
            target=event.target,
            summary=event.summary,
            person_uid=event.uid,
            room_token=self._room_tokens.mint_for_person(
                team=config.team, channel=config.channel_name, uid=event.uid, ttl_s=TRANSFER_TTL_S
            ),
        )

    def handle_exit(self, record: ExitRecord) -> None:
        """Enqueue `agent.restarting` or `agent.exited`, after the tool calls that are lost with it."""
        for call in self._tool_calls.lose(
            record.agent_id,
            channel_name=record.channel_name,
            uid=record.uid,
            now_s=time.monotonic(),
        ):
            self._enqueue_call(call)
        fields = {name: getattr(record, name) for name in _EXIT_FIELDS}
        kind: NoticeKind = "agent.restarting" if record.is_restarted else "agent.exited"
        self._enqueue(kind, NoticeData(**fields))

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Remove deliveries with content of these calls, and the free texts from the others."""

        def is_unwanted(delivery: _Delivery) -> bool:
            return delivery.call_id in call_ids and delivery.notice.type in CONTENT_KINDS

        self._schedule.drop(is_unwanted)
        for delivery in (*self._schedule, *self._under_way.values()):
            delivery.is_void |= is_unwanted(delivery)
            data = delivery.notice.data
            if data.agent_id in call_ids and isinstance(data, NoticeData):
                silent = data.model_copy(update={"error": None, "summary": None})
                delivery.notice = delivery.notice.model_copy(update={"data": silent})
        self._changed.set()

    def send(self, kind: NoticeKind, data: AgentData) -> None:
        """Enqueue a notice, if its kind is wanted."""
        self._enqueue(kind, data)

    def _enqueue(self, kind: NoticeKind, data: AgentData) -> None:
        if kind not in self.kinds:
            return
        notice = Notice(type=kind, timestamp=self._next_timestamp(), data=data)
        delivery = _Delivery(notice)
        dropped = self.dropped
        self._schedule.add(delivery, delivery.size_bytes)
        self._backlog.observe(self.waiting)
        if self.dropped > dropped:
            _log.warning("webhooks: %d deliveries dropped, the receiver is behind", self.dropped)
        self._idle.clear()
        self._changed.set()

    def _next_timestamp(self) -> str:
        """Return the time, later than that of the notice before."""
        self._last_at = max(datetime.now(UTC), self._last_at + timedelta(microseconds=1))
        return self._last_at.isoformat(timespec="microseconds")

    # -- delivering ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start delivering."""
        timeout = aiohttp.ClientTimeout(total=_ATTEMPT_TIMEOUT_S)
        self._http = aiohttp.ClientSession(timeout=timeout)
        self._given_up = asyncio.get_running_loop().create_future()
        self._tasks.start(self._deliver_all(self._http), name="webhooks")

    async def close(self, deadline_s: float = CLOSE_DEADLINE_S) -> None:
        """Deliver pending notices within the deadline. Idempotent."""
        if self._http is None or self._given_up is None:
            return
        self._schedule.hurry()
        # An attempt under way that is refused from now on is repeated without its pause, too.
        self._hurried = set(self._under_way)
        self._changed.set()
        try:
            async with asyncio.timeout(deadline_s):
                await run_unless(self._given_up, self._idle.wait())
        except TimeoutError:
            _log.warning("webhooks: the server ends before all notices were delivered")
        finally:
            await self._tasks.close()
            await self._http.close()

    def give_up(self) -> None:
        """Make `close` return without waiting."""
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
        """Take the next delivery, if a slot is free."""
        if len(self._under_way) >= _AT_ONCE:
            return None
        # Retries wait apart: they hold nothing up.
        firsts = (one for one in self._under_way.values() if not one.attempts)
        busy = {delivery.call_id for delivery in firsts}
        return self._schedule.take(
            time.monotonic(),
            may_be_refused=self._has_room_for_refused,
            may_begin=lambda delivery: delivery.call_id not in busy,
        )

    @property
    def _has_room_for_refused(self) -> bool:
        refused = sum(delivery.attempts > 0 for delivery in self._under_way.values())
        return len(self._under_way) < _AT_ONCE and refused < _REFUSED_AT_ONCE

    async def _wait_change(self) -> None:
        """Wait for a new delivery, a free slot, or a due retry."""
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
        if problem is None or delivery.is_void:
            return
        pause_s = self._retries.pause_s(delivery.attempts, random.random())
        if pause_s is None or problem == _UNWANTED:
            text = "webhook %s (%s) given up after %d attempts: %s"
            kind = delivery.notice.type
            _log.warning(text, delivery.delivery_id, kind, delivery.attempts, problem)
            return
        if number in self._hurried:
            self._hurried.discard(number)
            pause_s = 0.0
        due_s = time.monotonic() + pause_s
        self._schedule.put_back(number, delivery, due_s, delivery.size_bytes)

    async def _attempt(self, http: aiohttp.ClientSession, delivery: _Delivery) -> str | None:
        """Deliver once; return the problem, or None on success. The URL, which may hold a secret, is in no text."""
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
