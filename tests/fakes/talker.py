"""A caller in a process of its own, who talks all the time and reports when it hears the agent.

`python -m tests.fakes.talker JSON`. Standard input: JSON lines, `{"addresses": [...]}` are those that
the machine has from now on; its end is the end. Standard output: JSON lines, one key each.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aioice import ice

from rtc.engine import RtcEngine
from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions, RtcOptions
from tests.rtc.sound import loudness, tone
from utils import cancel_and_wait

AGENT_UID = 1000
LOUD = 500


def report(name: str, value: Any) -> None:
    """One line."""
    print(json.dumps({name: value}), flush=True)


async def _listen(channel: Any) -> None:
    async for frame in channel.get_audio_frames(AGENT_UID):
        if loudness(frame.pcm) > LOUD:
            report("heard_at_s", frame.received_at)


async def _execute() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        addresses = json.loads(line)["addresses"]
        ice.get_host_addresses = lambda addresses=addresses, **_: addresses


async def _talk(wanted: dict[str, Any]) -> None:
    media = MediaOptions(has_loopback=False, network=MediaNetwork(**wanted["media"]))
    channel = RtcEngine(wanted["room_url"], media).create_channel(RtcOptions("demo", 7, "user"))
    channel.on("user_connected", lambda uid: report("connected", uid))
    channel.on("user_left", lambda user, _reason: report("left", user.uid))
    channel.on("connection_state_changed", lambda state: report("signaling", state))
    await channel.connect()
    channel.push_audio_frame(tone(440, 120, 24_000))
    listening = asyncio.get_running_loop().create_task(_listen(channel))
    await _execute()
    await cancel_and_wait(listening)
    await channel.disconnect()


if __name__ == "__main__":
    asyncio.run(_talk(json.loads(sys.argv[1])))
