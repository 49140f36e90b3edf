"""People in the room and the agent's tools: who may answer or allow a call, and what each one sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from config import AgentConfig, Answerers
from conversation import server_events as out
from conversation.event_parts import ToolResult, ToolUse
from conversation.live_commands import CommandRefusedError
from rtc.options import RemoteUser
from session.publisher import Publisher, Told

NOT_ALLOWED: Final = "not_allowed"


class ToolSharing:
    """Tells the agent's owner everything, and people in the room what the start allows.

    The owner, over HTTP, may always answer and allow.
    """

    def __init__(
        self, config: AgentConfig, users: Mapping[int, RemoteUser], publisher: Publisher
    ) -> None:
        """users: who is in the room now; a live view"""
        self._users = users
        self._publisher = publisher
        self._show = config.show_tools
        self._answerers = config.tool_results_from
        self._approvers = config.tool_approvers

    def require_answerer(self, uid: int | None) -> None:
        """Let the owner (None) and those whom the start names answer pass-through calls.

        Raises:
            CommandRefusedError: this one may not.
        """
        if uid is not None and not self._is_among(uid, self._answerers):
            text = "this agent takes no tool results from you (tool_results_from of its start)"
            raise CommandRefusedError(NOT_ALLOWED, text)

    def require_approver(self, uid: int | None) -> None:
        """Let the owner (None) and those whom the start names allow calls.

        Raises:
            CommandRefusedError: this one may not.
        """
        if uid is not None and not self._is_among(uid, self._approvers):
            text = "this agent takes no approvals from you (tool_approvals_from of its start)"
            raise CommandRefusedError(NOT_ALLOWED, text)

    def _is_among(self, uid: int, allowed: Answerers) -> bool:
        user = self._users.get(uid)
        if user is None or user.role != "user" or allowed == "http":
            return False
        return allowed == "anyone" or uid in allowed

    # -- telling -------------------------------------------------------------------------------

    def tell_use(
        self, *, response_id: str, item_id: str, tool_use: ToolUse, is_client_tool: bool
    ) -> None:
        """A tool is called. Whoever may answer the call is told what it asks."""
        audience: list[Told] = []
        for uid in self._users:
            if is_client_tool and self._is_among(uid, self._answerers):
                audience.append((uid, {}))
            elif self._show != "none":
                shown = tool_use if self._show == "full" else _bare(tool_use)
                audience.append((uid, {"tool_use": shown, "is_client_tool": False}))
        self._publisher.publish(
            out.AgentResponseToolUseDone,
            among=audience,
            response_id=response_id,
            item_id=item_id,
            tool_use=tool_use,
            is_client_tool=is_client_tool,
        )

    def tell_result(self, result: ToolResult) -> None:
        """A call ended."""
        changes: dict[str, Any] = {}
        if self._show != "full":
            changes["tool_result"] = result.model_copy(update={"output": ""})
        audience = [] if self._show == "none" else [(uid, changes) for uid in self._users]
        self._publisher.publish(out.AgentResponseToolResult, among=audience, tool_result=result)

    def tell_approval(self, *, tool_use: ToolUse, server_label: str, timeout_ms: int) -> None:
        """A call waits to be allowed. Whoever may allow it is told what it asks, nobody else."""
        self._publisher.publish(
            out.AgentToolApprovalRequired,
            among=[(uid, {}) for uid in self._users if self._is_among(uid, self._approvers)],
            tool_use=tool_use,
            server_label=server_label,
            timeout_ms=timeout_ms,
        )


def _bare(tool_use: ToolUse) -> ToolUse:
    return tool_use.model_copy(update={"input": {}})
