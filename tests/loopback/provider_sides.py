"""The model's side of a conversation in one vocabulary, whichever provider plays it.

The fakes answer out of what their session knows: what it was told when it began, and what was said
in it since. So a name that is remembered after a drop has really reached the next session.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import WSCloseCode, web
from pydantic import SecretStr

from config.providers import ProviderConfig
from realtime.capabilities import capabilities_of
from speech.engine_pool import load_engines
from speech.server import _error_frame
from speech.settings import SpeechSettings
from tests.deadlines import DEADLINE_S
from tests.fakes.dashscope_realtime import FakeDashScopeServer, FakeQwenSession
from tests.fakes.gemini_live import FakeGeminiServer, GeminiSession
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.fakes.provider_server import abort
from tests.loopback.stage import Person
from tests.realtime.resilience.stage import told
from tests.speech.local_model import model_server
from tests.speech.talk import spoken

LOUD = 1500
_HEARD_MS = 250.0
_STORY_PACE = 0.8
_TIMES_SAID = 6
_UNDERSTOOD_S = 10.0

Answer = Callable[[str], str]
"""From all that a session knows to what it says."""


class ProviderSide(ABC):
    """One provider that plays its part. What the user says, and what becomes of it there."""

    def __init__(self, config: ProviderConfig) -> None:
        self.config = config
        self.capabilities = capabilities_of(config.name, config.model)

    @abstractmethod
    async def greet(self, words: str) -> None:
        """Give the greeting that the agent asks for."""

    @abstractmethod
    async def ask(self, person: Person, words: str, answer: Answer) -> None:
        """The user says `words`, and is answered."""

    @abstractmethod
    async def call(self, person: Person, words: str, tool: str, arguments: dict[str, str]) -> None:
        """The user says `words`, which take a tool to answer."""

    @abstractmethod
    async def say_result(self, words: str) -> None:
        """The tool's output came; it is said."""

    @abstractmethod
    async def tell_story(self, person: Person, words: str) -> None:
        """The user says `words`, and gets an answer long enough to be interrupted."""

    @abstractmethod
    async def seen(self) -> bytes:
        """The picture that was shown, once it is there."""

    @abstractmethod
    async def drop(self) -> None:
        """The socket breaks without a goodbye; returns when there is another."""

    @abstractmethod
    async def expire(self) -> None:
        """The session's time is over, as this provider tells it; returns when there is another."""

    @abstractmethod
    async def close(self) -> None:
        """Whatever is still being said is not needed any more."""


def _loud_ms(pcm: bytearray, rate_hz: int) -> float:
    samples = np.abs(np.frombuffer(bytes(pcm), np.int16).astype(np.int32))
    return float((samples > LOUD).sum()) * 1000 / rate_hz


class ScriptedSide(ProviderSide):
    """What the fakes have in common: the voice is a tone, the words come from the script."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self._story: asyncio.Task[Any] | None = None

    async def ask(self, person: Person, words: str, answer: Answer) -> None:
        await self._listen(person, words)
        await self._end_story()
        await self._say(tone(300), answer(self._knowledge()))

    async def call(self, person: Person, words: str, tool: str, arguments: dict[str, str]) -> None:
        await self._listen(person, words)
        await self._call(tool, arguments)

    async def tell_story(self, person: Person, words: str) -> None:
        await self._listen(person, words)
        story = " ".join(f"word{number}" for number in range(60))
        saying = self._say(tone(8000), story, pace=_STORY_PACE)
        self._story = asyncio.get_running_loop().create_task(saying)

    async def close(self) -> None:
        await self._end_story()

    async def _end_story(self) -> None:
        story, self._story = self._story, None
        if story is not None:
            async with asyncio.timeout(DEADLINE_S):
                await story

    async def _listen(self, person: Person, words: str) -> None:
        """The user's voice arrives, and then what it said is understood."""
        before_ms = self._voice_ms()
        person.channel.push_audio_frame(tone(400, hz=300), key=object())
        async with asyncio.timeout(DEADLINE_S):
            while self._voice_ms() < before_ms + _HEARD_MS:
                await self._next_piece()
        await self._hear(words)

    @abstractmethod
    def _voice_ms(self) -> float: ...

    @abstractmethod
    async def _next_piece(self) -> None: ...

    @abstractmethod
    async def _hear(self, words: str) -> None: ...

    @abstractmethod
    def _knowledge(self) -> str: ...

    @abstractmethod
    async def _say(self, pcm: bytes, words: str, *, pace: float = 0.0) -> None: ...

    @abstractmethod
    async def _call(self, tool: str, arguments: dict[str, str]) -> None: ...


class OpenAISide(ScriptedSide):
    """OpenAI, and Azure, which differs in its address only."""

    def __init__(self, config: ProviderConfig, server: FakeRealtimeServer) -> None:
        super().__init__(config)
        self._server = server
        self._requests = 0
        self._said: list[str] = []

    async def attach(self) -> None:
        """The next session has the floor."""
        self._session = await self._server.next_session()
        self._requests, self._said = 0, []

    @property
    def _now(self) -> FakeSession:
        return self._session

    async def _wait_request(self) -> None:
        """Until the agent asks for the reply, where it does."""
        self._requests += 1
        await self._now.wait_for("response.create", self._requests)

    async def greet(self, words: str) -> None:
        await self._wait_request()
        assert words in self._now.all_of("response.create")[-1]["response"]["instructions"]
        await self._say(tone(300), words)

    async def say_result(self, words: str) -> None:
        await self._wait_request()
        outputs = [line for line in told(self._now) if line.startswith("output ")]
        assert words in outputs[-1]
        await self._say(tone(300), words)

    async def seen(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            count = len(self._now.all_of("conversation.item.create"))
            while (picture := self._picture()) is None:
                count += 1
                await self._now.wait_for("conversation.item.create", count)
        return picture

    def _picture(self) -> bytes | None:
        for event in self._now.all_of("conversation.item.create"):
            for part in event["item"].get("content", []):
                if part["type"] == "input_image":
                    return base64.b64decode(part["image_url"].partition("base64,")[2])
        return None

    async def drop(self) -> None:
        await self._now.drop()
        await self.attach()

    async def expire(self) -> None:
        session = self._now
        text = "Your session hit the maximum duration of 60 minutes."
        await session.fail("session_expired", text)
        await session.close(1001, "session hit the maximum duration")
        await self.attach()

    def _voice_ms(self) -> float:
        return _loud_ms(self._now.audio, self.capabilities.input_sample_rate_hz)

    async def _next_piece(self) -> None:
        pieces = len(self._now.all_of("input_audio_buffer.append"))
        await self._now.wait_for("input_audio_buffer.append", pieces + 1)

    async def _hear(self, words: str) -> None:
        item_id = await self._now.speech_started()
        await self._now.speech_stopped(item_id, words)
        self._said.append(words)
        await self._wait_reply_wanted()

    async def _wait_reply_wanted(self) -> None:
        await self._wait_request()

    def _knowledge(self) -> str:
        return "\n".join([str(self._now.settings["instructions"]), *told(self._now), *self._said])

    async def _say(self, pcm: bytes, words: str, *, pace: float = 0.0) -> None:
        await self._now.say(pcm, words, pace=pace)

    async def _call(self, tool: str, arguments: dict[str, str]) -> None:
        await self._now.call_tool(tool, arguments)


class QwenSide(OpenAISide):
    """DashScope: it answers by itself, hears at 16 kHz, and sees pictures beside the items."""

    @property
    def _now(self) -> FakeQwenSession:
        assert isinstance(self._session, FakeQwenSession)
        return self._session

    async def _wait_reply_wanted(self) -> None:
        """It needs no request."""

    async def seen(self) -> bytes:
        event = await self._now.wait_for("input_image_buffer.append")
        return base64.b64decode(event["image"])


class GeminiSide(ScriptedSide):
    """Gemini Live: it answers by itself, and announces its end before it comes."""

    def __init__(self, config: ProviderConfig, server: FakeGeminiServer) -> None:
        super().__init__(config)
        self._server = server

    async def attach(self) -> None:
        """The next session has the floor."""
        self._now: GeminiSession = await self._server.next_session()

    async def greet(self, words: str) -> None:
        # What was said in an earlier call comes before it.
        count = 1
        while words not in json.dumps(await self._now.wait_for("clientContent", count=count)):
            count += 1
        assert words in self._now.history[-1][1]
        await self._say(tone(300), words)

    async def say_result(self, words: str) -> None:
        response = await self._now.wait_for("toolResponse")
        assert words in json.dumps(response)
        await self._say(tone(300), words)

    async def seen(self) -> bytes:
        await self._now.wait_for("realtimeInput", "video")
        return self._now.pictures[0]

    async def drop(self) -> None:
        await self._now.drop()
        await self.attach()

    async def expire(self) -> None:
        await self._now.go_away("1s")
        await self.attach()

    def _voice_ms(self) -> float:
        return _loud_ms(self._now.audio, self.capabilities.input_sample_rate_hz)

    async def _next_piece(self) -> None:
        await self._now.wait_heard(len(self._now.audio) + 1)

    async def _hear(self, words: str) -> None:
        await self._now.hear(words)

    def _knowledge(self) -> str:
        setup = json.dumps(self._now.setup.get("systemInstruction", {}))
        return "\n".join([setup, *(words for _, words in self._now.history)])

    async def _say(self, pcm: bytes, words: str, *, pace: float = 0.0) -> None:
        await self._now.say(pcm, words, pace=pace)

    async def _call(self, tool: str, arguments: dict[str, str]) -> None:
        await self._now.call_tools(("call_1", tool, arguments))


_FIGURES = {"two": "2", "three": "3", "five": "5", "six": "6", "plus": "+"}


def _bare(words: str) -> str:
    """Words without case, marks and gaps, figures as figures: recognisers write both."""
    parts = re.findall(r"[a-z]+|[0-9+]", words.lower())
    return "".join(_FIGURES.get(part, part) for part in parts)


def _is_understood(words: str, person: Person, known: int) -> bool:
    """Whether the transcripts after the first `known` end with `words`, in one turn or several."""
    heard = person.all_of("agent_input_transcription_done")[known:]
    return _bare("".join(one["transcript"] for one in heard)).endswith(_bare(words))


class LocalSide(ProviderSide):
    """The real local model: it hears real words in a real voice, and thinks for itself."""

    def __init__(self, config: ProviderConfig, opened: list[web.WebSocketResponse]) -> None:
        """opened: every socket that the server has opened."""
        super().__init__(config)
        self._opened = opened

    async def attach(self) -> None:
        """Its sessions need no script."""

    async def greet(self, words: str) -> None:
        """It says what it is asked to say."""

    async def ask(self, person: Person, words: str, answer: Answer) -> None:
        """Who was not understood says it again: a machine that is held up tears words.

        Each word counts: of "five last two" nobody knows the sum.
        """
        pcm = await asyncio.to_thread(spoken, words)
        known = len(person.all_of("agent_input_transcription_done"))
        for _ in range(_TIMES_SAID):
            person.channel.push_audio_frame(pcm, key=object())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_UNDERSTOOD_S):
                    await person.until(lambda: _is_understood(words, person, known))
                return
        raise AssertionError(f"never understood: {words}")

    async def call(self, person: Person, words: str, tool: str, arguments: dict[str, str]) -> None:
        await self.ask(person, words, str)

    async def say_result(self, words: str) -> None:
        """It says what the tool answered."""

    async def tell_story(self, person: Person, words: str) -> None:
        await self.ask(person, words, str)

    async def seen(self) -> bytes:
        raise AssertionError("it sees nothing")

    async def drop(self) -> None:
        for socket in self._sockets():
            abort(socket)

    async def expire(self) -> None:
        for socket in self._sockets():
            await socket.send_str(_error_frame("session_expired", "Your session is too old."))
            with contextlib.suppress(ConnectionError):
                await socket.close(code=WSCloseCode.GOING_AWAY, message=b"session_expired")

    async def close(self) -> None:
        """The server ends with its stage."""

    def _sockets(self) -> list[web.WebSocketResponse]:
        sockets = [socket for socket in self._opened if not socket.closed]
        assert len(sockets) == 1, "one agent, one session"
        return sockets


AnySide = OpenAISide | GeminiSide | LocalSide
OpenSide = Callable[[], AbstractAsyncContextManager[AnySide]]


def _config(name: str, model: str, uri: str) -> ProviderConfig:
    return ProviderConfig(name=name, model=model, base_uri=uri, api_key=SecretStr("k"))


@asynccontextmanager
async def openai() -> AsyncIterator[AnySide]:
    """OpenAI's GA protocol."""
    async with FakeRealtimeServer() as server:
        yield OpenAISide(_config("openai", "gpt-realtime-2.1", server.uri), server)


@asynccontextmanager
async def azure() -> AsyncIterator[AnySide]:
    """The same at Azure's GA address."""
    async with FakeRealtimeServer() as server:
        yield OpenAISide(_config("azure", "my-deployment", server.uri), server)


@asynccontextmanager
async def gemini() -> AsyncIterator[AnySide]:
    """Gemini Live."""
    async with FakeGeminiServer() as server:
        yield GeminiSide(_config("gemini", "gemini-3.8-live", server.uri), server)


@asynccontextmanager
async def qwen() -> AsyncIterator[AnySide]:
    """Qwen-Omni at DashScope."""
    async with FakeDashScopeServer() as server:
        yield QwenSide(_config("dashscope", "qwen3.5-omni-flash-realtime", server.uri), server)


@asynccontextmanager
async def local() -> AsyncIterator[AnySide]:
    """The local model's server, with its engines loaded."""
    engines = await asyncio.to_thread(load_engines, SpeechSettings())
    opened: list[web.WebSocketResponse] = []
    async with model_server(engines, sockets=opened) as (_, port):
        uri = f"ws://127.0.0.1:{port}"
        yield LocalSide(ProviderConfig(name="local", model="local", base_uri=uri), opened)


SCRIPTED_SIDES = [
    pytest.param(openai, id="openai"),
    pytest.param(azure, id="azure"),
    pytest.param(gemini, id="gemini"),
    pytest.param(qwen, id="qwen"),
]
"""Those that answer by a script."""

LOCAL_MARKS = [pytest.mark.speech, pytest.mark.timeout(180)]
SIDES = [*SCRIPTED_SIDES, pytest.param(local, id="local", marks=LOCAL_MARKS)]
"""All of them."""
