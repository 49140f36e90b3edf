"""The realtime interface of AgentScope 1: `RealtimeAgent`, `ChatRoom`, models and events.

```python
agent = RealtimeAgent("Friday", "Be kind.", OpenAIRealtimeModel("gpt-realtime"), toolkit)
await agent.start(outgoing_queue)  # server events come into this queue
await agent.handle_input(ClientEvents.from_json(message))
await agent.stop()
```

Beyond the original, every client event is carried out or answered with `agent_error`, audio may have any
rate, and an interruption cuts the reply to what was heard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import parley
from conversation.events import server_events as out
from conversation.events.client_events import ClientEvent
from conversation.events.parts import AudioFormat
from conversation.events.server_events import ServerEvent
from parley.agent import Agent
from parley.chat_room import Moderator
from parley.compat.functions import with_result
from parley.compat.models import ModelChoice, agent_name
from parley.compat.queued_call import QueuedCall, read_client_event
from parley.live_options import LiveOptions
from parley.tool_definition import Tool, tool
from realtime.model import RealtimeModel

__all__ = [
    "AudioFormat",
    "ChatRoom",
    "ClientEvents",
    "DashScopeRealtimeModel",
    "GeminiRealtimeModel",
    "LocalRealtimeModel",
    "OpenAIRealtimeModel",
    "RealtimeAgent",
    "ServerEvents",
    "Toolkit",
]


class _Events(type):
    """A namespace of events: `Namespace.AgentReadyEvent` for the event of ours `AgentReady`."""

    union: Any

    def __getattr__(cls, name: str) -> Any:
        for event in get_args(get_args(cls.union)[0]):
            if name in (f"{event.__name__}Event", event.__name__):
                return event
        raise AttributeError(f"there is no event {name}")


class ServerEvents(metaclass=_Events):
    """Events of an agent, by class names such as `AgentResponseAudioDeltaEvent`."""

    union = ServerEvent


class ClientEvents(metaclass=_Events):
    """Events of a client, by class names such as `ClientAudioAppendEvent`."""

    union = ClientEvent

    @staticmethod
    def from_json(json_data: Mapping[str, Any]) -> ClientEvent:
        """Make the event that an object with a `type` stands for.

        Raises:
            ValueError: it is none.
        """
        return read_client_event(json_data)


class _Model:
    """A model by name. The session is opened by the agent."""

    provider: str

    def __init__(
        self,
        model_name: str | None = None,
        api_key: str | None = None,
        voice: str | None = None,
        enable_input_audio_transcription: bool = True,
        *,
        websocket_url: str | None = None,
        **settings: Any,
    ) -> None:
        """
        websocket_url: of another server than the provider's own
        settings: further settings of the model, as in `POST /start_agent`
        """
        self.model_name = model_name
        if not enable_input_audio_transcription:
            settings = {"transcription": False, **settings}
        self.choice = ModelChoice(
            provider=self.provider,
            model=model_name,
            voice=voice,
            api_key=api_key,
            url=websocket_url,
            extra=settings,
        )


class OpenAIRealtimeModel(_Model):
    """A model of OpenAI."""

    provider = "openai"


class GeminiRealtimeModel(_Model):
    """A model of Gemini Live."""

    provider = "gemini"


class DashScopeRealtimeModel(_Model):
    """A Qwen model of DashScope; tools work where the model has them."""

    provider = "dashscope"


class LocalRealtimeModel(_Model):
    """The local model."""

    provider = "local"


class Toolkit:
    """Functions that the model may call; their results are texts, JSON values, or responses with
    `content` blocks.
    """

    def __init__(self) -> None:
        self.tools: list[Tool] = []

    def register_tool_function(
        self,
        tool_func: Callable[..., Any],
        *_: Any,
        func_description: str | None = None,
        json_schema: Mapping[str, Any] | None = None,
        **_others: Any,
    ) -> None:
        """Add a function; its schema follows from type hints and docstring."""
        parameters = None
        if json_schema is not None:
            parameters = json_schema.get("function", json_schema).get("parameters")
        self.tools.append(
            tool(
                description=func_description or "",
                name=tool_func.__name__,
                parameters=parameters,
            )(with_result(tool_func, _text_of))
        )


def _text_of(result: Any) -> Any:
    """Return the texts of a response with content blocks; other results as they are."""
    content = getattr(result, "content", None)
    if not isinstance(content, Sequence) or isinstance(content, str):
        return result
    blocks = [each if isinstance(each, Mapping) else vars(each) for each in content]
    return "\n".join(str(each["text"]) for each in blocks if each.get("type") == "text")


class RealtimeAgent(QueuedCall):
    """An agent whose server events go to a queue of the application. Starts once, or in a room."""

    def __init__(
        self,
        name: str,
        sys_prompt: str,
        model: _Model,
        toolkit: Toolkit | None = None,
        *,
        sends_all_events: bool = False,
        create_model: Callable[[], RealtimeModel] | None = None,
        options: LiveOptions | None = None,
    ) -> None:
        """
        sends_all_events: events that AgentScope does not have too (docs/events.md), for example
            `agent_interrupted`
        create_model: makes the model's sessions in place of the provider, in tests
        options: as of `Agent.arealtime`
        """
        choice = model.choice
        self.definition = Agent(
            agent_name(name),
            display_name=name,
            instructions=sys_prompt,
            provider=choice.provider,
            model=choice.name,
            voice=choice.voice,
            model_settings=choice.extra or None,
            tools=[] if toolkit is None else toolkit.tools,
            api_key=choice.api_key,
        )
        own: LiveOptions = {**(options or {})}
        # Settings of its model, beside those of the application.
        self.settings = choice.settings()
        own["settings"] = {**self.settings, **own.get("settings", {})}
        super().__init__(
            name,
            self.definition,
            sends_all_events=sends_all_events,
            create_model=create_model,
            options=own,
        )


class ChatRoom(QueuedCall):
    """Several agents in one conversation: a client event is for all of them, or for the one whose name
    its `agent` has; server events carry the `agent_id` and `agent_name` of the agent that speaks.

    Beyond the original, one agent speaks at a time, each gets what the others said as far as it was
    heard, and a person interrupts them all. The agents are started by the room, not by themselves.
    """

    def __init__(
        self,
        agents: Sequence[RealtimeAgent],
        *,
        moderator: Moderator = "addressed",
        max_agent_turns: int = 4,
        sends_all_events: bool = False,
        options: LiveOptions | None = None,
    ) -> None:
        """
        moderator, max_agent_turns: as of `parley.ChatRoom`
        sends_all_events, options: as of `RealtimeAgent`; those of the agents do not count here

        Raises:
            ValueError: Two agents want different addresses of one provider.
        """
        self.agents = list(agents)
        room = parley.ChatRoom(
            "room",
            agents=[each.definition for each in self.agents],
            moderator=moderator,
            max_agent_turns=max_agent_turns,
        )
        settings: dict[str, str] = {}
        for each in self.agents:
            for name, value in each.settings.items():
                # Keys are the agents' own.
                if settings.setdefault(name, value) != value and not name.endswith("_API_KEY"):
                    raise ValueError(f"{each.name}: another agent has another {name}")
        own: LiveOptions = {**(options or {})}
        own["settings"] = {**settings, **own.get("settings", {})}
        super().__init__(
            "room", room, sends_all_events=sends_all_events, create_model=None, options=own
        )

    def _announce(self, event: out.AgentReady | out.AgentEnded) -> None:
        for each in self.agents:
            each.id = f"{event.agent_id}:{each.definition.name}"
            self._backlog.put(
                event.model_copy(update={"agent_id": each.id, "agent_name": each.name})
            )

    def _who(self, response_id: str) -> dict[str, Any]:
        owner = response_id.partition(":")[0]
        named = [each for each in self.agents if each.definition.name == owner]
        if not named:
            return super()._who(response_id)
        return {"agent_id": named[0].id, "agent_name": named[0].name}
