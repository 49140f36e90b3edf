"""The realtime interface of Agentflow (10xGraph): live agents, compiled graphs, input queue, events.

```python
graph = AudioAgent("gemini-live", realtime_config=RealtimeConfig(voice="Puck"), tool_node=ToolNode([f]))
app = graph.compile(checkpointer=InMemoryCheckpointer())
async for event in app.arealtime(queue, config={"thread_id": "ann"}):
    ...
```

Beyond the original, tools run beside the conversation, what was not heard is not stored, and every provider
of Parley works.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from parley.agent import Agent
from parley.compat.models import ModelChoice, agent_name, provider_of
from parley.in_process.conversation_store import ConversationStore
from parley.in_process.run import arealtime, realtime
from parley.live_events import (
    AgentChangedEvent,
    AudioDeltaEvent,
    ErrorEvent,
    GoAwayEvent,
    InputTranscriptEvent,
    InterruptedEvent,
    OutputTranscriptEvent,
    RealtimeEvent,
    SessionUpdateEvent,
    ToolCallEvent,
    ToolResultEvent,
    TurnCompleteEvent,
)
from parley.live_input import LiveInput, LiveInputQueue
from parley.live_options import LiveOptions
from realtime.model import RealtimeModel

__all__ = [
    "AgentChangedEvent",
    "AudioAgent",
    "AudioDeltaEvent",
    "CompiledGraph",
    "ErrorEvent",
    "GoAwayEvent",
    "InMemoryCheckpointer",
    "InputTranscriptEvent",
    "InterruptedEvent",
    "LiveAgent",
    "LiveInput",
    "LiveInputQueue",
    "OutputTranscriptEvent",
    "RealtimeConfig",
    "ReconnectConfig",
    "SessionUpdateEvent",
    "StateGraph",
    "StoreCheckpointer",
    "ToolCallEvent",
    "ToolNode",
    "ToolResultEvent",
    "TurnCompleteEvent",
    "VADConfig",
]

_THEIRS: Final = (
    AudioDeltaEvent,
    InputTranscriptEvent,
    OutputTranscriptEvent,
    ToolCallEvent,
    ToolResultEvent,
    TurnCompleteEvent,
    InterruptedEvent,
    SessionUpdateEvent,
    GoAwayEvent,
    AgentChangedEvent,
    ErrorEvent,
)
"""Events that their programs know; others are left out."""

_CODES: Final = {"provider_failed": "reconnect_failed"}
"""Error codes of ours under their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VADConfig:
    """Turn detection. The sensitivities are Gemini's and work with it alone."""

    enabled: bool = True
    start_sensitivity: str | None = None
    end_sensitivity: str | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None

    def turn_detection(self) -> dict[str, Any] | None:
        """Return it as a start takes it; None: the provider's default."""
        if not self.enabled:
            return {"type": "none"}
        times = {
            "prefix_padding_ms": self.prefix_padding_ms,
            "silence_duration_ms": self.silence_duration_ms,
        }
        given = {name: value for name, value in times.items() if value is not None}
        return {"type": "server_vad", **given} if given else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectConfig:
    """Reconnecting. max_attempts: 0: none"""

    base_delay: float = 0.5
    max_delay: float = 10.0
    max_attempts: int = 5

    def settings(self) -> dict[str, str]:
        """Return it as settings."""
        return {
            "RECONNECT_BASE_DELAY_S": str(self.base_delay),
            "RECONNECT_MAX_DELAY_S": str(self.max_delay),
            "RECONNECT_MAX_ATTEMPTS": str(max(1, self.max_attempts)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeConfig:
    """Settings of a session.

    session_resumption, context_window_compression: Parley does both where the provider can
    tools_tags: only tools that have one of these tags are offered
    """

    model: str | None = None
    response_modalities: Sequence[str] = ("AUDIO",)
    voice: str | None = None
    system_instruction: str | None = None
    input_audio_transcription: bool = True
    output_audio_transcription: bool = True
    vad: VADConfig = field(default_factory=VADConfig)
    reconnect: ReconnectConfig = field(default_factory=ReconnectConfig)
    context_window_compression: bool = False
    session_resumption: bool = True
    tools: Sequence[Callable[..., Any]] | None = None
    tools_tags: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: the modalities are not one of AUDIO and TEXT.
        """
        if list(self.response_modalities) not in (["AUDIO"], ["TEXT"]):
            raise ValueError("response_modalities: exactly one of AUDIO and TEXT")


class ToolNode:
    """Functions that the model may call. A function's `_tool_tags` are its tags."""

    def __init__(self, tools: Sequence[Callable[..., Any]]) -> None:
        self.tools = list(tools)


class InMemoryCheckpointer:
    """Keeps the conversation of each `thread_id` as long as it lives."""

    def __init__(self) -> None:
        self.store = ConversationStore()


class StoreCheckpointer:
    """Keeps conversations in a folder or a database; see `ConversationStore`."""

    def __init__(self, place: str) -> None:
        self.store = ConversationStore(place)


Checkpointer = InMemoryCheckpointer | StoreCheckpointer


class LiveAgent:
    """An agent that talks. `compile` makes it a graph of one node."""

    def __init__(
        self,
        model: str | None = None,
        *,
        realtime_config: RealtimeConfig | None = None,
        system_prompt: str | Sequence[Mapping[str, Any]] = "",
        tool_node: ToolNode | Sequence[Callable[..., Any]] | None = None,
        skills: Sequence[str] = (),
        name: str = "live",
        provider: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        create_model: Callable[[], RealtimeModel] | None = None,
    ) -> None:
        """
        provider: of the model; None: by the model's name, else of the settings
        skills: names of texts in `SKILLS_DIR`
        create_model: makes the model's sessions in place of the provider, in tests
        """
        self.realtime_config = realtime_config or RealtimeConfig()
        if model is not None:
            self.realtime_config = replace(self.realtime_config, model=model)
        self.system_prompt = system_prompt
        nodes = tool_node.tools if isinstance(tool_node, ToolNode) else list(tool_node or ())
        self.tools = nodes
        self.skills = skills
        self.name = name
        self.provider = provider
        self.api_key = api_key
        self.base_url = base_url
        self.create_model = create_model

    def compile(self, checkpointer: Checkpointer | None = None, **_: Any) -> CompiledGraph:
        """Return what runs this agent."""
        return CompiledGraph(self, checkpointer)


class AudioAgent(LiveAgent):
    """The ready-made agent that speaks."""


class StateGraph:
    """A graph with exactly one live agent."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._agents: list[LiveAgent] = []

    def add_node(self, name: str, node: Any = None) -> StateGraph:
        """Add a node; tool nodes beside the agent's own are called by the agent."""
        if isinstance(node, LiveAgent):
            node.name = name
            self._agents.append(node)
        elif isinstance(node, ToolNode):
            for agent in self._agents:
                agent.tools += [each for each in node.tools if each not in agent.tools]
        return self

    def add_edge(self, start: str, end: str) -> StateGraph:
        """Edges of a live graph say nothing more."""
        del start, end
        return self

    def set_entry_point(self, name: str) -> StateGraph:
        """The live agent is the entry point."""
        del name
        return self

    def compile(self, checkpointer: Checkpointer | None = None, **_: Any) -> CompiledGraph:
        """Return what runs the graph.

        Raises:
            ValueError: it does not have exactly one live agent.
        """
        if len(self._agents) != 1:
            raise ValueError("a live graph has exactly one LiveAgent")
        return CompiledGraph(self._agents[0], checkpointer)


class CompiledGraph:
    """Runs calls of one agent, several at once if wanted."""

    def __init__(self, agent: LiveAgent, checkpointer: Checkpointer | None = None) -> None:
        self._agent = agent
        self._checkpointer = checkpointer

    async def arealtime(
        self,
        queue: LiveInputQueue,
        config: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[RealtimeEvent, None]:
        """Run a call and yield its events.

        config: `thread_id`, and under `realtime` fields of `RealtimeConfig` for this call
        state: values that `Call.state` begins with
        """
        definition, options = self._prepared(config or {}, state)
        create_model = self._agent.create_model
        events = arealtime(definition, queue, create_model=create_model, **options)
        try:
            async for event in events:
                if (theirs := _translated(event)) is not None:
                    yield theirs
        finally:
            await events.aclose()

    def realtime(
        self,
        queue: LiveInputQueue,
        config: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> Generator[RealtimeEvent, None, None]:
        """Run a call as `arealtime` does, where no event loop runs."""
        definition, options = self._prepared(config or {}, state)
        events = realtime(definition, queue, create_model=self._agent.create_model, **options)
        return (theirs for event in events if (theirs := _translated(event)) is not None)

    async def aclose(self) -> None:
        """Close the checkpointer's database, if it has one."""
        if self._checkpointer is not None:
            await self._checkpointer.store.close()

    def _prepared(
        self, config: Mapping[str, Any], state: Mapping[str, Any] | None
    ) -> tuple[Agent, LiveOptions]:
        """Return the definition and the options of one call."""
        chosen = replace(self._agent.realtime_config, **config.get("realtime", {}))
        choice = self._choice(chosen)
        modality = chosen.response_modalities[0].lower()
        settings: dict[str, Any] = {} if modality == "audio" else {"output_modality": modality}
        if not chosen.input_audio_transcription:
            settings["transcription"] = False
        definition = Agent(
            agent_name(self._agent.name),
            instructions=chosen.system_instruction or _prompt(self._agent.system_prompt) or None,
            provider=choice.provider,
            model=choice.name,
            voice=choice.voice,
            turn_detection=chosen.vad.turn_detection(),
            model_settings=settings or None,
            skills=self._agent.skills,
            tools=_tagged([*self._agent.tools, *(chosen.tools or ())], chosen.tools_tags),
        )
        options: LiveOptions = {
            "thread_id": str(config.get("thread_id") or ""),
            "settings": {
                **chosen.reconnect.settings(),
                **choice.settings(),
                **config.get("settings", {}),
            },
        }
        if state:
            options["state"] = state
        if self._checkpointer is not None:
            options["store"] = self._checkpointer.store
        return definition, options

    def _choice(self, chosen: RealtimeConfig) -> ModelChoice:
        agent = self._agent
        return ModelChoice(
            provider=agent.provider or provider_of(chosen.model),
            model=chosen.model,
            voice=chosen.voice,
            api_key=agent.api_key,
            url=agent.base_url,
        )


def _translated(event: RealtimeEvent) -> RealtimeEvent | None:
    if not isinstance(event, _THEIRS):
        return None
    if isinstance(event, ErrorEvent) and event.code in _CODES:
        return replace(event, code=_CODES[event.code])
    return event


def _tagged(
    tools: Sequence[Callable[..., Any]], tags: Sequence[str] | None
) -> list[Callable[..., Any]]:
    if tags is None:
        return list(tools)
    return [each for each in tools if set(tags) & set(getattr(each, "_tool_tags", ()))]


def _prompt(prompt: str | Sequence[Mapping[str, Any]]) -> str:
    """Return a prompt, which may be a list of system messages, as one text."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(str(message.get("content", "")) for message in prompt)
