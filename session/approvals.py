"""Tools that need a person's consent: asked for, remembered for the call where wished."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from conversation.event_parts import ToolUse
from session.tool_sharing import ToolSharing

MAX_WAITING: Final = 32
"""Questions that may be open at once; a further one is answered with no."""

ToolKey = tuple[str, str]
"""(label of the provider's tool server or "", tool name): what an answer may be remembered for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What people, or their silence, decided."""

    is_approved: bool
    reason: str = ""


_TOO_MANY: Final = Verdict(is_approved=False, reason="too many tools wait for approval")
_SILENCE: Final = Verdict(is_approved=False, reason="nobody approved it in time")


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    request_id: str
    key: ToolKey
    answer: asyncio.Future[Verdict]


class Approvals:
    """Asks the agent's owner and those in the room who may allow it; silence means no."""

    def __init__(self, sharing: ToolSharing, *, timeout_s: float) -> None:
        self._sharing = sharing
        self._timeout_s = timeout_s
        # Oldest first; ids are unique within one reply only.
        self._waiting: list[_Question] = []
        self._remembered: dict[ToolKey, Verdict] = {}

    async def ask(self, tool_use: ToolUse, *, server_label: str = "") -> Verdict:
        """Whether this call may be carried out."""
        key = (server_label, tool_use.name)
        if (known := self._remembered.get(key)) is not None:
            return known
        if len(self._waiting) >= MAX_WAITING:
            return _TOO_MANY
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        question = _Question(tool_use.id, key, answer)
        self._waiting.append(question)
        self._sharing.tell_approval(
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
        """Somebody decided; False when nothing waits under this id.

        is_for_all: the same holds for this tool's other calls until the conversation ends
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
