"""Saying what a tool answered. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from speech.dialogue.clock import clock_text, date_text, is_date_question, is_time_question
from speech.dialogue.context import ToolCall, ToolOutput
from speech.dialogue.utterance import Utterance
from speech.spoken_text.numbers import plain
from untrusted.json_reader import InvalidJsonError, read_json

_MAX_SPOKEN_CHARACTERS = 600
_MAX_FACTS = 8
_SILENT_KEYS = re.compile(r"^(?:id|.*_id|type|object|success|ok|status_code|code|is_error)$")


def speak_results(
    outputs: list[ToolOutput], calls: dict[str, ToolCall], question: Utterance
) -> str:
    """One sentence or more about each result."""
    return " ".join(speak_result(o.output, calls.get(o.call_id), question) for o in outputs)


def speak_result(output: str, call: ToolCall | None, question: Utterance) -> str:
    """A result in words: JSON or plain text, good or bad."""
    value = _value(output)
    problem = _problem(value)
    if problem is not None:
        what = f"{_words(call.name)}" if call is not None else "that"
        return f"Sorry, {what} failed: {_sentence(problem)}"
    if isinstance(value, dict):
        for special in (_say_time, _say_timer):
            if (text := special(value, question)) is not None:
                return text
    return _sentence(_facts(value)[:_MAX_SPOKEN_CHARACTERS])


def is_failure(output: str) -> bool:
    """True if a result reports that nothing was done."""
    return _problem(_value(output)) is not None


def _value(output: str) -> Any:
    """A result that is no JSON is text."""
    try:
        return read_json(output)
    except InvalidJsonError:
        return output


def _problem(value: Any) -> str | None:
    """Return the reason of a failure, if it is one."""
    if isinstance(value, dict):
        if value.get("error"):
            error = value["error"]
            return str(
                error.get("message", "it did not say why") if isinstance(error, dict) else error
            )
        if value.get("is_error") or value.get("success") is False:
            return str(value.get("message") or value.get("reason") or "it did not say why")
    if isinstance(value, str) and re.match(r"(?i)(?:error|failed|failure)\b[: ]*", value):
        return re.sub(r"(?i)^(?:error|failed|failure)\b[: ]*", "", value) or "it did not say why"
    return None


def _say_time(value: dict[str, Any], question: Utterance) -> str | None:
    if not isinstance(value.get("time"), str) or not (
        {"zone", "timezone", "time_zone", "date", "weekday"} & set(value)
    ):
        return None
    zone = str(value.get("zone") or value.get("timezone") or value.get("time_zone") or "")
    place = zone.rpartition("/")[2].replace("_", " ")
    where = f" in {place}" if place and place.lower() in question.text else ""
    if is_date_question(question) and not is_time_question(question) and value.get("date"):
        return f"It is {_date(value)}{where}."
    return f"It is {_clock(value['time'])}{where}."


def _clock(text: str) -> str:
    match = re.search(r"\b(\d{1,2}):(\d{2})", text)
    if match is None or int(match[1]) > 23 or re.search("(?i)[ap]m", text):
        return text
    return clock_text(datetime(2000, 1, 1, int(match[1]), int(match[2]) % 60))  # noqa: DTZ001


def _date(value: dict[str, Any]) -> str:
    date, weekday = str(value["date"]), value.get("weekday")
    for form in ("%Y-%m-%d", "%d %B %Y"):
        try:
            return date_text(datetime.strptime(date, form))  # noqa: DTZ007  a date has no zone
        except ValueError:
            continue
    return f"{weekday}, {date}" if weekday else date


def _say_timer(value: dict[str, Any], _question: Utterance) -> str | None:
    seconds = value.get("duration_s")
    if not isinstance(seconds, int | float) or "timer" not in str(value.get("status", "")):
        return None
    label = str(value.get("label") or "")
    what = f"{label} timer" if label and " " not in label else "timer"
    purpose = f" to {label}" if label and " " in label else ""
    return f"Your {what} is set for {duration_text(float(seconds))}{purpose}."


def duration_text(seconds: float) -> str:
    """`90` as "1 minute and 30 seconds"."""
    parts = []
    for size, name in ((3600, "hour"), (60, "minute")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{plain(count)} {name}{'' if count == 1 else 's'}")
    if seconds or not parts:
        parts.append(f"{plain(seconds)} second{'' if seconds == 1 else 's'}")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _facts(value: Any, depth: int = 0) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return plain(value)
        case str():
            return value.strip() or "Done"
        case list() if depth < 3:
            items = [_facts(item, depth + 1) for item in value[:_MAX_FACTS]]
            more = f", and {len(value) - _MAX_FACTS} more" if len(value) > _MAX_FACTS else ""
            return ", ".join(items) + more if items else "There is nothing"
        case dict() if depth < 3:
            return _dict_facts(value, depth)
        case _:
            return "more"


def _dict_facts(value: dict[str, Any], depth: int) -> str:
    told = {
        k: v for k, v in value.items() if not _SILENT_KEYS.match(str(k)) and v not in ("", None)
    }
    if not told:
        return "Done"
    if len(told) == 1:
        key, only = next(iter(told.items()))
        if key in {"result", "message", "text", "answer", "output", "status", "value", "summary"}:
            return _facts(only, depth + 1)
    facts = [
        f"{_words(str(k))}: {_facts(v, depth + 1)}" for k, v in list(told.items())[:_MAX_FACTS]
    ]
    return (", " if depth else ". ").join(facts)


def _words(name: str) -> str:
    return re.sub(r"[_-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).lower().strip()


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
