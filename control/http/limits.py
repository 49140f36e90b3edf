"""Limits of requests as aiohttp middleware: by address before the guard, by key after it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from control.http.addresses import Addresses
from control.http.errors import ApiError
from control.http.throttle import OpenRequests, Throttle
from control.keys.access import Access

FAILED_KEY_COST: Final = 20
"""Number of requests that a wrong API key or room token counts as."""


class Keys(Protocol):
    """Valid API keys."""

    def require(self, headers: Mapping[str, str]) -> Access:
        """Return the rights of the request's key; raise ApiError without a valid one."""


@dataclass(frozen=True)
class AccessRules:
    """Limits: rates in requests per second on average, `open` in requests being answered."""

    address_rate: float = 20.0
    key_rate: float = 100.0
    max_open: int = 2_000
    max_open_per_address: int = 100


class RequestLimits:
    """Applies the limits. Programs of this machine, agents included, are limited by key only."""

    def __init__(self, rules: AccessRules, addresses: Addresses) -> None:
        self._addresses = addresses
        self._by_address = Throttle(rules.address_rate)
        self._by_key = Throttle(rules.key_rate)
        self._open = OpenRequests(rules.max_open, rules.max_open_per_address)

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Pass the request on unless it exceeds a limit.

        Raises:
            ApiError: 429, for this address; 503, for the server.
        """
        address = self._addresses.of(request)
        if address is None:
            return await handler(request)
        _require(self._by_address.wait_s(address, now_s=time.monotonic()), "address")
        if self._open.is_enough(address):
            text = "too many open requests from this address"
            raise ApiError(429, "too_many_open", text, retry_after_s=1)
        if self._open.is_full:
            raise ApiError(
                503, "overloaded", "too many open requests; retry later", retry_after_s=1
            )
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

    def is_of_this_machine(self, request: web.Request) -> bool:
        """Return true for a program of this machine that uses no proxy."""
        return self._addresses.of(request) is None

    def shown_key(self, request: web.Request, keys: Keys) -> Access | None:
        """Return the rights of a request that needs no key, if it has a valid one; never raises.

        A wrong key is charged as on other routes, and past the rate limit no key is checked.
        """
        if hdrs.AUTHORIZATION not in request.headers:
            return None
        address = self._addresses.of(request)
        if address is not None and self._by_address.wait_s(address, now_s=time.monotonic()) > 0:
            return None
        try:
            return keys.require(request.headers)
        except ApiError as error:
            if address is not None and error.status == 401:
                self._by_address.charge(address, FAILED_KEY_COST)
            return None

    def count_key(self, key: str) -> None:
        """Count a request of this key.

        Raises:
            ApiError: 429.
        """
        _require(self._by_key.wait_s(key, now_s=time.monotonic()), "API key")


def _require(wait_s: float, whose: str) -> None:
    if wait_s > 0:
        text = f"too many requests with this {whose}"
        raise ApiError(429, "too_many_requests", text, retry_after_s=math.ceil(wait_s))
