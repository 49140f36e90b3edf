"""Tests of what is configured: a provider's session, and a voice of the local model."""

from __future__ import annotations

import base64
import io
import re
import time
import wave
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from config.cascade import Cascade, StartCascade, StartVoice
from config.local_model import LocalModelAddress
from config.providers import ProviderConfig, provider_config
from config.settings import AgentConfigError, Settings
from control.http.bodies import parse_body, respond
from control.http.errors import ApiError
from control.provider_check.messages import Finding, McpProbe, Probe
from control.provider_check.runner import BusyError, ProviderProbes
from conversation.lifecycle import AgentStartError
from realtime.providers import PROVIDER_PATTERN
from speech.options import VoiceEngineName
from utils import TokenBucket

CHECKS_PER_S: Final = 0.2
CHECK_BURST: Final = 6
"""A check opens a session at the provider, which counts them."""

SAMPLES_PER_S: Final = 0.5
SAMPLE_BURST: Final = 10

_SAMPLE: Final = "Hello. This is how I sound."


class ProviderCheck(BaseModel):
    """The outcome of a session with a provider as it is configured."""

    name: str
    is_ok: bool
    code: str = Field(description="for programs; empty if it was opened")
    text: str = Field(description="what is wrong and what to do; empty if it was opened")
    model: str
    host: str
    took_ms: float | None = Field(description="from the first packet to the open session")


class McpCheck(BaseModel):
    """The outcome of opening a server of MCP_SERVERS as an agent does."""

    name: str
    is_ok: bool
    code: str = Field(description="unreachable, timeout or protocol_error; empty if it was opened")
    text: str
    tools: list[str]
    took_ms: float | None


class VoiceSampleRequest(BaseModel):
    """A voice of the local model; absent: the one of the settings."""

    model_config = ConfigDict(extra="forbid")

    engine: VoiceEngineName | None = None
    name: str | None = Field(default=None, min_length=1, max_length=200)
    text: str = Field(default=_SAMPLE, min_length=1, max_length=200)


class ProvidersApi:
    """Handlers of the tests."""

    def __init__(
        self,
        settings: Settings,
        local_model: Callable[[], LocalModelAddress],
        wait_for_model: Callable[[], Awaitable[None]],
        probes: ProviderProbes,
    ) -> None:
        """wait_for_model: starts the local model unless it runs; raises AgentStartError"""
        self._settings = settings
        self._local_model = local_model
        self._wait_for_model = wait_for_model
        self._probes = probes
        self._checks = TokenBucket(CHECKS_PER_S, CHECK_BURST)
        self._samples = TokenBucket(SAMPLES_PER_S, SAMPLE_BURST)

    async def check(self, request: web.Request) -> web.Response:
        """POST /providers/{name}/check"""
        name = request.match_info["name"]
        if re.fullmatch(PROVIDER_PATTERN, name) is None:
            raise ApiError(400, "invalid_request", "not the name of a provider")
        try:
            config = self._config(name)
        except AgentConfigError as error:
            if error.code == "unknown_provider":
                raise ApiError(404, error.code, str(error)) from error
            return respond(_refused(name, error.code, str(error)))
        _limit(self._checks)
        finding = await self._probe(Probe(provider=config))
        host = re.sub(r"^\w+://", "", config.base_uri).partition("/")[0]
        return respond(
            ProviderCheck(
                name=name,
                is_ok=not finding.code,
                code=finding.code,
                text=finding.text,
                model=config.model,
                host=host,
                took_ms=None if finding.code else round(finding.took_ms, 1),
            )
        )

    async def check_mcp(self, request: web.Request) -> web.Response:
        """POST /mcp_servers/{name}/check"""
        name = request.match_info["name"]
        server = next((one for one in self._settings.mcp_servers if one.name == name), None)
        if server is None:
            raise ApiError(404, "unknown_toolset", "MCP_SERVERS has no server of this name")
        _limit(self._checks)
        finding = await self._probe(McpProbe(mcp_server=name, address=server.address))
        return respond(
            McpCheck(
                name=name,
                is_ok=not finding.code,
                code=finding.code,
                text=finding.text,
                tools=list(finding.tools),
                took_ms=None if finding.code else round(finding.took_ms, 1),
            )
        )

    async def voice_sample(self, request: web.Request) -> web.Response:
        """POST /local_model/voice_sample"""
        wanted = await parse_body(request, VoiceSampleRequest)
        _limit(self._samples)
        voice = StartVoice(engine=wanted.engine, name=wanted.name)
        cascade = Cascade.of_start(StartCascade(voice=voice))
        try:
            config = self._config("local", cascade if wanted.engine or wanted.name else None)
        except AgentConfigError as error:
            raise ApiError(400, error.code, str(error)) from error
        finding = await self._probe(Probe(provider=config, say=wanted.text))
        if finding.code == "handshake_failed" and (wanted.engine or wanted.name):
            # It looks for engine and voice before it answers the handshake.
            raise ApiError(502, "voice_not_loaded", _not_loaded(wanted))
        if finding.code:
            raise ApiError(502, finding.code, finding.text)
        sound = _wav_of(base64.b64decode(finding.sound), finding.rate_hz)
        return web.Response(body=sound, content_type="audio/wav")

    def _config(self, name: str, cascade: Cascade | None = None) -> ProviderConfig:
        return provider_config(
            self._settings, name, local_model=self._local_model(), cascade=cascade
        )

    async def _probe(self, wanted: Probe | McpProbe) -> Finding:
        try:
            if isinstance(wanted, Probe) and wanted.provider.name == "local":
                await self._wait_for_model()
            return await self._probes.run(wanted)
        except AgentStartError as error:
            return Finding(code=error.code, text=str(error))
        except BusyError as error:
            text = "another test is under way; retry when it has ended"
            raise ApiError(429, "too_many_checks", text, retry_after_s=2) from error


def _limit(bucket: TokenBucket) -> None:
    if not bucket.allow(time.monotonic()):
        wait_s = round(bucket.wait_s()) + 1
        text = f"too many tests; retry in {wait_s} s"
        raise ApiError(429, "too_many_checks", text, retry_after_s=wait_s)


def _not_loaded(wanted: VoiceSampleRequest) -> str:
    what = " ".join(filter(None, (wanted.engine, wanted.name)))
    text = (
        f"the local model has no voice {what}: the name is unknown, or its package is not installed"
    )
    return f"{text} (docs/local-model.md); its log says more"


def _refused(name: str, code: str, text: str) -> ProviderCheck:
    return ProviderCheck(
        name=name, is_ok=False, code=code, text=text, model="", host="", took_ms=None
    )


def _wav_of(pcm: bytes, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(pcm)
    return file.getvalue()
