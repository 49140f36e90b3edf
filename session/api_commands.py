"""API commands for a live agent: say, mute, update."""

from __future__ import annotations

from typing import Any

from conversation.events.commands import CommandRefusedError, CommandResult, Mute, Say, Update
from realtime.events import CreateResponse, UpdateSettings
from session.chat_room import require_member
from session.context import SessionContext
from session.instructions import instructions_of
from session.model_setup import room_note
from session.reply_output import ReplyOutput
from session.turn_handler import TurnHandler
from session.turn_policy import TurnPolicy
from tools import ToolContext, ToolDeclarationError


class ApiCommands:
    """Executes API commands, one after the other."""

    def __init__(
        self,
        context: SessionContext,
        *,
        reply_output: ReplyOutput,
        turn_handler: TurnHandler,
        tools: ToolContext,
        policy: TurnPolicy,
    ) -> None:
        """policy: shared by all parts of the session; an update changes it in place"""
        self._context = context
        self._reply_output = reply_output
        self._turn_handler = turn_handler
        self._tools = tools
        self._policy = policy

    async def say(self, command: Say) -> CommandResult:
        """Speak a text verbatim, once no other reply is being generated."""
        was_speaking = command.should_interrupt and self._reply_output.is_playing
        if command.should_interrupt:
            await self._turn_handler.interrupt()
        request = CreateResponse(instructions=f"Say exactly: {command.text}")
        if command.agent:
            await require_member(self._context.model, command.agent).speak(command.agent, request)
        else:
            await self._context.model.send(request)
        return CommandResult(was_speaking=was_speaking)

    async def mute(self, command: Mute) -> CommandResult:
        """Stop or resume sending voice."""
        self._context.line.set_muted(command.is_muted)
        return CommandResult()

    async def update(self, command: Update) -> CommandResult:
        """Change the model's session, then the agent's own settings.

        Raises:
            CommandRefusedError: invalid tool declarations, or a change of a voice that was heard
                already.
            UnsupportedCommandError: the model cannot change this.
        """
        if command.agent:
            return await self._update_member(command)
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

    async def _update_member(self, command: Update) -> CommandResult:
        """Change one of several agents in the call."""
        group = require_member(self._context.model, command.agent)
        if command.tools is not None or command.turn_detection is not None:
            text = "tools and turn_detection are those of the whole call: leave out agent"
            raise CommandRefusedError("invalid_event", text)
        self._require_free_voice(command)
        room, instructions = self._context.config.chat_room, command.instructions
        if instructions is not None and room is not None:
            instructions = f"{instructions}\n\n{room_note(room, command.agent)}"
        wanted = {"instructions": instructions, "voice": command.voice}
        changes = {name: value for name, value in wanted.items() if value is not None}
        await group.update(command.agent, UpdateSettings(changes))
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
        """Refuse another voice once the agent has spoken, as providers do."""
        has_spoken = any(item.received_ms > 0 for item in self._context.history.items)
        if command.voice is not None and has_spoken:
            text = "voice: it cannot change any more, the agent has spoken with the one it has"
            raise CommandRefusedError("voice_in_use", text)
