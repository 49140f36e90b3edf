"""What only the agent's owner may ask during a call: to say something, to be silent, to be changed."""

from __future__ import annotations

from typing import Any

from conversation.live_commands import CommandRefusedError, CommandResult, Mute, Say, Update
from realtime.events import CreateResponse, UpdateSettings
from session.context import SessionContext
from session.instructions import instructions_of
from session.replies import Replies
from session.turn_policy import TurnPolicy
from session.user_turns import UserTurns
from tools import ToolContext, ToolDeclarationError


class Owner:
    """Carries out the owner's commands, one after the other."""

    def __init__(
        self,
        context: SessionContext,
        replies: Replies,
        user_turns: UserTurns,
        tools: ToolContext,
        policy: TurnPolicy,
    ) -> None:
        """policy: the one that all parts of the session share; it changes with the agent's."""
        self._context = context
        self._replies = replies
        self._user_turns = user_turns
        self._tools = tools
        self._policy = policy

    async def say(self, command: Say) -> CommandResult:
        """Speak word for word, as soon as no other reply is in the making."""
        was_speaking = command.should_interrupt and self._replies.is_playing
        if command.should_interrupt:
            await self._user_turns.interrupt()
        await self._context.model.send(CreateResponse(instructions=f"Say exactly: {command.text}"))
        return CommandResult(was_speaking=was_speaking)

    async def mute(self, command: Mute) -> CommandResult:
        """Stop or resume sending voice."""
        self._context.channel.set_muted(command.is_muted)
        return CommandResult()

    async def update(self, command: Update) -> CommandResult:
        """Change the model's session, then ourselves.

        Raises:
            CommandRefusedError: tools that cannot be declared, or a voice that was heard already.
            UnsupportedCommandError: this model cannot be changed in that.
        """
        changed = self._context.config.model_copy(update=command.config_changes())
        tools = self._tools_with(command)
        policy = TurnPolicy.of(changed, self._context.model.capabilities)
        self._require_free_voice(command)
        wanted: dict[str, Any] = {
            "instructions": command.instructions and instructions_of(changed, self._context.log),
            "voice": command.voice,
            "tools": tools and tuple(tools.model_description()),
            "turn_detection": command.turn_detection and policy.provider_detection,
        }
        changes = {name: value for name, value in wanted.items() if value is not None}
        await self._context.model.send(UpdateSettings(changes))
        if tools is not None:
            self._tools.adopt(tools)
        if command.turn_detection is not None:
            self._policy.adopt(policy)
        return CommandResult()

    def _tools_with(self, command: Update) -> ToolContext | None:
        if command.tools is None:
            return None
        tools = self._tools.copy()
        tools.forget_client_functions()
        try:
            for declaration in command.tools:
                tools.register_client_function(declaration)
        except ToolDeclarationError as error:
            raise CommandRefusedError("invalid_event", f"tools: {error}") from error
        return tools

    def _require_free_voice(self, command: Update) -> None:
        """Providers refuse another voice once something was said."""
        has_spoken = any(item.received_ms > 0 for item in self._context.history.items)
        if command.voice is not None and has_spoken:
            text = "voice: it cannot change any more, the agent has spoken with the one it has"
            raise CommandRefusedError("voice_in_use", text)
