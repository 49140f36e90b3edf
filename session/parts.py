"""The parts of one conversation, assembled once (`session.session`) and passed on as one record."""

from __future__ import annotations

from dataclasses import dataclass

from session.api_commands import ApiCommands
from session.approvals import Approvals
from session.audio_input import AudioInput
from session.call_sounds import CallSounds
from session.chat_room import ChatRoom
from session.event_forwarder import EventForwarder
from session.goodbye import Goodbye
from session.guardrail_enforcer import GuardrailEnforcer
from session.idle_prompter import IdlePrompter
from session.limit_enforcer import LimitEnforcer
from session.playout_tracking import PlayoutTracking
from session.reply_guardrails import ReplyGuardrails
from session.reply_output import ReplyOutput
from session.side_replies import SideReplies
from session.speaker_notes import SpeakerNotes
from session.talk_metrics import TalkMetrics
from session.tool_permissions import ToolPermissions
from session.tool_runner import ToolRunner
from session.turn_handler import TurnHandler
from session.turn_metrics import TurnMetrics
from session.vitals_reporter import VitalsReporter
from tools import ToolContext


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParts:
    """Everything that reacts to events of one conversation.

    reply_guardrails: None for an agent without a definition
    tools: those of the conversation; a handoff or an update changes them in place
    chat_room: None unless several agents share the conversation
    """

    tools: ToolContext
    tool_permissions: ToolPermissions
    approvals: Approvals
    tool_runner: ToolRunner
    reply_output: ReplyOutput
    side_replies: SideReplies
    playout_tracking: PlayoutTracking
    event_forwarder: EventForwarder
    guardrail_enforcer: GuardrailEnforcer
    reply_guardrails: ReplyGuardrails | None
    turn_handler: TurnHandler
    turn_metrics: TurnMetrics
    talk_metrics: TalkMetrics
    audio_input: AudioInput
    vitals_reporter: VitalsReporter
    limit_enforcer: LimitEnforcer
    idle_prompter: IdlePrompter
    call_sounds: CallSounds
    goodbye: Goodbye
    api_commands: ApiCommands
    speaker_notes: SpeakerNotes
    chat_room: ChatRoom | None
