"""Tool set `everyday`: the local time of a zone, and timers that the agent announces."""

from __future__ import annotations

import asyncio
import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import Field

from tools import ToolContext, ToolError
from toolsets.services import ToolServices
from untrusted.json_reader import read_object

# At once; each is a task of the agent.
MAX_TIMERS = 20
MAX_TIMER_S = 24 * 60 * 60

RESTART_S: Final = 5.0
"""A timer that was due so shortly before a restart counts as not announced."""

SETTLE_S: Final = 3.0
"""Least delay of a restored timer: model and users must be connected again."""

Clock = Callable[[zoneinfo.ZoneInfo], datetime]
Zone = Annotated[
    str, Field(max_length=64, description="IANA zone such as Europe/Paris, or just its city")
]
DurationS = Annotated[float, Field(gt=0, le=MAX_TIMER_S, description="Seconds until it rings")]
Label = Annotated[str, Field(max_length=80, description="What the timer is for, if it was said")]


def create_everyday(services: ToolServices) -> ToolContext:
    """Create the tool set `everyday`."""
    tools = ToolContext()
    tools.register_function(
        "get_current_time",
        "Tell the current local time, date and weekday in a time zone.",
        get_current_time,
    )
    timers = Timers(services)
    tools.register_function(
        "set_timer",
        "Set a timer. It is announced by itself when the time is over.",
        timers.set_timer,
    )
    return tools


def get_current_time(zone: Zone) -> dict[str, str]:
    """Return time, date and weekday in `zone`."""
    return describe_time(zone, clock=datetime.now)


def describe_time(zone: str, *, clock: Clock) -> dict[str, str]:
    """Return time, date and weekday of `clock` in `zone`, in forms that are easy to speak.

    Raises:
        ToolError: No such zone, or no time zone data on this machine.
    """
    now = clock(find_zone(zone))
    return {
        "zone": str(now.tzinfo),
        "time": now.strftime("%H:%M"),
        "date": now.strftime("%d %B %Y"),
        "weekday": now.strftime("%A"),
    }


def find_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the zone called `name`, or that of the city `name`, in upper or lower case.

    Raises:
        ToolError: As for `describe_time`.
    """
    wanted = name.strip().replace(" ", "_").lower()
    # Looked up in the machine's list, so that the model's words never become a path.
    zones = zoneinfo.available_timezones()
    if not zones:
        raise ToolError("this machine has no time zone data; its owner must install tzdata")
    by_name = {zone.lower(): zone for zone in zones}
    by_city = {zone.lower().rpartition("/")[2]: zone for zone in sorted(zones) if "/" in zone}
    key = by_name.get(wanted) or by_city.get(wanted)
    if key is None:
        raise ToolError("there is no such time zone; use an IANA name such as Europe/Paris")
    return zoneinfo.ZoneInfo(key)


class Timers:
    """Timers of one call; they end with it, and are restored when the agent's process is lost."""

    def __init__(self, services: ToolServices) -> None:
        self._services = services
        self._running = 0
        for output in services.take_past_outputs("set_timer"):
            self._restore(output)

    def _restore(self, output: str) -> None:
        """Continue a timer of a lost process, unless it was announced there."""
        timer = _parse_timer(output)
        if timer is None:
            return
        rings_at, label = timer
        left_s = (rings_at - _now()).total_seconds()
        if left_s > -RESTART_S and self._running < MAX_TIMERS:
            self._start(max(left_s, SETTLE_S), label)

    def _start(self, duration_s: float, label: str) -> None:
        self._running += 1
        self._services.start_task(self._ring(duration_s, label), name="timer")

    async def set_timer(self, duration_s: DurationS, label: Label = "") -> dict[str, Any]:
        """Start a timer and return at once."""
        if self._running >= MAX_TIMERS:
            raise ToolError(f"there are already {MAX_TIMERS} timers running")
        self._start(duration_s, label)
        return {
            "status": "timer set",
            "duration_s": duration_s,
            "label": label,
            "rings_at": (_now() + timedelta(seconds=duration_s)).isoformat(timespec="seconds"),
        }

    async def _ring(self, duration_s: float, label: str) -> None:
        try:
            await asyncio.sleep(duration_s)
        finally:
            self._running -= 1
        await self._services.say(f"Your {label} timer is done." if label else "Your timer is done.")


def _now() -> datetime:
    return datetime.now(UTC)


def _parse_timer(output: str) -> tuple[datetime, str] | None:
    """Return due time and label from an output of `set_timer`; None if it is not one."""
    try:
        timer = read_object(output)
        rings_at = datetime.fromisoformat(timer["rings_at"])
        return rings_at.astimezone(UTC), str(timer["label"])
    except (ValueError, TypeError, KeyError):
        return None
