"""Stock WebRTC clients that can be reached on this machine: aioice leaves out 127.0.0.1."""

from __future__ import annotations

import contextvars

import aioice.ice

_should_use_loopback = contextvars.ContextVar("should_use_loopback", default=False)
_original = aioice.ice.get_host_addresses


def use_loopback_candidates() -> None:
    """From now on, peer connections that this context opens offer 127.0.0.1 too."""
    aioice.ice.get_host_addresses = _host_addresses
    _should_use_loopback.set(True)


def _host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    addresses = _original(use_ipv4, use_ipv6)
    return ["127.0.0.1", *addresses] if use_ipv4 and _should_use_loopback.get() else addresses
