"""Notices to the service manager: systemd's `Type=notify` and `WatchdogSec=` (`man 3 sd_notify`).

Without `NOTIFY_SOCKET` in the environment nothing is sent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from typing import Final

_MICROSECONDS: Final = 1_000_000

_log: Final = logging.getLogger("control.server")


class ServiceManager:
    """The service manager that started this process, or none."""

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        """
        Args:
            address: of its datagram socket: a path, or `@` and an abstract name; empty: there is none
            watchdog_s: time after which a process that says nothing is taken for stuck
        """
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ServiceManager:
        """Read `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`; wrong values count as absent."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        is_meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        is_watched = is_meant and microseconds.isascii() and microseconds.isdecimal()
        watchdog_s = int(microseconds) / _MICROSECONDS if is_watched else 0.0
        return cls(environ.get("NOTIFY_SOCKET", ""), watchdog_s or None)

    def notify(self, **states: str | int) -> None:
        """Send states such as `READY=1` and `STATUS=text`. Never blocks, never raises."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in states.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(text.encode(), self._address)
        except OSError as error:
            _log.warning("the service manager cannot be told %r: %s", text, error)

    async def feed_watchdog(self) -> None:
        """Tell, at half the watchdog's time, that the event loop turns; return at once without one.

        An event loop that hangs sends nothing, so that the service manager starts the server again.
        """
        if self._watchdog_s is None or not self._address:
            return
        while True:
            self.notify(WATCHDOG=1)
            await asyncio.sleep(self._watchdog_s / 2)
