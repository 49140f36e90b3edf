"""Tools of a conversation: run off the receive loop, answered always, followed up once a batch."""

from __future__ import annotations

import json

from conversation import client_events as out
from conversation.tool_batch import ToolBatches
from realtime import events as model
from realtime.events import AddToolOutput, CreateResponse
from realtime.model import ModelDisconnectedError
from session.context import Handlers, SessionContext
from tools import ToolContext, ToolOutcome
from utils import OwnedTasks


class ToolCalls:
    """Runs what the model asks for. A failing tool is an answer, never the end of a call."""

    def __init__(self, context: SessionContext, tools: ToolContext) -> None:
        self._context = context
        self._tools = tools
        self._batches = ToolBatches()
        self._tasks = OwnedTasks(context.log)

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.ToolCallRequested: self._handle_requested,
            model.ResponseDone: self._handle_response_done,
        }

    async def _handle_requested(self, event: model.ToolCallRequested) -> None:
        self._batches.call_started(event.response_id, event.call_id)
        self._context.publisher.publish(
            out.AgentResponseToolUseDone,
            response_id=event.response_id,
            item_id=event.item_id,
            tool_use=out.ToolUse(
                id=event.call_id, name=event.name, input=_as_object(event.arguments)
            ),
            is_client_tool=self._tools.is_client_function(event.name),
        )
        self._tasks.start(self._run(event), name=f"tool {event.name}")

    async def _run(self, event: model.ToolCallRequested) -> None:
        outcome = await self._tools.execute_tool(event.call_id, event.name, event.arguments)
        try:
            await self._answer(event, outcome)
        except ModelDisconnectedError:
            self._context.log.info("tool %s answered too late: the model is gone", event.name)

    async def _answer(self, event: model.ToolCallRequested, outcome: ToolOutcome) -> None:
        self._context.history.add_tool_output(event.call_id, outcome.output)
        self._context.publisher.publish(
            out.AgentResponseToolResult,
            tool_result=out.ToolResult(
                id=event.call_id, name=event.name, output=outcome.output, is_error=outcome.is_error
            ),
        )
        await self._context.model.send(AddToolOutput(event.call_id, outcome.output))
        if self._batches.call_answered(event.response_id, event.call_id):
            await self._follow_up(event.response_id)

    async def _handle_response_done(self, event: model.ResponseDone) -> None:
        if self._batches.response_done(event.response_id):
            await self._follow_up(event.response_id)

    async def _follow_up(self, response_id: str) -> None:
        if not self._context.model.capabilities.needs_response_after_tool:
            return
        # A user who spoke over the call gets the answer to what was said, which knows the outputs.
        if not self._context.turns.is_cut(response_id):
            await self._context.model.send(CreateResponse())

    async def close(self) -> None:
        """Cancel what still runs."""
        await self._tasks.close()


def _as_object(arguments: str) -> dict[str, object]:
    """Arguments for display; what is not a JSON object is shown as it came."""
    try:
        parsed = json.loads(arguments or "{}")
    except ValueError:
        parsed = arguments
    return parsed if isinstance(parsed, dict) else {"arguments": arguments}
