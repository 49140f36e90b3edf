"""The end of a spoken reply, found among the events that an agent publishes."""

from __future__ import annotations

from typing import Any

from conversation.events import server_events as out
from session.reply_ends import ReplyEnds

AGENT: dict[str, Any] = {"agent_id": "a1", "agent_name": "Ada"}


def begun(response: str, *items: str) -> list[Any]:
    words = [
        out.AgentResponseAudioTranscriptDelta(
            **AGENT, response_id=response, item_id=item, delta="x"
        )
        for item in items
    ]
    return [out.AgentResponseCreated(**AGENT, response_id=response), *words]


def heard(item: str, text: str, status: str = "completed") -> Any:
    return out.AgentItemUpdated(**AGENT, item_id=item, role="assistant", status=status, text=text)


def done(response: str) -> Any:
    return out.AgentResponseDone(**AGENT, response_id=response)


def ends(*events: Any) -> list[tuple[str, bool]]:
    replies = ReplyEnds()
    return [end for event in events for end in replies.handle(event)]


def test_a_reply_ends_when_it_is_made_and_all_of_it_was_heard() -> None:
    reply = begun("r", "a", "b")
    assert ends(*reply, done("r"), heard("a", "One."), heard("b", "Two.")) == [("One. Two.", False)]
    assert ends(*reply, heard("a", "One."), heard("b", "Two."), done("r")) == [("One. Two.", False)]
    assert ends(*reply, done("r"), heard("a", "One.")) == []


def test_a_cut_reply_has_ended_and_does_not_end_again() -> None:
    cut = heard("a", "I wa", "interrupted")
    assert ends(*begun("r", "a"), cut, done("r"), cut) == [("I wa", True)]


def test_a_reply_that_only_called_a_tool_is_none() -> None:
    assert ends(*begun("r"), done("r")) == []


def test_what_belongs_to_no_known_reply_is_ignored() -> None:
    assert ends(heard("a", "One."), done("r"), done("r")) == []
