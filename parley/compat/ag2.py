"""The realtime interface of AG2 (AutoGen): `RealtimeAgent`, its observers and audio adapters.

```python
agent = RealtimeAgent(name="Bot", audio_adapter=TwilioAudioAdapter(websocket), llm_config=config)

@agent.register_realtime_function(name="get_weather", description="Get the weather")
def get_weather(location: Annotated[str, "city"]) -> str: ...

agent.register_observer("on_token", print)
await agent.run()
```

Beyond the original, functions run beside the conversation, and no observer can delay the voice.

With `register_audio_adapter` the agent is a cascade of the application's own recogniser or voice and
the language model of `llm_config`, which is then one of the chat-completions shape.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from parley import live_events as live
from parley.agent import Agent
from parley.compat.models import ModelChoice, agent_name, provider_of
from parley.compat.running_call import RunningCall
from parley.compat.telephone_socket import TELEPHONE_RATE_HZ, Socket, TelephoneSocket
from parley.in_process.audio_adapters import AudioAdapterServer, as_recogniser, as_voice
from parley.in_process.live_call import CallItem, CallOver
from parley.in_process.run import EventOutlet
from parley.live_events import RealtimeEvent
from parley.live_input import LiveInputQueue
from parley.live_options import LiveOptions
from parley.observers import Observers
from parley.tool_definition import Tool, tool
from realtime.model import RealtimeModel
from utils import OwnedTasks

__all__ = [
    "RealtimeAgent",
    "RealtimeObserver",
    "TwilioAudioAdapter",
    "WebSocketAudioAdapter",
]

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("parley.compat")

_NAMES: Final[dict[type, str]] = {
    live.SessionStartedEvent: "session_created",
    live.SessionUpdateEvent: "session_updated",
    live.SpeechStartedEvent: "speech_started",
    live.ToolCallEvent: "function_call",
}
"""Their names of events, beside the `type` of ours."""


class _AudioAdapter:
    """A caller's WebSocket; see `parley.compat.telephone_socket`."""

    def __init__(self, websocket: Socket, *, sample_rate_hz: int, is_telephone: bool) -> None:
        self.socket = TelephoneSocket(
            websocket, sample_rate_hz=sample_rate_hz, is_telephone=is_telephone
        )


class TwilioAudioAdapter(_AudioAdapter):
    """A media stream of Twilio: G.711 u-law at 8 kHz."""

    def __init__(self, websocket: Socket, **_: Any) -> None:
        super().__init__(websocket, sample_rate_hz=TELEPHONE_RATE_HZ, is_telephone=True)


class WebSocketAudioAdapter(_AudioAdapter):
    """A page that sends the same frames with PCM16 at 24 kHz."""

    def __init__(self, websocket: Socket, *, sample_rate: int = 24_000, **_: Any) -> None:
        super().__init__(websocket, sample_rate_hz=sample_rate, is_telephone=False)


class RealtimeObserver:
    """Base of observers that are objects: `on_event` gets every event of `RealtimeEvent`."""

    async def on_event(self, event: RealtimeEvent) -> None:
        """An event happened."""

    async def on_close(self) -> None:
        """The call is over."""


class RealtimeAgent:
    """An agent that `run` runs until the caller hangs up, or `stop` is called."""

    def __init__(
        self,
        *,
        name: str,
        audio_adapter: _AudioAdapter | None = None,
        system_message: str = "You are a helpful AI Assistant.",
        llm_config: Mapping[str, Any] | None = None,
        logger: logging.Logger | None = None,
        observers: Sequence[RealtimeObserver] = (),
        create_model: Callable[[], RealtimeModel] | None = None,
        options: LiveOptions | None = None,
    ) -> None:
        """
        llm_config: `{"config_list": [{"model": ..., "api_key": ..., "base_url": ...}]}`, or one of
            these objects; `temperature` and `voice` may be in either
        create_model: makes the model's sessions in place of the provider, in tests
        options: as of `Agent.arealtime`
        """
        self.name = name
        self.queue = LiveInputQueue()
        self._system_message = system_message
        self._llm_config = llm_config or {}
        self._adapter = audio_adapter
        self._engines: dict[str, Any] = {}
        self._log = logger or _log
        self._create_model = create_model
        self._options: LiveOptions = {**(options or {})}
        self._tools: list[Tool] = []
        self._objects = list(observers)
        self._observers = Observers()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._call: RunningCall | None = None
        for each in observers:
            self._observers.register("*", each.on_event)

    # -- what is declared --------------------------------------------------------------------------

    def register_realtime_function(
        self, *, name: str | None = None, description: str | None = None
    ) -> Callable[[F], F]:
        """Declare the decorated function as one that the model may call."""

        def declare(function: F) -> F:
            declared = tool(name=name or function.__name__, description=description or "")
            self._tools.append(declared(function))
            return function

        return declare

    def register_observer(
        self, observer: RealtimeObserver | str, function: Callable[[Any], Any] | None = None
    ) -> None:
        """Have an observer watch: an object, or a function by the name of an event.

        `on_token` gets each further piece of the agent's words, as text; any other name is that of
        an event of `parley.live_events`, or of AG2's, and gets the event.

        Raises:
            ValueError: a name without a function.
        """
        if isinstance(observer, RealtimeObserver):
            self._objects.append(observer)
            self._observers.register("*", observer.on_event)
        elif function is None:
            raise ValueError(f"register_observer({observer!r}, function): the function is missing")
        else:
            self._observers.register(observer, function)

    def unregister_observer(
        self, observer: RealtimeObserver | str, function: Callable[[Any], Any] | None = None
    ) -> None:
        """Have an observer watch no more. Unknown ones are ignored."""
        if isinstance(observer, RealtimeObserver):
            self._objects = [each for each in self._objects if each is not observer]
            self._observers.unregister("*", observer.on_event)
        elif function is not None:
            self._observers.unregister(observer, function)

    @property
    def dropped_observations(self) -> int:
        """Events that present observers were too slow for."""
        return self._observers.dropped

    def register_audio_adapter(self, kind: Literal["stt", "tts"], adapter: Any) -> None:
        """Hear or speak with an object of the application, from the next `run` on.

        It has the shape of `speech.engines.protocols.Recogniser` or `Voice`, blocking or not; or it is
        a function: `(pcm16k) -> text`, or `(text) -> PCM16 at 24 kHz`, whole or in pieces.

        Raises:
            ValueError: another kind.
            TypeError: the adapter has none of these shapes.
        """
        if kind not in ("stt", "tts"):
            raise ValueError("register_audio_adapter: stt or tts")
        self._engines[kind] = as_recogniser(adapter) if kind == "stt" else as_voice(adapter)

    # -- the call ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run the call until the caller hangs up, `stop` is called, or the model is gone.

        Raises:
            ConfigError, AgentStartError: it cannot begin.
        """
        tasks = OwnedTasks(_log)
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        outlet = EventOutlet()
        self._observers.open()
        stack = contextlib.AsyncExitStack()
        try:
            self._call = self._create_call(outlet, await self._cascade(stack))
            await self._call.start()
            tasks.start(self._observe(outlet), name="events for observers")
            if self._adapter is not None:
                tasks.start(self._adapter.socket.send(), name="voice to a caller")
                tasks.start(self._listen(self._adapter), name="voice of a caller")
            await self._ended.wait()
        finally:
            if self._call is not None:
                await self._call.close()
            await stack.aclose()
            await self._observers.close()
            await tasks.close()
            for each in self._objects:
                await self._close(each)

    async def _cascade(self, stack: contextlib.AsyncExitStack) -> dict[str, Any] | None:
        """Return the cascade of the audio adapters, which are served; None: there are none."""
        if not self._engines:
            return None
        stt, tts = self._engines.get("stt"), self._engines.get("tts")
        server = AudioAdapterServer(stt=stt, tts=tts)
        cascade = await stack.enter_async_context(server.serving())
        if (language_model := _language_model_of(self._llm_config)) is not None:
            cascade["language_model"] = language_model
        return cascade

    def _create_call(self, outlet: EventOutlet, cascade: dict[str, Any] | None) -> RunningCall:
        choice, settings = _choice_of(self._llm_config)
        if cascade is not None:
            choice, settings = ModelChoice(provider="local", voice=choice.voice), {}
        definition = Agent(
            agent_name(self.name),
            display_name=self.name,
            instructions=self._system_message,
            provider=choice.provider,
            model=choice.name,
            voice=choice.voice,
            model_settings=settings or None,
            tools=self._tools,
            cascade=cascade,
        )
        options: LiveOptions = {**self._options}
        options["settings"] = {**choice.settings(), **options.get("settings", {})}
        if self._adapter is not None:
            options["playback_tracker"] = self._adapter.socket.tracker

        def handle(item: CallItem) -> None:
            if self._adapter is not None:
                self._adapter.socket.handle_item(item)
            outlet.handle(item)
            if isinstance(item, CallOver) and self._ended is not None:
                self._ended.set()

        return RunningCall(
            definition, handle, queue=self.queue, create_model=self._create_model, **options
        )

    async def _listen(self, adapter: _AudioAdapter) -> None:
        await adapter.socket.receive(self.queue)
        self.stop()

    async def _observe(self, outlet: EventOutlet) -> None:
        while (event := await outlet.backlog.get()) is not None:
            self._observers.emit(event.type, event)
            if (name := _NAMES.get(type(event))) is not None:
                self._observers.emit_named(name, event)
            if isinstance(event, live.OutputTranscriptEvent) and not event.finished:
                self._observers.emit_named("token", event.text)

    async def _close(self, observer: RealtimeObserver) -> None:
        try:
            await observer.on_close()
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            self._log.warning("observer failed at its end: %s", type(error).__name__)

    def stop(self) -> None:
        """Have `run` end. May be called from any thread and again."""
        if self._loop is not None and self._ended is not None:
            # `run` may have ended with its loop.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ended.set)

    async def send_text(self, text: str, *, role: str = "user") -> None:
        """Write a message; that of a user is answered.

        Raises:
            ValueError: another role.
        """
        if role != "user":
            raise ValueError("role: user is what an application may write")
        self.queue.send_text(text)

    async def interrupt(self) -> None:
        """Silence the agent."""
        self.queue.interrupt()


def _choice_of(config: Mapping[str, Any]) -> tuple[ModelChoice, dict[str, Any]]:
    """Return the model of an `llm_config`, and further settings of it."""
    listed = config.get("config_list") or [config]
    first: Mapping[str, Any] = listed[0]
    model = first.get("model")
    settings = {
        name: config.get(name, first.get(name))
        for name in ("temperature",)
        if config.get(name, first.get(name)) is not None
    }
    choice = ModelChoice(
        provider=first.get("provider") or provider_of(model),
        model=model,
        voice=config.get("voice", first.get("voice")),
        api_key=first.get("api_key"),
        url=first.get("base_url"),
    )
    return choice, settings


def _language_model_of(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the language model of an `llm_config`, as a cascade has it; None: the settings' one."""
    listed = config.get("config_list") or [config]
    first: Mapping[str, Any] = listed[0]
    if provider_of(first.get("model")) == "local" or not first.get("base_url"):
        return None
    values = {name: first.get(name) for name in ("model", "base_url", "api_key")}
    values["temperature"] = config.get("temperature", first.get("temperature"))
    return {name: value for name, value in values.items() if value is not None}
