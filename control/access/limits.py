"""Limits of requests as aiohttp middleware: by address before the guard, by key after it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from control.access.addresses import Addresses
from control.access.throttle import OpenRequests, Throttle
from control.api.errors import ApiError

FAILED_KEY_COST: Final = 20
"""A wrong API key or room token counts as so many requests."""


@dataclass(frozen=True)
class AccessRules:
    """Rates are requests a second on average; `open` counts requests that are being answered."""

    address_rate: float = 20.0
    key_rate: float = 100.0
    max_open: int = 2_000
    max_open_per_address: int = 100


class RequestLimits:
    """Programs of this machine are limited by their key only: agents are among them."""

    def __init__(self, rules: AccessRules, addresses: Addresses) -> None:
        self._addresses = addresses
        self._by_address = Throttle(rules.address_rate)
        self._by_key = Throttle(rules.key_rate)
        self._open = OpenRequests(rules.max_open, rules.max_open_per_address)

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let the request through, if it is not one too many.

        Raises:
            ApiError: 429, for this address; 503, for the server.
        """
        address = self._addresses.of(request)
        if address is None:
            return await handler(request)
        _require(self._by_address.wait_s(address, now_s=time.monotonic()), "address")
        if self._open.is_enough(address):
            text = "too many requests of this address are open"
            raise ApiError(429, "too_many_open", text, retry_after_s=1)
        if self._open.is_full:
            raise ApiError(503, "overloaded", "the server has its hands full", retry_after_s=1)
        self._open.enter(address)
        status = 0
        try:
            response = await handler(request)
            status = response.status
        except ApiError as error:
            status = error.status
            raise
        finally:
            self._open.leave(address)
            if status == 401:
                self._by_address.charge(address, FAILED_KEY_COST)
        return response

    def count_key(self, key: str) -> None:
        """A holder of this key asks for something.

        Raises:
            ApiError: 429.
        """
        _require(self._by_key.wait_s(key, now_s=time.monotonic()), "API key")


def _require(wait_s: float, whose: str) -> None:
    if wait_s > 0:
        text = f"too many requests of this {whose}"
        raise ApiError(429, "too_many_requests", text, retry_after_s=math.ceil(wait_s))
