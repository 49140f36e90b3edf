"""The agent's words and actions, from its events: replies, words as they are heard, tool calls. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CHARACTERS_PER_S: Final = 15.0
"""Pace of a voice, by which a word is placed where the agent does not say what was heard."""


@dataclass
class LoggedReply:
    """One item of a reply. Times are loop times, in seconds."""

    response_id: str
    item_id: str
    agent_name: str
    began_s: float
    transcript: str = ""
    is_complete: bool = False
    is_interrupted: bool = False
    is_played: bool = False
    heard_characters: int | None = None
    heard_text: str | None = None

    @property
    def is_over(self) -> bool:
        """True if nothing more of it will be heard."""
        return self.is_played or self.is_interrupted


@dataclass
class LoggedCall:
    """A tool call."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    called_s: float
    is_client_tool: bool = False
    output: str | None = None
    is_error: bool = False
    answered_s: float | None = None


@dataclass
class ReplyLog:
    """Follows the events of one call, as one person gets them."""

    replies: dict[str, LoggedReply] = field(default_factory=dict)
    calls: dict[str, LoggedCall] = field(default_factory=dict)
    approvals: dict[str, str] = field(default_factory=dict)
    open_responses: set[str] = field(default_factory=set)
    responses: list[tuple[float, str]] = field(default_factory=list)
    understood: list[tuple[float, str, int | None]] = field(default_factory=list)
    interruptions: list[float] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    ended_reason: str = ""
    is_paused: bool = False

    @property
    def is_busy(self) -> bool:
        """True while the agent makes or plays a reply, or waits for a tool that it runs itself."""
        return bool(
            self.open_responses
            or self.is_paused
            or any(not reply.is_over for reply in self.replies.values())
            or any(call.answered_s is None for call in self.calls.values())
        )

    @property
    def waiting_calls(self) -> list[LoggedCall]:
        """Tool calls without a result."""
        return [call for call in self.calls.values() if call.answered_s is None]

    def replies_since(self, at_s: float, to_s: float = float("inf")) -> list[LoggedReply]:
        """Return the replies that began in this time."""
        return [reply for reply in self.replies.values() if at_s <= reply.began_s < to_s]

    def responses_in(self, from_s: float, to_s: float) -> int:
        """Return how many replies the model began in this time."""
        return sum(from_s <= at_s < to_s for at_s, _ in self.responses)

    def calls_since(self, at_s: float, to_s: float = float("inf")) -> list[LoggedCall]:
        """Return the tool calls of this time."""
        return [call for call in self.calls.values() if at_s <= call.called_s < to_s]

    def has_heard(self, word: str, since_s: float, sounded_s: float) -> bool:
        """Return true if a word of a reply was heard. sounded_s: length of the agent's sound since then

        The agent says what was heard (`agent_playout_progress`); until it does, the pace of a voice
        places the word.
        """
        pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
        for reply in self.replies_since(since_s):
            if (found := pattern.search(reply.transcript)) is None:
                continue
            if reply.heard_characters is not None:
                if reply.heard_characters >= found.end():
                    return True
            elif sounded_s * CHARACTERS_PER_S >= found.end():
                return True
        return False

    def handle_agent_left(self) -> None:
        """Close what is open: its end will not be reported."""
        self.open_responses.clear()
        self.is_paused = False
        for reply in self.replies.values():
            reply.is_played = True
        for call in self.waiting_calls:
            call.answered_s = call.called_s
            call.is_error = True

    def handle(self, event: Mapping[str, Any], at_s: float) -> None:
        """Take an event; unknown ones change nothing.

        Raises:
            KeyError, TypeError: a field is missing, or of another type.
        """
        handler = getattr(self, f"_{event.get('type')}", None)
        if handler is not None:
            handler(event, at_s)

    def _reply(self, event: Mapping[str, Any], at_s: float) -> LoggedReply:
        item_id = str(event["item_id"])
        if item_id not in self.replies:
            self.replies[item_id] = LoggedReply(
                str(event["response_id"]), item_id, str(event.get("agent_name", "")), at_s
            )
        return self.replies[item_id]

    def _of_response(self, response_id: str) -> Iterator[LoggedReply]:
        return (each for each in self.replies.values() if each.response_id == response_id)

    def _agent_ready(self, _event: Mapping[str, Any], at_s: float) -> None:
        self.ready_s.append(at_s)

    def _agent_ended(self, event: Mapping[str, Any], _at_s: float) -> None:
        self.ended_reason = str(event.get("reason", ""))
        self.handle_agent_left()

    def _agent_input_transcription_done(self, event: Mapping[str, Any], at_s: float) -> None:
        self.understood.append((at_s, str(event["transcript"]), event.get("uid")))

    def _agent_response_created(self, event: Mapping[str, Any], at_s: float) -> None:
        self.open_responses.add(str(event["response_id"]))
        if not event.get("is_out_of_band"):
            self.responses.append((at_s, str(event["response_id"])))

    def _agent_response_done(self, event: Mapping[str, Any], _at_s: float) -> None:
        self.open_responses.discard(str(event["response_id"]))

    def _agent_response_audio_transcript_delta(self, event: Mapping[str, Any], at_s: float) -> None:
        self._reply(event, at_s).transcript += str(event["delta"])

    def _agent_response_audio_transcript_done(self, event: Mapping[str, Any], at_s: float) -> None:
        reply = self._reply(event, at_s)
        reply.transcript, reply.is_complete = str(event["transcript"]), True

    def _agent_playout_progress(self, event: Mapping[str, Any], _at_s: float) -> None:
        # It may be of a reply before this person came.
        if (reply := self.replies.get(str(event["item_id"]))) is not None:
            reply.heard_characters = int(event["heard_characters"])

    def _agent_playout_done(self, event: Mapping[str, Any], _at_s: float) -> None:
        if (reply := self.replies.get(str(event["item_id"]))) is not None:
            reply.is_played = True

    def _agent_interrupted(self, event: Mapping[str, Any], at_s: float) -> None:
        if (reply := self.replies.get(str(event["item_id"]))) is not None:
            reply.is_interrupted, reply.heard_text = True, str(event["heard"])
        self.is_paused = False
        self.interruptions.append(at_s)

    def _agent_paused(self, _event: Mapping[str, Any], _at_s: float) -> None:
        self.is_paused = True

    def _agent_resumed(self, _event: Mapping[str, Any], _at_s: float) -> None:
        self.is_paused = False

    def _agent_response_tool_use_done(self, event: Mapping[str, Any], at_s: float) -> None:
        use = event["tool_use"]
        self.calls[str(use["id"])] = LoggedCall(
            str(use["id"]),
            str(use["name"]),
            dict(use["input"] or {}),
            at_s,
            bool(event.get("is_client_tool")),
        )

    def _agent_response_tool_result(self, event: Mapping[str, Any], at_s: float) -> None:
        result = event["tool_result"]
        call = self.calls.get(str(result["id"]))
        if call is not None:
            call.output = None if result.get("output") is None else str(result["output"])
            call.is_error, call.answered_s = bool(result.get("is_error")), at_s
            self.approvals.pop(call.call_id, None)

    def _agent_tool_approval_required(self, event: Mapping[str, Any], _at_s: float) -> None:
        use = event["tool_use"]
        self.approvals[str(use["id"])] = str(use["name"])
