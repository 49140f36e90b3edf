"""Limits of requests as aiohttp middleware: by address before the guard, by key after it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from control.access.addresses import Addresses
from control.access.throttle import OpenRequests, Throttle
from control.api.errors import ApiError

FAILED_KEY_COST: Final = 20
"""A wrong API key or room token counts as so many requests."""


class Keys(Protocol):
    """Those that are valid."""

    def require(self, headers: Mapping[str, str]) -> str:
        """A name for the key; raises ApiError when there is none."""


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

    def is_of_this_machine(self, request: web.Request) -> bool:
        """Whether one of its programs asks, through no proxy."""
        return self._addresses.of(request) is None

    def shows_key(self, request: web.Request, keys: Keys) -> bool:
        """Whether a request that needs no key has a good one. Never refuses; but a wrong key costs
        what it costs everywhere, and of who has asked too often none is looked at.
        """
        if hdrs.AUTHORIZATION not in request.headers:
            return False
        address = self._addresses.of(request)
        if address is not None and self._by_address.wait_s(address, now_s=time.monotonic()) > 0:
            return False
        try:
            keys.require(request.headers)
        except ApiError:
            if address is not None:
                self._by_address.charge(address, FAILED_KEY_COST)
            return False
        return True

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
