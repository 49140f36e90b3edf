"""Cuts replies that break a guardrail rule, and asks for another reply instead."""

from __future__ import annotations

from typing import Final

from conversation.events import server_events as out
from conversation.guardrail import Guardrail, GuardrailRule
from realtime import events as model
from realtime.events import CreateResponse, ResponseStatus
from session.context import Handlers, SessionContext
from session.reply_output import ReplyOutput

MAX_RETRIES: Final = 2
"""Cut replies in a row that are replaced by another; after that there is silence."""

_INSTEAD: Final = (
    "Your last reply was withheld: it broke the rule '{name}'. Do not say it again in any form. "
    "Say briefly that you cannot tell this, and offer other help."
)


class GuardrailEnforcer:
    """Checks the words of each reply before `ReplyOutput` publishes them."""

    def __init__(self, context: SessionContext, reply_output: ReplyOutput) -> None:
        self._context = context
        self._reply_output = reply_output
        self._guardrail = Guardrail(context.config.guardrails)
        # Replies cut in a row; a whole reply resets it.
        self._retries = 0

    def handlers(self) -> Handlers:
        """Reactions to model events; none without rules."""
        if not self._context.config.guardrails:
            return {}
        return {
            model.TranscriptDelta: self._handle_words,
            model.TextDelta: self._handle_words,
            model.TranscriptDone: self._handle_transcript,
            model.TextDone: self._handle_text,
            model.ResponseDone: self._handle_done,
        }

    async def _handle_words(self, event: model.TranscriptDelta | model.TextDelta) -> None:
        rule = self._guardrail.append(event.item_id, event.delta)
        await self._enforce(rule, event.response_id, event.item_id)

    async def _handle_transcript(self, event: model.TranscriptDone) -> None:
        rule = self._guardrail.finish(event.item_id, event.transcript)
        await self._enforce(rule, event.response_id, event.item_id)

    async def _handle_text(self, event: model.TextDone) -> None:
        rule = self._guardrail.finish(event.item_id, event.text)
        await self._enforce(rule, event.response_id, event.item_id)

    async def _enforce(self, rule: GuardrailRule | None, response_id: str, item_id: str) -> None:
        if rule is None or self._context.turns.is_cut(response_id):
            return
        # Silence first: publishing can wait.
        await self._reply_output.interrupt(should_cancel=True)
        self._context.log.warning("a reply was cut by the guardrail %s", rule.name)
        self._context.publisher.publish(
            out.AgentGuardrailTripped,
            response_id=response_id,
            item_id=item_id,
            guardrail=rule.name,
        )
        if self._retries < MAX_RETRIES:
            self._retries += 1
            instructions = _INSTEAD.format(name=rule.name)
            await self._context.model.send(CreateResponse(instructions))

    async def _handle_done(self, event: model.ResponseDone) -> None:
        is_whole = event.status is ResponseStatus.COMPLETED
        if is_whole and not self._context.turns.is_cut(event.response_id):
            self._retries = 0
