"""What is no call is refused with a reason; what never connects, and what is over, leaves nothing."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from realtime_calls.offer import MAX_PARTS, form_fields
from speech.access import RefusedError
from speech.engine_pool import Engines
from speech.settings import Limits, SpeechSettings
from tests.realtime_calls.call_server import call_server, until_empty
from tests.realtime_calls.caller import CALLS, RtcCaller, rtc_call
from tests.speech.talk import utterance

pytestmark = pytest.mark.speech

KEY = "the key of this server"
SDP = {"Content-Type": "application/sdp"}


def _form(**fields: str) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, text in fields.items():
        form.add_field(name, text)
    return form


async def _refused(url: str, data: Any, **options: Any) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(url + CALLS, data=data, **options) as answer,
    ):
        assert answer.status >= 400, await answer.text()
        error = (await answer.json())["error"]
        return answer.status, error["code"]


@pytest.mark.asyncio
async def test_what_is_no_offer_is_refused_with_a_reason(engines: Engines) -> None:
    no_audio = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
    wrong = json.dumps({"type": "realtime", "audio": {"output": {"speed": 9}}})
    async with call_server(engines) as (server, url):
        assert await _refused(url, "hello", headers=SDP) == (400, "invalid_offer")
        assert await _refused(url, no_audio, headers=SDP) == (400, "invalid_offer")
        assert await _refused(url, b"\xff\xfe", headers=SDP) == (400, "invalid_offer")
        assert await _refused(url, "x" * 300_000, headers=SDP) == (413, "too_large")
        json_body = {"headers": {"Content-Type": "application/json"}}
        assert await _refused(url, "{}", **json_body) == (415, "unsupported_content_type")
        assert await _refused(url, _form(session="{}")) == (400, "missing_required_parameter")
        assert await _refused(url, _form(sdp=no_audio, session="[")) == (400, "invalid_json")
        assert await _refused(url, _form(sdp=no_audio, session=wrong)) == (400, "invalid_value")
        assert await _refused(url, _form(sdp=no_audio)) == (400, "invalid_offer")
        foreign = {"headers": {**SDP, "Origin": "https://evil.example"}}
        assert await _refused(url, no_audio, **foreign) == (403, "foreign_page")
        await until_empty(server)


@pytest.mark.asyncio
async def test_calls_count_with_the_sessions_of_other_transports(engines: Engines) -> None:
    settings = SpeechSettings(limits=Limits(sessions=1))
    async with call_server(engines, settings) as (server, url):
        async with rtc_call(url) as caller, aiohttp.ClientSession() as http:
            await caller.until("session.created")
            assert await _refused(url, "v=0", headers=SDP) == (503, "too_many_sessions")
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await http.ws_connect(f"{url}/v1/realtime?model=m")
        await until_empty(server)


@pytest.mark.asyncio
async def test_an_offer_that_never_connects_holds_its_place_for_a_moment_only(
    engines: Engines,
) -> None:
    async with call_server(engines, connect_timeout_s=0.2) as (server, url):
        caller = RtcCaller()
        offer = await caller.offer()
        await caller.close()
        async with (
            aiohttp.ClientSession() as http,
            http.post(url + CALLS, data=offer, headers=SDP) as answer,
        ):
            assert answer.status == 201
        await until_empty(server)


@pytest.mark.asyncio
async def test_a_server_that_stops_ends_its_calls(engines: Engines) -> None:
    async with call_server(engines) as (server, url), rtc_call(url) as caller:
        await caller.until("session.created")
        await server.close()
        assert len(server.sessions) == 0
        assert await _refused(url, "v=0", headers=SDP) == (503, "stopping")


@pytest.mark.asyncio
async def test_the_official_client_creates_a_call_with_settings_and_hangs_up(
    engines: Engines,
) -> None:
    settings = SpeechSettings(api_key=KEY)
    async with call_server(engines, settings) as (server, url):
        assert await _refused(url, "v=0", headers=SDP) == (401, "invalid_api_key")
        caller = RtcCaller()
        try:
            async with AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0) as client:
                answer = await client.realtime.calls.create(
                    sdp=await caller.offer(),
                    session={"type": "realtime", "instructions": "Be a pirate."},
                )
                await caller.accept(answer.text)
                created = await caller.until("session.created")
                assert created["session"]["instructions"] == "Be a pirate."
                call_id = answer.response.headers["location"].rpartition("/")[2]
                await client.realtime.calls.hangup(call_id)
                assert len(server.sessions) == 0
                with pytest.raises(openai.NotFoundError):
                    await client.realtime.calls.hangup(call_id)
        finally:
            await caller.close()


@pytest.mark.asyncio
async def test_a_call_without_a_data_channel_is_a_conversation_too(engines: Engines) -> None:
    async with (
        call_server(engines) as (server, url),
        AsyncOpenAI(api_key="unused", base_url=f"{url}/v1", max_retries=0) as client,
    ):
        caller = RtcCaller(labels=())
        try:
            answer = await client.realtime.calls.create(sdp=await caller.offer())
            await caller.accept(answer.text)
            await caller.microphone.say(utterance("u01_f"))
            await caller.until_loud()
        finally:
            await caller.close()
        await until_empty(server)


@pytest.mark.asyncio
async def test_an_ephemeral_key_opens_a_call_with_its_settings(engines: Engines) -> None:
    async with (
        call_server(engines, SpeechSettings(api_key=KEY)) as (_, url),
        AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0) as client,
    ):
        secret = await client.realtime.client_secrets.create(
            session={"type": "realtime", "instructions": "Be a pirate."}
        )
        async with rtc_call(url, key=secret.value) as caller:
            created = await caller.until("session.created")
            assert created["session"]["instructions"] == "Be a pirate."


def test_forms_are_read_whatever_they_hold() -> None:
    def part(name: str, content: str) -> str:
        return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{content}\r\n'

    end = "--b--\r\n"
    form = part("sdp", "v=0\r\n") + part("session", "{}") + end + part("late", "x")
    assert form_fields(form.encode(), "b") == {"sdp": b"v=0\r\n", "session": b"{}"}
    many = "".join(part(f"f{number}", "") for number in range(2 * MAX_PARTS))
    assert len(form_fields(many.encode(), "b")) == MAX_PARTS
    assert form_fields(b"--b\r\nno header", "b") == {}
    assert form_fields(b"", "b") == {}
    for boundary in ("", "x" * 71, "a\r\nb"):
        with pytest.raises(RefusedError):
            form_fields(b"", boundary)
