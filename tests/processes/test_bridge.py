"""Clients of the bridge: a real server, real agent processes, real sockets, a provider of the test's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bridge.client import BridgeClient, BridgeClosedError
from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession
from tests.processes.conftest import ServerProcess, server_aside
from tests.rtc.sound import tone

RATE_HZ = 24_000
PIECE = tone(440, 0.02, RATE_HZ)

pytestmark = pytest.mark.asyncio


class Scene:
    """A server and its provider."""

    def __init__(self, server: ServerProcess, provider: FakeRealtimeServer) -> None:
        self.server = server
        self.provider = provider

    def url(self, channel: str = "demo") -> str:
        return self.server.url.replace("http://", "ws://") + f"/ws/{channel}"

    def client(self, config: dict[str, Any] | None = None, **options: Any) -> BridgeClient:
        return BridgeClient(self.url(), config, **options)

    async def session(self) -> FakeSession:
        return await self.provider.next_session()

    async def agent(self) -> dict[str, Any]:
        """The channel's agent as the API shows it."""
        return (await self.server.get("/agents/demo"))[1]

    async def until(
        self, condition: Callable[[dict[str, Any]], object], deadline_s: float = DEADLINE_S
    ) -> None:
        """Until the API shows the agent so."""
        async with asyncio.timeout(deadline_s):
            while not condition(await self.agent()):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)

    async def descriptors(self) -> int:
        """Open descriptors of the server."""
        return len(os.listdir(f"/proc/{self.server.process.pid}/fd"))


@asynccontextmanager
async def scene(tmp_path: Path, **changes: Any) -> AsyncIterator[Scene]:
    async with FakeRealtimeServer() as provider:
        settings = {
            "model_provider": "openai",
            "openai_api_key": "sk-test",
            "realtime_api_base_uri": provider.uri,
            "local_model_uri": "ws://127.0.0.1:9",
        } | changes
        async with server_aside(tmp_path, settings, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            yield Scene(server, provider)


async def speak(client: BridgeClient, session: FakeSession, duration_ms: int) -> None:
    """Speak in real time until the model has heard that much."""
    for _ in range(duration_ms // 20 + 5):
        await client.send_audio(PIECE)
        await asyncio.sleep(0.02)
    await session.wait_loud(duration_ms * 0.9)


async def hear(client: BridgeClient, duration_ms: int) -> bytes:
    """Take this much of the agent's voice."""
    heard = bytearray()
    async with asyncio.timeout(DEADLINE_S):
        async for piece in client.audio():
            heard += piece
            if len(heard) >= duration_ms * RATE_HZ // 1000 * 2:
                return bytes(heard)
    raise AssertionError(f"the connection ended: {client.closed}")


async def test_a_call_over_one_socket(tmp_path: Path) -> None:
    """Started by its first message, audio both ways, cut by a word, over when its client leaves."""
    config = {"voice": "marin", "user_uid": 7, "rejoin_grace_s": 0.2}
    async with scene(tmp_path) as stage:
        before = await stage.descriptors()
        async with stage.client(config) as client:
            session = await stage.session()
            assert client.session["uid"] == 7
            await client.wait_event("agent_ready")
            agent = await stage.agent()
            assert agent["agent_id"] == client.session["agent_id"]
            await speak(client, session, 500)
            await session.say(tone(440, 20.0, RATE_HZ), "one two three four five", delta_ms=1000)
            started = await client.wait_event("agent_audio_started")
            await hear(client, 400)
            item_id = await session.speech_started()
            # Cut by words: by its length alone, a sound that ended before would depend on the clock.
            await session.speech_stopped(item_id, "stop it")
            cut = await client.wait_event("agent_interrupted")
            assert cut["item_id"] == started["item_id"]
            assert 300 <= cut["audio_end_ms"] < 8_000
            truncated = await session.wait_for("conversation.item.truncate")
            assert truncated["audio_end_ms"] == cut["audio_end_ms"]
            said = await client.wait_event("agent_input_transcription_done")
            assert said["transcript"] == "stop it"
            await client.send("client_text_append", text="hello")
            await session.wait_for("response.create")
            # Apart from the agent's, the server holds no descriptor for it.
            assert await stage.descriptors() <= before + 8
        await stage.until(lambda agent: agent["state"] == "exited")
        assert "Traceback" not in stage.server.log.read_text()


async def test_clients_and_people_with_webrtc_are_in_one_call(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        start = {"channel_name": "demo", "uid": 1000, "rejoin_grace_s": 0.5}
        assert (await stage.server.post("/start_agent", start))[0] == 200
        session = await stage.session()
        options = RtcOptions("demo", uid=8, role="user", sample_rate_hz=RATE_HZ)
        person = RtcEngine(stage.server.url).create_channel(options)
        connected = asyncio.Event()
        person.on("user_connected", lambda _uid: connected.set())
        await person.connect()
        try:
            await connected.wait()
            async with stage.client({"user_uid": 7}) as client:
                await client.wait_event("agent_ready")
                await speak(client, session, 300)
                await session.say(tone(440, 1.0, RATE_HZ), "hello both")
                await hear(client, 900)
                assert (await stage.agent())["vitals"]["users"] == 2
                # The uid of a person in the room is taken.
                with pytest.raises(BridgeClosedError) as caught:
                    await stage.client({"user_uid": 8}).connect()
                assert (caught.value.code, caught.value.error) == (4409, "uid_taken")
            assert (await stage.agent())["state"] in ("ready", "running")
        finally:
            await person.disconnect()


async def test_a_client_resumes_after_its_agent_was_killed(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.client({"user_uid": 7}) as client:
        session = await stage.session()
        await client.wait_event("agent_ready")
        await client.send("client_text_append", text="remember the milk")
        await session.wait_for("response.create")
        await session.say(tone(440, 0.2, RATE_HZ), "I will")
        await client.wait_event("agent_playout_done")
        first = dict(client.session)
        pid = (await stage.agent())["pid"]
        # Until the server has what was said.
        await stage.until(lambda agent: agent["remembered"] >= 2)
        os.kill(pid, signal.SIGKILL)
        async for _ in client.events():
            pass
        assert client.closed is not None
        assert client.closed.code == 1006
        seq = client.last_seq
        await client.resume()
        again = await stage.session()
        assert client.session["is_resumed"]
        assert (client.session["uid"], client.session["session_id"]) == (7, first["session_id"])
        assert client.session["secret"] == first["secret"]
        ready = await client.wait_event("agent_ready")
        assert ready["seq"] > seq
        assert (await stage.agent())["pid"] != pid
        texts = json.dumps([event.frame for event in again.received])
        assert texts.count("remember the milk") == 1
        await speak(client, again, 200)
        await again.say(tone(440, 0.5, RATE_HZ), "welcome back")
        await hear(client, 400)


async def test_a_lost_connection_is_resumed_and_nothing_is_said_twice(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.client({"user_uid": 7}) as client:
        session = await stage.session()
        await client.wait_event("agent_ready")
        assert client._socket is not None
        client._socket.transport.abort()
        async for _ in client.events():
            pass
        # While it is away: events wait, audio does not.
        await session.say(tone(440, 0.3, RATE_HZ), "are you there")
        await session.wait_sent("response.done")
        seq = client.last_seq
        await client.resume()
        assert client.session["is_resumed"]
        assert client.session["lost_events"] == 0
        created = await client.wait_event("agent_response_created")
        assert created["seq"] > seq
        numbers = [created["seq"]]
        async with asyncio.timeout(DEADLINE_S):
            async for event in client.events():
                numbers += [event["seq"]] if "seq" in event else []
                if event["type"] == "agent_playout_done":
                    break
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        wrong = stage.client()
        wrong.session = client.session | {"secret": "7-nonsense"}
        with pytest.raises(BridgeClosedError) as caught:
            await wrong.resume()
        assert (caught.value.code, caught.value.error) == (4404, "session_gone")


async def test_a_client_that_does_not_read_harms_nobody_and_is_let_go(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.client({"user_uid": 7}) as client:
        session = await stage.session()
        await client.wait_event("agent_ready")
        async with connect(stage.url(), compression=None, proxy=None) as slow:
            await slow.send(
                json.dumps(
                    {
                        "type": "client_session_create",
                        "config": {
                            "user_uid": 8,
                            "audio_out": {"encoding": "pcm16", "rate": 48_000},
                        },
                    }
                )
            )
            await slow.recv()
            slow.transport.pause_reading()
            await session.say(tone(440, 30.0, RATE_HZ), "a long story", delta_ms=1000)
            await hear(client, 1_000)
            await stage.until(lambda agent: agent["vitals"]["users"] == 1, deadline_s=60)
            # The other one hears on, without a gap.
            await hear(client, 1_000)
            slow.transport.abort()


class Keyed:
    """A server with keys, and tokens of it."""

    KEY = "k" * 16
    SETTINGS: ClassVar[dict[str, Any]] = {"api_keys": [KEY], "room_token_secret": "s" * 32}

    def __init__(self, stage: Scene, http: aiohttp.ClientSession) -> None:
        self._stage = stage
        self.http = http
        self.headers = {"Authorization": f"Bearer {self.KEY}"}

    async def token(self, **claims: Any) -> str:
        body = {"channel_name": "demo", "uid": 7, **claims}
        async with self.http.post("/token", json=body, headers=self.headers) as response:
            return str((await response.json())["token"])

    async def status(self, path: str, **options: Any) -> int:
        """The status of a handshake."""
        try:
            async with self.http.ws_connect(path, **options):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status

    async def close_of(self, first: str | bytes | dict[str, Any], token: str) -> tuple[int, str]:
        """The close code after a first message, and the code of the error before it."""
        message = json.dumps(first) if isinstance(first, dict) else first
        async with connect(f"{self._stage.url()}?token={token}", proxy=None) as socket:
            code = ""
            await socket.send(message)
            with contextlib.suppress(ConnectionClosed):
                while True:
                    code = json.loads(await socket.recv()).get("code", code)
            return socket.close_code or 0, code


@asynccontextmanager
async def keyed(tmp_path: Path) -> AsyncIterator[tuple[Scene, Keyed]]:
    async with (
        scene(tmp_path, **Keyed.SETTINGS) as stage,
        aiohttp.ClientSession(stage.server.url) as http,
    ):
        yield stage, Keyed(stage, http)


CREATE: dict[str, Any] = {"type": "client_session_create", "config": {}}


async def test_connections_that_may_not_be_are_refused_with_the_reason(tmp_path: Path) -> None:
    async with keyed(tmp_path) as (stage, door):
        good, other = await door.token(), await door.token(channel_name="other")
        assert await door.status("/ws/demo") == 401
        assert await door.status("/ws/demo?token=nonsense") == 401
        assert await door.status(f"/ws/demo?token={other}") == 403
        foreign = {"Origin": "http://x.example"}
        assert await door.status(f"/ws/demo?token={good}", headers=foreign) == 403
        assert await door.status("/ws/a%20b", headers=door.headers) == 400
        async with door.http.get("/ws/demo", headers=door.headers) as plain:
            assert plain.status == 426
        assert await door.close_of(CREATE, good) == (4403, "forbidden")
        assert await door.close_of("nonsense", good) == (1003, "invalid_config")
        assert await door.close_of(b"\0" * 100, good) == (1003, "invalid_config")
        assert (await door.close_of("x" * 70_000, good))[0] == 1009
        assert (await stage.server.get("/healthz"))[0] == 200


async def test_tokens_start_what_their_owner_allows(tmp_path: Path) -> None:
    async with keyed(tmp_path) as (stage, door):
        starter = await door.token(may_start=True)
        for config, refusal in (
            ({"instructions": "Say anything."}, (4403, "forbidden")),
            ({"voice": "no such voice!"}, (1003, "invalid_config")),
            ({"user_uid": 9}, (4403, "forbidden")),
        ):
            assert await door.close_of(CREATE | {"config": config}, starter) == refusal
        async with BridgeClient(stage.url(), {"language": "de"}, token=starter) as client:
            assert client.session["uid"] == 7
            # The same uid again, by its token: the newer connection counts.
            async with BridgeClient(stage.url(), token=starter):
                async for _ in client.events():
                    pass
                assert client.closed is not None
                assert (client.closed.code, client.closed.error) == (4001, "replaced")


async def test_a_server_that_stops_says_so_to_its_clients(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, stage.client() as client:
        await client.wait_event("agent_ready")
        stage.server.signal(signal.SIGTERM)
        ended = await client.wait_event("server_session_ended")
        assert ended["session_id"] == client.session["session_id"]
        async for _ in client.events():
            pass
        assert client.closed is not None
        assert client.closed.code == 1000
        await asyncio.to_thread(stage.server.wait)
