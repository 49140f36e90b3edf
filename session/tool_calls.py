"""Tools of a conversation: run off the receive loop, answered always, followed up once a batch."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from boundary import InputKind
from conversation.event_parts import ToolResult, ToolUse
from conversation.tool_batch import ToolBatches
from json_reader import InvalidJsonError, mend_text, read_object
from realtime import events as model
from realtime.events import AddToolOutput, AnswerToolApproval, CreateResponse, ModelCommand
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from session.approvals import Approvals, Verdict
from session.context import Handlers, SessionContext
from session.tool_sharing import ToolSharing
from tools import ToolContext, ToolOutcome, failure
from utils import OwnedTasks


class _GivenUp(StrEnum):
    """Why a call has no outcome of its own."""

    INTERRUPTED = "cancelled: the user interrupted"
    WITHDRAWN = "cancelled: the model no longer wants it"


@dataclass(frozen=True, slots=True)
class _Call:
    """key: ours, for the model's ids are unique within one reply at best"""

    key: str
    event: model.ToolCallRequested
    task: asyncio.Task[None]


class ToolCalls:
    """Runs what the model asks for. A failing tool is an answer, never the end of a call.

    When the user interrupts, calls of tools with `cancel_on_interrupt` are given up: the model is
    told so, and not asked to go on, for it is about to answer the user. All others run to their end.
    """

    def __init__(
        self,
        context: SessionContext,
        tools: ToolContext,
        approvals: Approvals,
        sharing: ToolSharing,
    ) -> None:
        self._context = context
        self._sharing = sharing
        self._approvals = approvals
        self._tools = tools
        self._batches = ToolBatches()
        self._running: dict[str, _Call] = {}
        self._numbers = itertools.count()
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
            key
            for key, call in self._running.items()
            if self._tools.is_cancelled_by_interrupt(call.event.name)
        ]
        await self._give_up(doomed, _GivenUp.INTERRUPTED)

    async def _handle_withdrawn(self, event: model.ToolCallCancelled) -> None:
        ids = set(event.call_ids)
        doomed = [key for key, call in self._running.items() if call.event.call_id in ids]
        await self._give_up(doomed, _GivenUp.WITHDRAWN)

    async def _give_up(self, keys: Iterable[str], why: _GivenUp) -> None:
        for key in keys:
            if (call := self._take(key)) is not None:
                call.task.cancel()
                await self._tell_given_up(call, why)

    def _take(self, key: str) -> _Call | None:
        """The call, if it still runs; whoever takes it tells the model how it ended."""
        self._context.turns.work_ended(key)
        return self._running.pop(key, None)

    # -- running -------------------------------------------------------------------------------

    async def _handle_requested(self, event: model.ToolCallRequested) -> None:
        event = replace(event, name=mend_text(event.name), arguments=mend_text(event.arguments))
        key = f"{event.call_id} {next(self._numbers)}"
        self._batches.call_started(event.response_id, key)
        self._sharing.tell_use(
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
            if outcome.is_unexpected:
                self._context.boundary.failures[InputKind.TOOL] += 1
        if (call := self._take(key)) is not None:
            with self._context.boundary.guard(InputKind.TOOL, "answer"):
                await self._tell(call, outcome)

    async def _outcome(self, event: model.ToolCallRequested) -> ToolOutcome:
        if self._tools.needs_approval(event.name):
            verdict = await self._approvals.ask(_tool_use(event))
            if not verdict.is_approved:
                return failure(f"not approved: {verdict.reason or 'the user said no'}")
        return await self._tools.execute_tool(event.call_id, event.name, event.arguments)

    # -- tools that the provider runs by itself ------------------------------------------------

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

    # -- telling -------------------------------------------------------------------------------

    async def _tell(self, call: _Call, outcome: ToolOutcome) -> None:
        event = call.event
        self._publish(event, outcome)
        await self._send(AddToolOutput(event.call_id, outcome.output))
        if self._batches.call_answered(event.response_id, call.key):
            await self._follow_up(event.response_id)

    async def _tell_given_up(self, call: _Call, why: _GivenUp) -> None:
        event, outcome = call.event, failure(why)
        self._publish(event, outcome)
        if why is not _GivenUp.WITHDRAWN:
            await self._send(AddToolOutput(event.call_id, outcome.output))
        if self._batches.call_given_up(event.response_id, call.key):
            await self._follow_up(event.response_id)

    async def _send(self, command: ModelCommand) -> None:
        """Whatever becomes of it, the other calls of the reply go on."""
        with self._context.boundary.guard(
            InputKind.TOOL, "telling", expected=(ModelDisconnectedError, UnsupportedCommandError)
        ) as attempt:
            await self._context.model.send(command)
        if attempt.failure is not None:
            self._context.log.info("the model was not told about a tool: %s", attempt.failure)

    def _publish(self, event: model.ToolCallRequested, outcome: ToolOutcome) -> None:
        self._context.history.add_tool_output(event.call_id, outcome.output)
        self._sharing.tell_result(
            ToolResult(
                id=event.call_id, name=event.name, output=outcome.output, is_error=outcome.is_error
            )
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
        await self._tools.close()


def _tool_use(event: model.ToolCallRequested) -> ToolUse:
    return ToolUse(id=event.call_id, name=event.name, input=_as_object(event.arguments))


def _as_object(arguments: str) -> dict[str, object]:
    """Arguments for display; what is not a JSON object is shown as it came."""
    try:
        return read_object(arguments or "{}")
    except InvalidJsonError:
        return {"arguments": arguments}
