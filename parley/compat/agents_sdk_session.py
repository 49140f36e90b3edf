"""Sessions of the Agents SDK over calls in-process."""

from __future__ import annotations

import base64
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Self

from bridge import g711
from conversation.events import client_events as inbound
from conversation.events import server_events as out
from conversation.events.commands import CommandRefusedError, Update
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import ExitReason
from conversation.owner_failure import OwnerFailure
from parley.compat import agents_sdk_events as theirs
from parley.compat.agents_sdk_definitions import (
    DEBOUNCE_CHARACTERS,
    Definitions,
    FunctionTool,
    RealtimeAgent,
)
from parley.compat.agents_sdk_events import (
    RealtimeEventInfo,
    RealtimeModelAudioEvent,
    RealtimeModelEvent,
    RealtimeSessionEvent,
    RunContextWrapper,
)
from parley.compat.agents_sdk_history import History
from parley.compat.agents_sdk_raw import arguments_of, raw_event
from parley.compat.agents_sdk_settings import choice_of, model_fields
from parley.compat.running_call import RunningCall
from parley.in_process.event_backlog import EventBacklog
from parley.in_process.live_call import (
    USER_UID,
    CallItem,
    CallOver,
    VoiceCleared,
    VoiceDelta,
    VoiceDone,
)
from parley.live_options import LiveOptions
from parley.observers import Observers
from realtime.model import RealtimeModel
from toolsets.definitions import TRANSFER_PREFIX
from untrusted.json_reader import read_base64

_log = logging.getLogger("parley.compat")

_G711: Final = {"g711_ulaw": "ulaw", "g711_alaw": "alaw"}


class RealtimeModelHandle:
    """The model of a session: listeners and events in its own words."""

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session
        self._observers = Observers()

    def add_listener(self, listener: Any) -> None:
        """Have `listener.on_event`, or a function, get each event of the model."""
        self._observers.register("*", getattr(listener, "on_event", listener))

    def remove_listener(self, listener: Any) -> None:
        """Give it nothing more."""
        self._observers.unregister("*", getattr(listener, "on_event", listener))

    async def send_event(self, event: Mapping[str, Any]) -> None:
        """Send a provider's own event.

        Raises:
            CallError: the model does not take it, or the call has no model now.
        """
        call = self._session.running.live.agent.call
        assert call is not None, "a session has a definition"
        await call.send_raw(event)


class RealtimeSession:
    """One conversation: an async context manager, and an async iterator of its events."""

    def __init__(
        self,
        agent: RealtimeAgent[Any],
        config: Mapping[str, Any],
        model_config: Mapping[str, Any],
        context: Any,
        create_model: Callable[[], RealtimeModel] | None,
        options: LiveOptions,
    ) -> None:
        settings = {
            **config.get("model_settings", {}),
            **model_config.get("initial_model_settings", {}),
        }
        self.model = RealtimeModelHandle(self)
        self._context = RunContextWrapper(context)
        self._info = RealtimeEventInfo(self._context)
        guardrails = config.get("guardrails_settings", {})
        self._definitions = Definitions(
            self._context,
            config.get("output_guardrails", ()),
            guardrails.get("debounce_text_length", DEBOUNCE_CHARACTERS),
        )
        self._api_key = model_config.get("api_key")
        self._input_format = str(settings.get("input_audio_format", "pcm16"))
        choice = choice_of(settings, model_config)
        definition = self._definitions.of(
            agent,
            provider=choice.provider,
            model=choice.name,
            voice=agent.voice or choice.voice,
            **model_fields(settings),
        )
        definition.api_key = self._api_key if callable(self._api_key) else None
        if agent.prompt is not None:
            given = dict(definition.model_settings or {})
            definition.model_settings = {**given, "prompt": dict(agent.prompt)}
        own: LiveOptions = {**options}
        own["settings"] = {**choice.settings(), **options.get("settings", {})}
        if (tracker := model_config.get("playback_tracker")) is not None:
            own["playback_tracker"] = tracker
        self.running = RunningCall(definition, self._handle, create_model=create_model, **own)
        self._definition = definition
        self._agent = agent
        self._history = History()
        self._hooks = Observers()
        self._backlog: EventBacklog[RealtimeSessionEvent] = EventBacklog(_audio_s)
        self._failure: BaseException | None = None
        # Tool calls that have not begun to run, as far as is known.
        self._waiting: dict[str, tuple[FunctionTool | None, str]] = {}
        self._started: dict[str, tuple[FunctionTool | None, str]] = {}
        self._hooks.register("hook", _run_hook)
        self._reactions: dict[type, Callable[[Any], None]] = {
            out.AgentResponseCreated: self._begin_reply,
            out.AgentResponseDone: self._end_reply,
            out.AgentHandedOver: self._hand_over,
            out.AgentResponseToolUseDone: self._note_call,
            out.AgentToolApprovalRequired: self._require_approval,
            out.AgentResponseToolResult: self._finish_tool,
            out.AgentGuardrailTripped: self._trip,
            out.AgentInputTimeoutTriggered: self._note_timeout,
            out.AgentError: self._fail,
        }

    # -- a life ------------------------------------------------------------------------------------

    async def enter(self) -> Self:
        """Open the session; the same as `async with`."""
        return await self.__aenter__()

    async def __aenter__(self) -> Self:
        self.model._observers.open()  # noqa: SLF001 - the handle is a part of this
        self._hooks.open()
        try:
            await self.running.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session. Idempotent."""
        await self.running.close()
        self._backlog.finish()
        await self.model._observers.close()  # noqa: SLF001
        await self._hooks.close()

    async def __aiter__(self) -> AsyncIterator[RealtimeSessionEvent]:
        while (event := await self._backlog.get()) is not None:
            yield event
        if self._failure is not None:
            raise self._failure

    @property
    def history(self) -> list[theirs.RealtimeItem]:
        """Items of the conversation so far."""
        return list(self._history.items)

    # -- what the application does -----------------------------------------------------------------

    async def send_message(self, message: str | Mapping[str, Any]) -> None:
        """Write a user message: a text, or a message with `input_text` and `input_image` parts.

        Raises:
            CommandRefusedError: the model does not take it.
        """
        parts = (
            [{"type": "input_text", "text": message}]
            if isinstance(message, str)
            else message.get("content", [])
        )
        for part in parts:
            if part["type"] == "input_image":
                await self._show(str(part["image_url"]))
        if text := " ".join(part["text"] for part in parts if part["type"] == "input_text"):
            await self.running.execute(inbound.ClientTextAppend(text=text), uid=USER_UID)

    async def _show(self, url: str) -> None:
        head, _, data = url.partition(",")
        if not head.startswith("data:image/"):
            raise ValueError("image_url: a data URL is needed")
        image = base64.b64encode(read_base64(data)).decode()
        await self.running.execute(inbound.ClientImageAppend(image=image), uid=USER_UID)

    async def send_audio(self, audio: bytes, *, commit: bool = False) -> None:
        """Say audio: PCM16 at 24 kHz, or G.711 where the settings say so. commit: end the turn"""
        if (law := _G711.get(self._input_format)) is not None:
            pcm = g711.decode("ulaw" if law == "ulaw" else "alaw", audio)
            self.running.queue.send_audio(pcm, 8_000)
        else:
            self.running.queue.send_audio(audio, 24_000)
        if commit:
            await self.running.execute(inbound.ClientAudioCommit(), uid=USER_UID)

    async def interrupt(self) -> None:
        """Silence the agent."""
        await self.running.execute(inbound.ClientResponseCancel(), uid=USER_UID)

    async def update_agent(self, agent: RealtimeAgent[Any]) -> None:
        """Give the floor to an agent of this session's handoffs, or take over its instructions.

        Raises:
            CallError, CommandRefusedError: the model cannot change in a call.
        """
        definition = self._definitions.of(agent)
        call = self.running.live.agent.call
        assert call is not None, "a session has a definition"
        names = {each.name for each in self._definition.handoffs if not isinstance(each, str)}
        if definition.name in names:
            await call.handoff(definition.name)
        elif isinstance(definition.instructions, str):
            await self.running.execute(Update(instructions=definition.instructions))
        self._agent = agent

    async def approve_tool_call(self, call_id: str, *, always: bool = False) -> None:
        """Allow a tool call. Unknown ones are ignored."""
        await self._answer(inbound.ClientToolApproval(id=call_id, approve=True, always=always))

    async def reject_tool_call(
        self, call_id: str, *, always: bool = False, rejection_message: str | None = None
    ) -> None:
        """Forbid a tool call. Unknown ones are ignored."""
        reason = rejection_message or ""
        await self._answer(
            inbound.ClientToolApproval(id=call_id, approve=False, always=always, reason=reason)
        )

    async def _answer(self, answer: inbound.ClientToolApproval) -> None:
        if answer.approve:
            self._begin_tool(answer.id)
        try:
            await self.running.execute(answer)
        except CommandRefusedError as error:
            _log.debug("an answer to a tool call was refused: %s", error.code)

    # -- what happens ------------------------------------------------------------------------------

    def _handle(self, item: CallItem) -> None:
        match item:
            case VoiceDelta():
                ids = (item.response_id, item.item_id, item.content_index)
                voice = RealtimeModelAudioEvent(item.pcm, *ids)
                self._put_raw(voice)
                self._put(theirs.RealtimeAudio, audio=voice, item_id=ids[1], content_index=ids[2])
            case VoiceDone():
                place = {"item_id": item.item_id, "content_index": item.content_index}
                self._put_raw(RealtimeModelEvent("audio_done", place))
                self._put(theirs.RealtimeAudioEnd, **place)
            case VoiceCleared():
                self._interrupt(item)
            case OwnerFailure():
                self._put(theirs.RealtimeError, error=f"{item.source} {item.name}: {item.message}")
            case CallOver():
                self._end(item)
            case _:
                self._handle_event(item)

    def _interrupt(self, cleared: VoiceCleared) -> None:
        self._backlog.drop(
            lambda event: (
                isinstance(event, theirs.RealtimeAudio)
                and (event.audio.response_id, event.item_id, event.content_index)
                in cleared.heard_ms
            )
        )
        for _, item_id, content_index in cleared.heard_ms:
            place = {"item_id": item_id, "content_index": content_index}
            self._put_raw(RealtimeModelEvent("audio_interrupted", place))
            self._put(theirs.RealtimeAudioInterrupted, **place)

    def _end(self, over: CallOver) -> None:
        self._failure = over.failure
        if over.reason == ExitReason.PROVIDER_FAILED:
            self._failure = ConnectionError("the model is gone, and no new session could be opened")
        self._put_raw(RealtimeModelEvent("connection_status", {"status": "disconnected"}))
        self._backlog.finish()

    def _handle_event(self, event: ServerEvent) -> None:
        if (raw := raw_event(event)) is not None:
            self._put_raw(raw)
        if (react := self._reactions.get(type(event))) is not None:
            react(event)
        added, is_changed = self._history.handle(event)
        if added is not None:
            self._put(theirs.RealtimeHistoryAdded, item=added)
        if is_changed:
            self._put(theirs.RealtimeHistoryUpdated, history=self.history)

    def _begin_reply(self, _: out.AgentResponseCreated) -> None:
        self._put(theirs.RealtimeAgentStartEvent, agent=self._agent)
        self._hook("on_start", self._agent)

    def _end_reply(self, _: out.AgentResponseDone) -> None:
        self._put(theirs.RealtimeAgentEndEvent, agent=self._agent)
        self._hook("on_end", self._agent, "")

    def _note_timeout(self, _: out.AgentInputTimeoutTriggered) -> None:
        self._put(theirs.RealtimeInputAudioTimeoutTriggered)

    def _fail(self, event: out.AgentError) -> None:
        self._put(theirs.RealtimeError, error=f"{event.code}: {event.message}")

    # -- agents and tools --------------------------------------------------------------------------

    def _hand_over(self, event: out.AgentHandedOver) -> None:
        before, after = self._agent, self._definitions.agent(event.current)
        if after is not None:
            self._agent = after
            self._put(theirs.RealtimeHandoffEvent, from_agent=before, to_agent=after)
            self._hook("on_handoff", after, before)

    def _note_call(self, event: out.AgentResponseToolUseDone) -> None:
        use = event.tool_use
        if use.name.startswith(TRANSFER_PREFIX):
            return
        tool = self._agent.tool(use.name)
        arguments = arguments_of(event)
        self._waiting[use.id] = (tool, arguments)
        if tool is None or tool.needs_approval is False:
            self._begin_tool(use.id)

    def _require_approval(self, event: out.AgentToolApprovalRequired) -> None:
        call_id = event.tool_use.id
        tool, arguments = self._waiting.get(call_id, (None, ""))
        self._put(
            theirs.RealtimeToolApprovalRequired,
            agent=self._agent,
            tool=tool,
            call_id=call_id,
            arguments=arguments,
        )

    def _begin_tool(self, call_id: str) -> None:
        if (found := self._waiting.pop(call_id, None)) is not None:
            self._started[call_id] = found
            tool, arguments = found
            self._put(theirs.RealtimeToolStart, agent=self._agent, tool=tool, arguments=arguments)
            self._hook("on_tool_start", self._agent, tool)

    def _finish_tool(self, event: out.AgentResponseToolResult) -> None:
        result = event.tool_result
        if not result.is_error:
            self._begin_tool(result.id)
        self._waiting.pop(result.id, None)
        if (found := self._started.pop(result.id, None)) is not None:
            tool, arguments = found
            self._put(
                theirs.RealtimeToolEnd,
                agent=self._agent,
                tool=tool,
                arguments=arguments,
                output=result.output,
            )
            self._hook("on_tool_end", self._agent, tool, result.output)

    def _trip(self, event: out.AgentGuardrailTripped) -> None:
        result = self._definitions.tripped.get(event.guardrail)
        self._put(
            theirs.RealtimeGuardrailTripped,
            guardrail_results=[] if result is None else [result],
            message="" if result is None else result.agent_output,
        )

    # -- delivery ----------------------------------------------------------------------------------

    def _put(self, kind: Any, **fields: Any) -> None:
        self._backlog.put(kind(info=self._info, **fields))

    def _put_raw(self, event: RealtimeModelEvent | RealtimeModelAudioEvent) -> None:
        self.model._observers.emit_named("*", event)  # noqa: SLF001
        self._put(theirs.RealtimeRawModelEvent, data=event)

    def _hook(self, name: str, agent: RealtimeAgent[Any], *arguments: Any) -> None:
        if agent.hooks is not None:
            hook = getattr(agent.hooks, name)
            self._hooks.emit_named("hook", (hook, (self._context, agent, *arguments)))


async def _run_hook(call: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
    hook, arguments = call
    if inspect.isawaitable(result := hook(*arguments)):
        await result


def _audio_s(event: RealtimeSessionEvent) -> float:
    if isinstance(event, theirs.RealtimeAudio):
        return len(event.audio.data) / 2 / 24_000
    return 0.0
