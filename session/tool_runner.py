"""Runs the tool calls of a conversation off the receive loop; always answers, and asks for one
follow-up per batch.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from conversation.events.parts import GrowingToolUse, ToolResult, ToolUse
from conversation.growing_calls import GrowingCalls
from conversation.tool_batch import ToolBatches
from realtime import events as model
from realtime.events import AddToolOutput, AnswerToolApproval, CreateResponse, ModelCommand
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from session.approvals import Approvals, Verdict
from session.context import Handlers, SessionContext
from session.tool_guardrails import ToolGuardrails
from session.tool_permissions import ToolPermissions
from tools import ToolContext, ToolOutcome, failure
from untrusted.boundary import InputKind
from untrusted.json_reader import InvalidJsonError, mend_text, read_object
from utils import OwnedTasks


class _CancelReason(StrEnum):
    """Reason for a call without an outcome of its own."""

    INTERRUPTED = "cancelled: the user interrupted"
    WITHDRAWN = "cancelled: the model no longer wants it"


@dataclass(frozen=True, slots=True)
class _Call:
    """key: unique in the conversation, which the model's ids are not"""

    key: str
    event: model.ToolCallRequested
    task: asyncio.Task[None]


class ToolRunner:
    """Runs the tools that the model calls. A failing tool is an answer, never the end of a call.

    On interruption, calls of tools with `cancel_on_interrupt` are cancelled: the model gets that as
    their output and is not asked to go on, because it is about to answer the user. All others run
    to their end.
    """

    def __init__(
        self,
        context: SessionContext,
        *,
        tools: ToolContext,
        approvals: Approvals,
        permissions: ToolPermissions,
    ) -> None:
        self._context = context
        self._permissions = permissions
        self._approvals = approvals
        self._tools = tools
        self._batches = ToolBatches()
        self._growing = GrowingCalls()
        # Calls without an outcome, by key; removing a call is what entitles to answer it.
        self._running: dict[str, _Call] = {}
        self._numbers = itertools.count()
        owner, publisher = context.owner, context.publisher
        self._guardrails = None if owner is None else ToolGuardrails(owner, publisher)
        self._tasks = OwnedTasks(context.log)

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.ToolCallDelta: self._handle_delta,
            model.ToolCallRequested: self._handle_requested,
            model.ToolApprovalRequested: self._handle_approval_requested,
            model.HostedToolProgress: self._handle_hosted_progress,
            model.ToolCallCancelled: self._handle_withdrawn,
            model.ResponseDone: self._handle_response_done,
        }

    async def handle_interrupt(self) -> None:
        """Cancel the calls that an interruption cancels, and send the model that output."""
        keys = [
            key
            for key, call in self._running.items()
            if self._tools.is_cancelled_by_interrupt(call.event.name)
        ]
        await self._cancel(keys, _CancelReason.INTERRUPTED)

    async def _handle_withdrawn(self, event: model.ToolCallCancelled) -> None:
        ids = set(event.call_ids)
        keys = [key for key, call in self._running.items() if call.event.call_id in ids]
        await self._cancel(keys, _CancelReason.WITHDRAWN)

    async def _cancel(self, keys: Iterable[str], why: _CancelReason) -> None:
        for key in keys:
            if (call := self._take(key)) is not None:
                call.task.cancel()
                await self._send_cancelled(call, why)

    def _take(self, key: str) -> _Call | None:
        """Remove the call if it still runs; the caller that gets it answers it."""
        self._context.turns.work_ended(key)
        return self._running.pop(key, None)

    # -- running -----------------------------------------------------------------------------------

    async def _handle_delta(self, event: model.ToolCallDelta) -> None:
        growth = self._growing.add(event.call_id, mend_text(event.name), mend_text(event.delta))
        if growth is not None:
            self._permissions.publish_growth(
                response_id=event.response_id,
                item_id=event.item_id,
                tool_use=GrowingToolUse(
                    id=event.call_id, name=growth.name, raw_input=growth.arguments
                ),
                is_client_tool=self._tools.is_client_function(growth.name),
                is_first=growth.is_first,
            )

    async def _handle_requested(self, event: model.ToolCallRequested) -> None:
        self._growing.end(event.call_id)
        event = replace(event, name=mend_text(event.name), arguments=mend_text(event.arguments))
        key = f"{event.call_id} {next(self._numbers)}"
        self._batches.call_started(event.response_id, key)
        self._permissions.publish_use(
            response_id=event.response_id,
            item_id=event.item_id,
            tool_use=_tool_use(event),
            is_client_tool=self._tools.is_client_function(event.name),
        )
        if self._tools.is_cancelled_by_interrupt(event.name):
            self._context.turns.work_started(key)
        task = self._tasks.start(self._run(key, event), name="tool call")
        self._running[key] = _Call(key, event, task)

    async def _run(self, key: str, event: model.ToolCallRequested) -> None:
        outcome = failure("it failed unexpectedly", is_unexpected=True)
        with self._context.boundary.guard(InputKind.TOOL, "call"):
            outcome = await self._outcome(event)
            if outcome.is_unexpected and self._context.owner is not None and outcome.place:
                self._context.owner.note_tool_failure(event.name, outcome.cause, outcome.place)
            if outcome.is_unexpected:
                self._context.boundary.failures[InputKind.TOOL] += 1
        if (call := self._take(key)) is not None:
            with self._context.boundary.guard(InputKind.TOOL, "answer"):
                await self._send_output(call, outcome)

    async def _outcome(self, event: model.ToolCallRequested) -> ToolOutcome:
        if await self._tools.needs_approval(event.name, event.arguments):
            verdict = await self._approvals.ask(_tool_use(event))
            if not verdict.is_approved:
                return failure(f"not approved: {verdict.reason or 'the user said no'}")
        if self._guardrails is None:
            return await self._execute(event, event.arguments)
        return await self._guardrails.run(
            event.call_id,
            event.name,
            event.arguments,
            functools.partial(self._execute, event),
        )

    async def _execute(self, event: model.ToolCallRequested, arguments: str) -> ToolOutcome:
        return await self._tools.execute_tool(
            event.call_id,
            event.name,
            arguments,
            on_progress=functools.partial(self._handle_progress, event),
        )

    def _handle_progress(self, event: model.ToolCallRequested, text: str) -> None:
        """Have words spoken while the call goes on, unless the user has taken the floor."""
        if not self._context.turns.is_cut(event.response_id):
            request = CreateResponse(instructions=f"Say exactly: {text}")
            self._tasks.start(self._send(request), name="tool progress")

    # -- tools that the provider runs by itself ----------------------------------------------------

    async def _handle_hosted_progress(self, event: model.HostedToolProgress) -> None:
        self._permissions.publish_hosted_progress(event)

    async def _handle_approval_requested(self, event: model.ToolApprovalRequested) -> None:
        self._tasks.start(self._approve(event), name="approval")

    async def _approve(self, event: model.ToolApprovalRequested) -> None:
        verdict = Verdict(is_approved=False, reason="it could not be asked")
        with self._context.boundary.guard(InputKind.TOOL, "approval"):
            tool_use = ToolUse(
                id=event.request_id,
                name=mend_text(event.name),
                input=_as_object(mend_text(event.arguments)),
            )
            verdict = await self._approvals.ask(tool_use, server_label=event.server_label)
        await self._send(
            AnswerToolApproval(event.request_id, verdict.is_approved, verdict.reason or None)
        )

    # -- answering ---------------------------------------------------------------------------------

    async def _send_output(self, call: _Call, outcome: ToolOutcome) -> None:
        event = call.event
        self._publish(event, outcome)
        await self._send(
            AddToolOutput(event.call_id, outcome.output, start_response=outcome.start_response)
        )
        ended = self._batches.call_answered if outcome.start_response else self._batches.call_closed
        if ended(event.response_id, call.key):
            await self._follow_up(event.response_id)

    async def _send_cancelled(self, call: _Call, why: _CancelReason) -> None:
        event, outcome = call.event, failure(why)
        self._publish(event, outcome)
        if why is not _CancelReason.WITHDRAWN:
            await self._send(AddToolOutput(event.call_id, outcome.output))
        if self._batches.call_closed(event.response_id, call.key):
            await self._follow_up(event.response_id)

    async def _send(self, command: ModelCommand) -> None:
        """Send a command; a failure never affects the other calls of the reply."""
        with self._context.boundary.guard(
            InputKind.TOOL, "output", expected=(ModelDisconnectedError, UnsupportedCommandError)
        ) as attempt:
            await self._context.model.send(command)
        if attempt.failure is not None:
            self._context.log.info("a tool output did not reach the model: %s", attempt.failure)

    def _publish(self, event: model.ToolCallRequested, outcome: ToolOutcome) -> None:
        self._context.history.add_tool_output(event.call_id, outcome.output)
        self._permissions.publish_result(
            ToolResult(
                id=event.call_id,
                name=event.name,
                output=outcome.output if outcome.shown is None else outcome.shown,
                is_error=outcome.is_error,
            )
        )

    async def _handle_response_done(self, event: model.ResponseDone) -> None:
        if self._batches.response_done(event.response_id):
            await self._follow_up(event.response_id)

    async def _follow_up(self, response_id: str) -> None:
        if not self._context.model.capabilities.needs_response_after_tool:
            return
        # After an interruption the reply to the user's new turn covers the outputs.
        if not self._context.turns.is_cut(response_id):
            await self._send(CreateResponse())

    @property
    def is_busy(self) -> bool:
        """True while a call runs or its output is on its way."""
        return len(self._tasks) > 0

    async def close(self) -> None:
        """Cancel all running calls."""
        await self._tasks.close()
        await self._tools.close()


def _tool_use(event: model.ToolCallRequested) -> ToolUse:
    return ToolUse(id=event.call_id, name=event.name, input=_as_object(event.arguments))


def _as_object(arguments: str) -> dict[str, object]:
    """Return the arguments for display; text that is no JSON object is kept as it came."""
    try:
        return read_object(arguments or "{}")
    except InvalidJsonError:
        return {"arguments": arguments}
