"""Permissions for tool calls: who may answer or approve a call, and who sees what of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from config.agent import AgentConfig, Answerers
from conversation.events import server_events as out
from conversation.events.commands import CommandRefusedError
from conversation.events.parts import GrowingToolUse, ToolResult, ToolUse
from line.participants import RemoteUser
from realtime.events import HostedToolProgress
from session.publisher import Publisher, Recipient

NOT_ALLOWED: Final = "not_allowed"


class ToolPermissions:
    """Publishes tool calls: everything to the API, to participants what the start allows.

    Over the API, every call may be answered and approved.
    """

    def __init__(
        self, config: AgentConfig, users: Mapping[int, RemoteUser], publisher: Publisher
    ) -> None:
        """users: a live view of the users in the room"""
        self._users = users
        self._publisher = publisher
        self._show = config.show_tools
        self._answerers = config.tool_results_from
        self._approvers = config.tool_approvers

    def require_answerer(self, uid: int | None) -> None:
        """Let the API (None) and the users that the start names answer pass-through calls.

        Raises:
            CommandRefusedError: this user may not.
        """
        if uid is not None and not self._is_among(uid, self._answerers):
            text = "this agent takes no tool results from you (tool_results_from of its start)"
            raise CommandRefusedError(NOT_ALLOWED, text)

    def require_approver(self, uid: int | None) -> None:
        """Let the API (None) and the users that the start names approve calls.

        Raises:
            CommandRefusedError: this user may not.
        """
        if uid is not None and not self._is_among(uid, self._approvers):
            text = "this agent takes no approvals from you (tool_approvals_from of its start)"
            raise CommandRefusedError(NOT_ALLOWED, text)

    def _is_among(self, uid: int, allowed: Answerers) -> bool:
        user = self._users.get(uid)
        if user is None or user.role != "user" or allowed == "http":
            return False
        return allowed == "anyone" or uid in allowed

    # -- publishing --------------------------------------------------------------------------------

    def publish_use(
        self, *, response_id: str, item_id: str, tool_use: ToolUse, is_client_tool: bool
    ) -> None:
        """Publish a tool call. Users that may answer it get its arguments."""
        audience: list[Recipient] = []
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

    def publish_growth(
        self,
        *,
        response_id: str,
        item_id: str,
        tool_use: GrowingToolUse,
        is_client_tool: bool,
        is_first: bool,
    ) -> None:
        """Publish that a tool call grows. Users that get no arguments get the first such event only."""
        audience: list[Recipient] = []
        for uid in self._users:
            is_answerer = is_client_tool and self._is_among(uid, self._answerers)
            if is_answerer or self._show == "full":
                audience.append((uid, {}))
            elif is_first and self._show != "none":
                bare = tool_use.model_copy(update={"raw_input": ""})
                audience.append((uid, {"tool_use": bare}))
        self._publisher.publish(
            out.AgentResponseToolUseDelta,
            among=audience,
            response_id=response_id,
            item_id=item_id,
            tool_use=tool_use,
        )

    def publish_result(self, result: ToolResult) -> None:
        """Publish the result of a call."""
        changes: dict[str, Any] = {}
        if self._show != "full":
            changes["tool_result"] = result.model_copy(update={"output": ""})
        audience = [] if self._show == "none" else [(uid, changes) for uid in self._users]
        self._publisher.publish(out.AgentResponseToolResult, among=audience, tool_result=result)

    def publish_hosted_progress(self, progress: HostedToolProgress) -> None:
        """Publish the progress of a tool that the provider runs by itself."""
        bare = {} if self._show == "full" else {"arguments": "", "output": "", "error": ""}
        self._publisher.publish(
            out.AgentHostedToolProgress,
            among=[] if self._show == "none" else [(uid, bare) for uid in self._users],
            item_id=progress.item_id,
            stage=progress.stage,
            server_label=progress.server_label,
            name=progress.name,
            arguments=progress.arguments,
            output=progress.output,
            error=progress.error,
        )

    def publish_approval_request(
        self, *, tool_use: ToolUse, server_label: str, timeout_ms: int
    ) -> None:
        """Publish that a call needs an approval, with its arguments, to those that may approve."""
        self._publisher.publish(
            out.AgentToolApprovalRequired,
            among=[(uid, {}) for uid in self._users if self._is_among(uid, self._approvers)],
            tool_use=tool_use,
            server_label=server_label,
            timeout_ms=timeout_ms,
        )


def _bare(tool_use: ToolUse) -> ToolUse:
    return tool_use.model_copy(update={"input": {}})
