"""`ReplyGuardrails`: an owner's checks of growing replies, beside the conversation.

Words run ahead of the voice, so that a verdict that takes a while still cuts what was not heard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from conversation.events import server_events as out
from conversation.guardrail import WINDOW_CHARACTERS
from conversation.history import ItemStatus
from parley.guardrails import Action, CheckedText, Cut, EndCall, Guardrail, Replace, Retry
from realtime import events as model
from realtime.events import CreateResponse, ResponseStatus
from realtime.model import ModelDisconnectedError
from session.context import Handlers, SessionContext
from session.owner import Owner
from session.reply_output import ReplyOutput
from untrusted.boundary import InputKind
from utils import BoundedDict, OwnedTasks

MAX_RETRIES: Final = 2
"""Replies in a row that are cut and replaced by another; after that there is silence."""

_REMEMBERED: Final = 16


@dataclass(slots=True)
class _Reply:
    """Words of one item. checked: by guardrail, how many characters it has seen or is looking at"""

    response_id: str
    item_id: str
    text: str = ""
    is_complete: bool = False
    is_tripped: bool = False
    checked: dict[str, int] = field(default_factory=dict)
    # Guardrails that saw the complete words.
    finished: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)


class ReplyGuardrails:
    """Checks each reply with every guardrail on its own; of one guardrail at most one check of a
    reply is under way.
    """

    def __init__(self, context: SessionContext, owner: Owner, reply_output: ReplyOutput) -> None:
        self._context = context
        self._owner = owner
        self._reply_output = reply_output
        self._replies: BoundedDict[str, _Reply] = BoundedDict(_REMEMBERED)
        # The latest reply: an earlier one is not replaced any more.
        self._latest = ""
        self._retries = 0
        self._tasks = OwnedTasks(context.log)

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.ResponseCreated: self._handle_created,
            model.TranscriptDelta: self._handle_words,
            model.TextDelta: self._handle_words,
            model.TranscriptDone: self._handle_transcript,
            model.TextDone: self._handle_text,
            model.ResponseDone: self._handle_done,
        }

    async def _handle_created(self, event: model.ResponseCreated) -> None:
        self._latest = event.response_id

    async def _handle_words(self, event: model.TranscriptDelta | model.TextDelta) -> None:
        reply = self._reply(event.response_id, event.item_id)
        if reply is not None:
            reply.text += event.delta
            self._check(reply)

    async def _handle_transcript(self, event: model.TranscriptDone) -> None:
        self._finish(event.response_id, event.item_id, event.transcript)

    async def _handle_text(self, event: model.TextDone) -> None:
        self._finish(event.response_id, event.item_id, event.text)

    def _finish(self, response_id: str, item_id: str, text: str) -> None:
        reply = self._reply(response_id, item_id)
        if reply is not None:
            reply.text = max(reply.text, text, key=len)
            reply.is_complete = True
            self._check(reply)

    async def _handle_done(self, event: model.ResponseDone) -> None:
        is_whole = event.status is ResponseStatus.COMPLETED
        if is_whole and not self._context.turns.is_cut(event.response_id):
            self._retries = 0

    def _reply(self, response_id: str, item_id: str) -> _Reply | None:
        if not self._owner.guardrails.of("reply") or self._context.turns.is_cut(response_id):
            return None
        return self._replies.setdefault(item_id, _Reply(response_id, item_id))

    def _check(self, reply: _Reply) -> None:
        for guardrail in self._owner.guardrails.of("reply"):
            name, size = guardrail.name, len(reply.text)
            has_grown = size - reply.checked.get(name, 0) >= guardrail.every_characters
            is_end = reply.is_complete and name not in reply.finished
            if reply.is_tripped or name in reply.busy or not size or not (has_grown or is_end):
                continue
            reply.checked[name] = size
            reply.busy.add(name)
            if reply.is_complete:
                reply.finished.add(name)
            self._tasks.start(self._run(guardrail, reply), name=f"guardrail {name}")

    async def _run(self, guardrail: Guardrail, reply: _Reply) -> None:
        with self._context.boundary.guard(
            InputKind.HOOK, "guardrail", expected=(ModelDisconnectedError,)
        ):
            text = CheckedText(reply.text[-WINDOW_CHARACTERS:], is_complete=reply.is_complete)
            action = await self._owner.guardrails.check(guardrail, text)
            reply.busy.discard(guardrail.name)
            if action is not None and not reply.is_tripped:
                reply.is_tripped = True
                await self._enforce(guardrail, action, reply)
            # It may have grown meanwhile.
            self._check(reply)

    async def _enforce(self, guardrail: Guardrail, action: Action, reply: _Reply) -> None:
        if self._is_unheard(reply):
            await self._reply_output.interrupt(should_cancel=True)
        self._context.log.warning("a reply tripped the guardrail %s", guardrail.name)
        self._context.publisher.publish(
            out.AgentGuardrailTripped,
            response_id=reply.response_id,
            item_id=reply.item_id,
            guardrail=guardrail.name,
        )
        is_current = self._latest == reply.response_id
        match action:
            case Replace(text) if is_current:
                await self._instead(f"Say exactly: {text}")
            case Retry(instructions) if is_current:
                await self._instead(instructions)
            case EndCall(say):
                self._owner.hang_up(after_reply=False, say=say)
            case Cut() | Replace() | Retry():
                pass

    def _is_unheard(self, reply: _Reply) -> bool:
        """Return true if something of the reply is still to be heard."""
        item = self._context.history.get(reply.item_id)
        is_open = item is not None and item.status is ItemStatus.IN_PROGRESS
        return is_open or self._context.turns.active_response == reply.response_id

    async def _instead(self, instructions: str) -> None:
        if self._retries < MAX_RETRIES:
            self._retries += 1
            await self._context.model.send(CreateResponse(instructions))

    async def close(self) -> None:
        """Stop all checks."""
        await self._tasks.close()
