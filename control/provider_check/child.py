"""The process that opens one provider session, or one MCP server: reads a probe, writes a `Finding`.

`python -m control.provider_check.child`
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import time
from dataclasses import replace
from typing import Final

from control.provider_check.messages import Finding, McpProbe, Probe
from realtime import events as model
from realtime.model import ModelConnectError, ModelSettings, RealtimeModel
from realtime.providers import create_model
from session.model_setup import connect_config
from tools import ToolContext
from toolsets.mcp import McpServerError, McpTools
from toolsets.mcp_server import McpServer

CONNECT_TIMEOUT_S: Final = 10.0
_SPEAK_TIMEOUT_S: Final = 20.0
_MAX_SOUND_BYTES: Final = 2 * 1024 * 1024


class SilentError(Exception):
    """The session was opened, and nothing was heard in it."""


async def probe(wanted: Probe) -> Finding:
    """Open the session, have it speak if that is wanted, close it. Never raises what a provider causes."""
    provider = wanted.provider
    session: RealtimeModel | None = None
    try:
        session = create_model(provider.name, provider.model, factory=provider.factory)
        settings = ModelSettings(voice=wanted.voice) if wanted.voice else ModelSettings()
        config = replace(connect_config(provider), settings=settings, timeout_s=CONNECT_TIMEOUT_S)
        began_s = time.monotonic()
        await session.connect(config)
        took_ms = (time.monotonic() - began_s) * 1000
        if not wanted.say:
            return Finding(took_ms=took_ms)
        async with asyncio.timeout(_SPEAK_TIMEOUT_S):
            sound, rate_hz = await _speak(session, wanted.say)
        return Finding(took_ms=took_ms, sound=base64.b64encode(sound).decode(), rate_hz=rate_hz)
    except ModelConnectError as error:
        return Finding(code=error.code, text=str(error))
    except TimeoutError:
        return Finding(code="timeout", text="it did not answer in time")
    except SilentError as error:
        return Finding(code="no_sound", text=str(error))
    except ValueError as error:
        # Settings that cannot be expressed, a provider that is not there: texts of ours.
        return Finding(code="invalid_settings", text=str(error))
    except Exception as error:  # noqa: BLE001 - a factory of the owner's may raise anything
        return Finding(code="failed", text=f"its code failed: {type(error).__name__}")
    finally:
        if session is not None:
            await session.close()


async def probe_mcp(wanted: McpProbe) -> Finding:
    """Open the MCP server as an agent does, list its tools, close it."""
    tools = ToolContext()
    server = McpTools(McpServer(name=wanted.mcp_server, address=wanted.address), tools)
    began_s = time.monotonic()
    try:
        await server.open()
        took_ms = (time.monotonic() - began_s) * 1000
        names = tuple(str(one["name"]) for one in tools.model_description())
        return Finding(took_ms=took_ms, tools=names)
    except McpServerError as error:
        return Finding(code=error.code, text=str(error))
    finally:
        await server.close()


async def _speak(session: RealtimeModel, text: str) -> tuple[bytes, int]:
    """Return the voice that says the text, as PCM16, and its rate."""
    await session.send(model.AddText(f"Say exactly: {text}"))
    await session.send(model.CreateResponse())
    sound, rate_hz = bytearray(), 0
    async for event in session.events():
        match event:
            case model.AudioDelta():
                sound += event.pcm
                rate_hz = event.sample_rate_hz
            case model.ResponseDone() if sound:
                break
            case model.ResponseDone(status=status):
                raise SilentError(f"its reply has no sound ({status})")
            case model.SessionEnded():
                raise SilentError(event.reason)
            case _:
                pass
        if len(sound) > _MAX_SOUND_BYTES:
            break
    return bytes(sound), rate_hz


def main() -> None:
    """Read, probe, answer."""
    # What an owner's code prints must not become part of the answer.
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    asked = sys.stdin.buffer.read()
    if b'"mcp_server"' in asked[:20]:
        finding = asyncio.run(probe_mcp(McpProbe.model_validate_json(asked)))
    else:
        finding = asyncio.run(probe(Probe.model_validate_json(asked)))
    with os.fdopen(answer, "w") as pipe:
        pipe.write(finding.model_dump_json())


if __name__ == "__main__":
    main()
