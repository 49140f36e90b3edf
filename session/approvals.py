"""Approvals of tool calls: requested from those allowed to approve, and remembered for the call if
wished.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from conversation.events.parts import ToolUse
from session.tool_permissions import ToolPermissions

MAX_WAITING: Final = 32
"""Questions that may be open at once; a further one is answered with no."""

ToolKey = tuple[str, str]
"""(label of the provider's tool server or "", tool name): what an answer may be remembered for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of an approval request."""

    is_approved: bool
    reason: str = ""


_TOO_MANY: Final = Verdict(is_approved=False, reason="too many tools wait for approval")
_SILENCE: Final = Verdict(is_approved=False, reason="no approval came in time")


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    request_id: str
    key: ToolKey
    answer: asyncio.Future[Verdict]


class Approvals:
    """Requests approvals over the API and from participants that may approve; no answer in time
    means no.
    """

    def __init__(self, permissions: ToolPermissions, *, timeout_s: float) -> None:
        self._permissions = permissions
        self._timeout_s = timeout_s
        # Oldest first; ids are unique within one reply only.
        self._waiting: list[_Question] = []
        # Verdicts that hold for all further calls of a tool.
        self._remembered: dict[ToolKey, Verdict] = {}

    @property
    def is_waiting(self) -> bool:
        """True while a person is asked."""
        return bool(self._waiting)

    async def ask(self, tool_use: ToolUse, *, server_label: str = "") -> Verdict:
        """Request an approval and wait for the verdict, at most the timeout."""
        key = (server_label, tool_use.name)
        if (known := self._remembered.get(key)) is not None:
            return known
        if len(self._waiting) >= MAX_WAITING:
            return _TOO_MANY
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        question = _Question(tool_use.id, key, answer)
        self._waiting.append(question)
        self._permissions.publish_approval_request(
            tool_use=tool_use,
            server_label=server_label,
            timeout_ms=int(self._timeout_s * 1000),
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            return _SILENCE
        finally:
            self._waiting.remove(question)

    def answer(self, request_id: str, verdict: Verdict, *, is_for_all: bool = False) -> bool:
        """Answer an open request; return false if none waits under this id.

        is_for_all: apply the verdict to all calls of this tool until the conversation ends
        """
        open_questions = [one for one in self._waiting if not one.answer.done()]
        question = next((one for one in open_questions if one.request_id == request_id), None)
        if question is None:
            return False
        question.answer.set_result(verdict)
        if is_for_all:
            self._remembered[question.key] = verdict
            for other in open_questions:
                if other.key == question.key and not other.answer.done():
                    other.answer.set_result(verdict)
        return True
