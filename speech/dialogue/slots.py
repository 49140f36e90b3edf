"""Filling a tool's parameters from what was said, guided by its JSON Schema. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from speech.dialogue.clock import zone_in
from speech.dialogue.context import Tool
from speech.dialogue.utterance import Utterance

_UNIT_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}
_DURATION = r"(\d+(?:\.\d+)?|an?|half an?) (second|minute|hour|day)s?"
_TIME = r"\b(?:at |by |until )?(\d{1,2}(?::\d{2})?\s*(?:am|pm|a m|p m|o'clock)|\d{1,2}:\d{2})"
_DAY = (
    r"\b((?:next |this )?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
    r"(?: (?:morning|afternoon|evening|night))?|today|tomorrow|tonight)\b"
)
_END = r"(?= (?:in|at|on|for|by|with|next|this|tomorrow|today|tonight|please|and|from|to)\b|$)"

_DURATION_NAMES = r"duration|second|minute|hour|length|delay|timeout|_s$|_ms$"
_ZONE_NAMES = r"zone|tz"
_PLACE_NAMES = r"city|location|place|where|town|country|address|destination|room|area"
_DAY_NAMES = r"date|day|when"
_TIME_NAMES = r"time|hour|when"
_PERSON_NAMES = r"person|who|contact|recipient|name|doctor|with"
_LABEL_NAMES = r"label|title|reason|about|purpose|subject|task|description"
_TEXT_NAMES = r"query|text|message|question|input|prompt|note|content|request|search|utterance"
_PHONE_NAMES = r"phone|telephone|mobile"


def duration_s(text: str) -> float | None:
    """The duration said in `text`, all parts added ("1 hour and 30 minutes")."""
    total = 0.0
    for amount, unit in re.findall(_DURATION, text):
        count = 0.5 if amount.startswith("half") else 1.0 if amount.startswith("a") else None
        total += (float(amount) if count is None else count) * _UNIT_S[unit]
    return total or None


def fill(tool: Tool, heard: Utterance) -> tuple[dict[str, Any], list[str]]:
    """The arguments found for `tool`, and the names of required ones that were not."""
    properties: Mapping[str, Any] = tool.parameters.get("properties") or {}
    required = set(tool.parameters.get("required") or ())
    numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", heard.core)
    arguments: dict[str, Any] = {}
    missing: list[str] = []
    for name, schema in properties.items():
        value = _value(name, schema, heard, numbers, is_required=name in required)
        if value is not None:
            arguments[name] = value
        elif name in required:
            missing.append(name)
    return arguments, missing


def _value(
    name: str, schema: Any, heard: Utterance, numbers: list[str], *, is_required: bool
) -> Any:
    if not isinstance(schema, Mapping):
        return None
    options = schema.get("enum")
    if isinstance(options, list):
        return _option(options, heard)
    match _type_of(schema):
        case "number" | "integer" as kind:
            return _number(name, schema, heard, numbers, is_whole=kind == "integer")
        case "boolean":
            return _flag(name, heard)
        case "array":
            return _list(heard) if is_required else None
        case "string":
            return _text(name, schema, heard, is_required=is_required)
        case _:
            return None


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if kind is None:
        for option in schema.get("anyOf") or ():
            if isinstance(option, Mapping) and option.get("type") not in {None, "null"}:
                return str(option["type"])
    return str(kind or "string")


def _option(options: list[Any], heard: Utterance) -> Any:
    named = [o for o in options if isinstance(o, str) and heard.has(re.escape(_words(o)))]
    return max(named, key=len) if named else None


def _words(name: str) -> str:
    return re.sub(r"[_-]+", " ", name).lower()


def _number(
    name: str, schema: Mapping[str, Any], heard: Utterance, numbers: list[str], *, is_whole: bool
) -> float | int | None:
    about = f"{name} {schema.get('description', '')}".lower()
    seconds = duration_s(heard.core)
    value: float
    if seconds is not None and re.search(_DURATION_NAMES, about):
        value = seconds / _duration_unit_s(name, about)
        numbers.clear()
    elif numbers and not (seconds is not None and re.search(_DURATION_NAMES, about)):
        value = float(numbers.pop(0).replace(",", ""))
    else:
        return None
    return round(value) if is_whole or value == int(value) else value


def _duration_unit_s(name: str, about: str) -> float:
    if name.endswith("_ms") or "millisecond" in about:
        return 0.001
    for unit, size_s in _UNIT_S.items():
        if unit in name.lower():
            return size_s
    for unit, size_s in _UNIT_S.items():
        if unit in about:
            return size_s
    return 1.0


def _flag(name: str, heard: Utterance) -> bool | None:
    if heard.has(
        r"off|disable|deactivate|stop|don't|not|never|close|lock"
        if "lock" not in name
        else "unlock"
    ):
        return False
    if heard.has(r"on|enable|activate|start|open|yes|lock"):
        return True
    return True if set(_words(name).split()) & heard.words else None


def _list(heard: Utterance) -> list[str] | None:
    match = heard.find(r"\b(?:add|order|buy|get|with|of|list|send) (?:some |me )?(.+)$")
    if match is None:
        return None
    found = re.sub(r" (?:to|on|from) (?:my|the) .*$", "", match[1])
    return [part.strip() for part in re.split(r",| and ", found) if part.strip()] or None


def _text(
    name: str, schema: Mapping[str, Any], heard: Utterance, *, is_required: bool
) -> str | None:
    key = name.lower()
    about = f"{key} {schema.get('description', '')}".lower()
    core = heard.core
    if re.search(_ZONE_NAMES, about) and (place := zone_in(heard.text)) is not None:
        return place[1]
    if re.search(_PHONE_NAMES, key):
        return _first(r"(\+?\d[\d -]{5,}\d)", core)
    if re.search(_PLACE_NAMES, key):
        found = _first(rf"\b(?:in|at|for|near|from|to) (?:the )?([a-z][a-z ]*?){_END}", core)
        return _title(found) or _device(core)
    if re.search(_DAY_NAMES, key) and (day := _first(_DAY, core)):
        return day
    if re.search(_TIME_NAMES, key):
        return _first(_TIME, core)
    if re.search(_LABEL_NAMES, key):
        return _label(core)
    if re.search(_TEXT_NAMES, key):
        return _message(core) or heard.raw.strip()
    if re.search(_PERSON_NAMES, key):
        found = _first(
            rf"\b(?:with|call|to|for|from|named|called) (?:my )?([a-z][a-z ]*?){_END}", core
        )
        return _title(found)
    return (_device(core) or heard.raw.strip()) if is_required else None


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1].strip() if match is not None else None


def _title(text: str | None) -> str | None:
    return text.title() if text else None


def _device(core: str) -> str | None:
    """Return the object of an order: "the kitchen lights" in "turn on the kitchen lights"."""
    found = _first(
        r"\b(?:turn|switch|put|set|open|close|lock|unlock|start|play|dim|cancel|book|order|find)"
        r"(?: (?:on|off|up|down))? (?:the |my |an? )?([a-z][a-z ]*?)(?: (?:on|off|up|down|to|for|at|in)\b|$)",
        core,
    )
    return found or None


def _label(core: str) -> str | None:
    """ "to call my mother", "called pasta"; never the duration itself."""
    without = re.sub(rf"\b(?:for|in|of) {_DURATION}(?: and {_DURATION})*", " ", core)
    without = re.sub(rf"{_TIME}|{_DAY}", " ", re.sub(r"\s+", " ", without))
    found = _first(r"\b(?:called|named|labell?ed|to|for|about) (?:the |my )?(.+)$", without.strip())
    return found or _first(
        r"\b(?!(?:set|start|new|a|an|the|my|another)\b)([a-z]+) (?:timer|alarm)\b", without
    )


def _message(core: str) -> str | None:
    return _first(
        r"\b(?:saying|that says|search for|look up|note that|write down|find|message) (.+)$", core
    )
