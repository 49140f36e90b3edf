"""What a scripted chat server answers to whom: by the words of the request, however often it comes."""

from __future__ import annotations

import json

from tests.fakes.chat_server import Answer, Call, ChatCall, Hang, answer

STORY = "Once upon a time there was a robot. " + "It walked on and on through the night. " * 12


def reply_as_assistant(call: ChatCall) -> Answer:
    """The weather by a tool, a story without end, the capital of Australia, and the first question."""
    last, words = call.messages[-1], call.user_text.lower()
    if last["role"] == "tool":
        return answer(f"The forecast says: {_report(last['content'])}")
    if "first question" in words:
        asked = [m["content"] for m in call.messages if m["role"] == "user"]
        return answer(f"You asked: {asked[0]}")
    if "weather" in words:
        city = words.rpartition(" in ")[2].strip(" ?.").title()
        return answer(Call("get_weather", json.dumps({"city": city}), deltas=3))
    if "story" in words:
        return answer(STORY, Hang())
    if "capital" in words:
        return answer("The capital is Canberra.")
    return answer("I see.")


def _report(content: str) -> str:
    try:
        return str(json.loads(content)["report"])
    except (ValueError, KeyError, TypeError):
        return content
