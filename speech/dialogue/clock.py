"""Time, date and zones: understanding the question, and saying the answer. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from speech.dialogue.context import Action, Call, Context, Say, Tool
from speech.dialogue.utterance import Utterance

_OTHER_CITIES = {
    "san francisco": "America/Los_Angeles",
    "seattle": "America/Los_Angeles",
    "california": "America/Los_Angeles",
    "boston": "America/New_York",
    "washington": "America/New_York",
    "miami": "America/New_York",
    "beijing": "Asia/Shanghai",
    "mumbai": "Asia/Kolkata",
    "delhi": "Asia/Kolkata",
    "new delhi": "Asia/Kolkata",
    "india": "Asia/Kolkata",
    "munich": "Europe/Berlin",
    "hamburg": "Europe/Berlin",
    "germany": "Europe/Berlin",
    "france": "Europe/Paris",
    "spain": "Europe/Madrid",
    "italy": "Europe/Rome",
    "england": "Europe/London",
    "japan": "Asia/Tokyo",
    "china": "Asia/Shanghai",
    "geneva": "Europe/Zurich",
    "utc": "UTC",
    "gmt": "UTC",
    "greenwich": "UTC",
}

_TIME_QUESTION = (
    r"what time(?:'s| is)? it|what(?:'s| is) the (?:current |local )?time(?! \w*(?:difference|zone))|what time (?:is|do)|"
    r"tell me the (?:current )?time|the time (?:in|is it|now|please)|do you have the time|"
    r"current time|time is it"
)
_DATE_QUESTION = (
    r"what day|what(?:'s| is) (?:today's|the|tomorrow's) date|what date|today's date|"
    r"which day|what(?:'s| is) the day|what month|what year|what(?:'s| is) today"
)


@cache
def _cities() -> dict[str, str]:
    zones = sorted(zone for zone in available_timezones() if "/" in zone)
    names = {zone.rpartition("/")[2].replace("_", " ").lower(): zone for zone in zones}
    short = {name: zone for name, zone in names.items() if len(name) > 3}
    return short | _OTHER_CITIES


def zone_in(text: str) -> tuple[str, str] | None:
    """The place named in `text` and its IANA zone."""
    places = [
        name for name in _cities() if name in text and re.search(rf"\b{re.escape(name)}\b", text)
    ]
    if not places:
        return None
    place = max(places, key=len)
    title = place.upper() if place in {"utc", "gmt"} else place.title()
    return title, _cities()[place]


def is_time_question(heard: Utterance) -> bool:
    """True if the user asks for the time of day."""
    return heard.has(_TIME_QUESTION)


def is_date_question(heard: Utterance) -> bool:
    """True if the user asks for a date or a weekday."""
    return heard.has(_DATE_QUESTION)


def time_tool(tools: tuple[Tool, ...]) -> Tool | None:
    """Return the offered tool for the time of day, if any."""
    return next((tool for tool in tools if is_time_tool(tool)), None)


def is_time_tool(tool: Tool) -> bool:
    """True if `tool` looks like `get_current_time`."""
    name = tool.name.lower()
    return "time" in re.split(r"[_\W]+", name) and not re.search("timer|set|convert|log|book", name)


def answer_clock(heard: Utterance, context: Context) -> Action | None:
    """Time and date, from a tool of the session when it offers one."""
    is_time, is_date = is_time_question(heard), is_date_question(heard)
    if not is_time and not is_date:
        return None
    place = zone_in(heard.text)
    if not heard.has("tomorrow") and (tool := time_tool(context.tools)) is not None:
        zone = place[1] if place is not None else context.zone_name
        return Call(tool.name, _zone_arguments(tool, zone))
    asked = heard.find(r"\bin ((?!the moment|here)[a-z ]{3,30})$")
    if place is None and is_time and asked is not None:
        return Say(f"I don't know the time zone of {asked[1].title()}.")
    now = context.now if place is None else context.now.astimezone(ZoneInfo(place[1]))
    where = f" in {place[0]}" if place is not None else ""
    if is_time:
        return Say(f"It is {clock_text(now)}{where}.")
    if heard.has("tomorrow"):
        return Say(f"Tomorrow is {date_text(now + timedelta(days=1))}.")
    return Say(f"It is {date_text(now)}{where}.")


def _zone_arguments(tool: Tool, zone: str) -> dict[str, str]:
    properties = tool.parameters.get("properties") or {}
    for name, schema in properties.items():
        about = f"{name} {schema.get('description', '')}".lower()
        if re.search("zone|tz|city|place|location|region", about):
            return {name: zone}
    return {}


def clock_text(moment: datetime) -> str:
    """`3:45 PM`."""
    return f"{moment.hour % 12 or 12}:{moment.minute:02d} {'AM' if moment.hour < 12 else 'PM'}"


def date_text(moment: datetime) -> str:
    """`Saturday, November 21, 2026`."""
    return f"{moment:%A}, {moment:%B} {moment.day}, {moment.year}"
