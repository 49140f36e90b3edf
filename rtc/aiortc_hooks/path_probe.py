"""Asks over the path in use whether it still carries: the shell around `path_watch`.

Takes the place of aioice's consent checks (RFC 7675), which ask every 5 s and then end a connection
that does not answer, where we would rather keep it until another one is up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from aioice import ice, stun

from rtc.aiortc_hooks.path_monitor import PathHealth, PathMonitor

MAX_WAITING_PROBES: Final = 64


class _Transaction:
    """Stands among the transactions of a protocol, to see the answer of one check."""

    def __init__(self, key: bytes, on_answer: Callable[[], None]) -> None:
        self._key = key
        self._on_answer = on_answer

    def response_received(self, message: stun.Message, _address: tuple[str, int]) -> None:
        is_success = message.message_class == stun.Class.RESPONSE
        if is_success and message.check_message_integrity(self._key):
            self._on_answer()


class PathProber:
    """Probes of one connection: `run` once it is up; `on_health` is called on each change."""

    def __init__(self, inner: ice.Connection, on_health: Callable[[PathHealth], None]) -> None:
        self._inner = inner
        self._on_health = on_health
        self._loop = asyncio.get_running_loop()
        self._watch = PathMonitor(self._loop.time())
        # Those that wait for an answer; the oldest give way.
        self._waiting: deque[tuple[ice.StunProtocol, bytes]] = deque()

    async def run(self) -> None:
        """Until the path is given up."""
        self._watch = PathMonitor(self._loop.time())
        try:
            while self._judge() is not PathHealth.GONE:
                await asyncio.sleep(max(self._watch.next_probe_at_s - self._loop.time(), 0.0))
                # An answer may have made it calm meanwhile.
                if self._loop.time() >= self._watch.next_probe_at_s:
                    self._send()
        finally:
            self._forget(0)

    def _judge(self) -> PathHealth:
        before = self._watch.health
        health = self._watch.judge(self._loop.time())
        if health is not before:
            self._on_health(health)
        return health

    def _send(self) -> None:
        assert self._inner.remote_password is not None
        key = self._inner.remote_password.encode()
        self._watch.probed(self._loop.time())
        for pair in list(self._inner._nominated.values()):  # noqa: SLF001
            request = self._inner.build_request(pair, nominate=False)
            request.add_message_integrity(key)
            transactions: dict[bytes, Any] = pair.protocol.transactions
            transactions[request.transaction_id] = _Transaction(key, self._handle_answer)
            self._waiting.append((pair.protocol, request.transaction_id))
            pair.protocol.send_stun(request, pair.remote_addr)
        self._forget(MAX_WAITING_PROBES)

    def _handle_answer(self) -> None:
        before = self._watch.health
        self._watch.answered(self._loop.time())
        self._forget(0)
        if self._watch.health is not before:
            self._on_health(self._watch.health)

    def _forget(self, kept: int) -> None:
        while len(self._waiting) > kept:
            protocol, transaction_id = self._waiting.popleft()
            protocol.transactions.pop(transaction_id, None)
