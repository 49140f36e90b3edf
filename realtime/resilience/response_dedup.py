"""Suppress reply requests that the provider already answers on its own. Pure.

An agent asks for replies as its preferred provider needs it. A fallback provider may leave neither
turns nor what follows a tool to us; then a request would make it answer the same thing twice. Or it
waits for a request that the agent, used to another provider, does not make.
"""

from __future__ import annotations

from realtime import events as ours
from realtime.events import ModelEvent
from realtime.model import Capabilities


class ResponseDedup:
    """Follows one session; each request of the agent is put to it once."""

    def __init__(self, outside: Capabilities, inside: Capabilities) -> None:
        """outside: of the model that the agent thinks it has; inside: of the session's"""
        self._answers_turns = outside.has_turn_control and not inside.has_turn_control
        can_request, needs = outside.needs_response_after_tool, inside.needs_response_after_tool
        self._answers_tools = can_request and not needs
        self.must_request_after_tools = needs and not can_request
        # What the model answers by itself, until the agent has asked for it too.
        self._is_turn_answered = False
        self._is_tool_answered = False
        # Something was sent that is answered only on request.
        self._is_request_needed = False

    def handle(self, event: ModelEvent) -> None:
        """The model said something."""
        if isinstance(event, ours.InputCommitted):
            self._is_turn_answered = True
            self._is_tool_answered = self._is_request_needed = False

    def handle_text(self) -> None:
        """Record that a text or an image was sent to the model."""
        self._is_request_needed = True

    def handle_tool_output(self) -> None:
        """Record that a tool's result was sent to the model."""
        if self._answers_tools:
            self._is_tool_answered = True
        else:
            self._is_request_needed = True

    def does_answer_turns(self, *, is_manual: bool) -> bool:
        """True if the provider answers speech without a request although the agent wants to ask."""
        return self._answers_turns and not is_manual

    def takes_request(self, *, is_manual: bool) -> bool:
        """True if the reply that the agent requests now comes anyway.

        is_manual: turns are marked by the client (push to talk)
        """
        if self._is_request_needed:
            self._is_request_needed = False
            return False
        is_taken = self._is_tool_answered or (
            self._is_turn_answered and self.does_answer_turns(is_manual=is_manual)
        )
        self._is_turn_answered = self._is_tool_answered = False
        return is_taken
