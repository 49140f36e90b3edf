"""Tools of a conversation: run off the receive loop, answered always, followed up once a batch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from conversation import server_events as out
from conversation.event_parts import ToolResult, ToolUse
from conversation.tool_batch import ToolBatches
from realtime import events as model
from realtime.events import AddToolOutput, AnswerToolApproval, CreateResponse, ModelCommand
from realtime.model import ModelDisconnectedError
from session.approvals import Approvals
from session.context import Handlers, SessionContext
from tools import ToolContext, ToolOutcome, failure
from utils import OwnedTasks


class _GivenUp(StrEnum):
    """Why a call has no outcome of its own."""

    INTERRUPTED = "cancelled: the user interrupted"
    WITHDRAWN = "cancelled: the model no longer wants it"


@dataclass(frozen=True, slots=True)
class _Call:
    event: model.ToolCallRequested
    task: asyncio.Task[None]


class ToolCalls:
    """Runs what the model asks for. A failing tool is an answer, never the end of a call.

    When the user interrupts, calls of tools with `cancel_on_interrupt` are given up: the model is
    told so, and not asked to go on, for it is about to answer the user. All others run to their end.
    """

    def __init__(self, context: SessionContext, tools: ToolContext, approvals: Approvals) -> None:
        self._context = context
        self._approvals = approvals
        self._tools = tools
        self._batches = ToolBatches()
        self._running: dict[str, _Call] = {}
        self._tasks = OwnedTasks(context.log)

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.ToolCallRequested: self._handle_requested,
            model.ToolApprovalRequested: self._handle_approval_requested,
            model.ToolCallCancelled: self._handle_withdrawn,
            model.ResponseDone: self._handle_response_done,
        }

    async def handle_interrupt(self) -> None:
        """The user wants no more of this: give up what may be given up, and tell the model."""
        doomed = [
            call_id
            for call_id, call in self._running.items()
            if self._tools.is_cancelled_by_interrupt(call.event.name)
        ]
        await self._give_up(doomed, _GivenUp.INTERRUPTED)

    async def _handle_withdrawn(self, event: model.ToolCallCancelled) -> None:
        await self._give_up(event.call_ids, _GivenUp.WITHDRAWN)

    async def _give_up(self, call_ids: Iterable[str], why: _GivenUp) -> None:
        for call_id in call_ids:
            if (call := self._take(call_id)) is not None:
                call.task.cancel()
                await self._tell_given_up(call.event, why)

    def _take(self, call_id: str) -> _Call | None:
        """The call, if it still runs; whoever takes it tells the model how it ended."""
        self._context.turns.work_ended(call_id)
        return self._running.pop(call_id, None)

    # -- running -------------------------------------------------------------------------------

    async def _handle_requested(self, event: model.ToolCallRequested) -> None:
        self._batches.call_started(event.response_id, event.call_id)
        self._context.publisher.publish(
            out.AgentResponseToolUseDone,
            response_id=event.response_id,
            item_id=event.item_id,
            tool_use=_tool_use(event),
            is_client_tool=self._tools.is_client_function(event.name),
        )
        if self._tools.is_cancelled_by_interrupt(event.name):
            self._context.turns.work_started(event.call_id)
        task = self._tasks.start(self._run(event), name=f"tool {event.name}")
        self._running[event.call_id] = _Call(event, task)

    async def _run(self, event: model.ToolCallRequested) -> None:
        outcome = await self._outcome(event)
        if self._take(event.call_id) is not None:
            await self._tell(event, outcome)

    async def _outcome(self, event: model.ToolCallRequested) -> ToolOutcome:
        if self._tools.needs_approval(event.name):
            verdict = await self._approvals.ask(_tool_use(event))
            if not verdict.is_approved:
                return failure(f"not approved: {verdict.reason or 'the user said no'}")
        return await self._tools.execute_tool(event.call_id, event.name, event.arguments)

    # -- tools that the provider runs by itself ------------------------------------------------

    async def _handle_approval_requested(self, event: model.ToolApprovalRequested) -> None:
        self._tasks.start(self._approve(event), name=f"approval of {event.name}")

    async def _approve(self, event: model.ToolApprovalRequested) -> None:
        tool_use = ToolUse(id=event.request_id, name=event.name, input=_as_object(event.arguments))
        verdict = await self._approvals.ask(tool_use, server_label=event.server_label)
        await self._send(
            AnswerToolApproval(event.request_id, verdict.is_approved, verdict.reason or None)
        )

    # -- telling -------------------------------------------------------------------------------

    async def _tell(self, event: model.ToolCallRequested, outcome: ToolOutcome) -> None:
        self._publish(event, outcome)
        await self._send(AddToolOutput(event.call_id, outcome.output))
        if self._batches.call_answered(event.response_id, event.call_id):
            await self._follow_up(event.response_id)

    async def _tell_given_up(self, event: model.ToolCallRequested, why: _GivenUp) -> None:
        outcome = failure(why)
        self._publish(event, outcome)
        if why is not _GivenUp.WITHDRAWN:
            await self._send(AddToolOutput(event.call_id, outcome.output))
        if self._batches.call_given_up(event.response_id, event.call_id):
            await self._follow_up(event.response_id)

    async def _send(self, command: ModelCommand) -> None:
        try:
            await self._context.model.send(command)
        except ModelDisconnectedError:
            self._context.log.info("a tool was answered too late: the model is gone")

    def _publish(self, event: model.ToolCallRequested, outcome: ToolOutcome) -> None:
        self._context.history.add_tool_output(event.call_id, outcome.output)
        self._context.publisher.publish(
            out.AgentResponseToolResult,
            tool_result=ToolResult(
                id=event.call_id, name=event.name, output=outcome.output, is_error=outcome.is_error
            ),
        )

    async def _handle_response_done(self, event: model.ResponseDone) -> None:
        if self._batches.response_done(event.response_id):
            await self._follow_up(event.response_id)

    async def _follow_up(self, response_id: str) -> None:
        if not self._context.model.capabilities.needs_response_after_tool:
            return
        # A user who spoke over the call gets the answer to what was said, which knows the outputs.
        if not self._context.turns.is_cut(response_id):
            await self._send(CreateResponse())

    async def close(self) -> None:
        """Cancel what still runs."""
        await self._tasks.close()


def _tool_use(event: model.ToolCallRequested) -> ToolUse:
    return ToolUse(id=event.call_id, name=event.name, input=_as_object(event.arguments))


def _as_object(arguments: str) -> dict[str, object]:
    """Arguments for display; what is not a JSON object is shown as it came."""
    try:
        parsed = json.loads(arguments or "{}")
    except ValueError:
        parsed = arguments
    return parsed if isinstance(parsed, dict) else {"arguments": arguments}
