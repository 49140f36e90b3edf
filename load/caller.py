"""One caller of the built-in conversation, as cheap as Python allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import aiohttp

from load.conversation import Conversation, Utterance
from load.heard import HeardStream
from load.lateness import LATE_S
from load.protocol import CallFigures
from load.sounds import RATE_HZ, is_loud
from proxies import outbound_proxy
from rtc.aiortc_hooks.bare_call import BareCall, Header
from rtc.opus import OpusDecoder, OpusError
from untrusted.http_answer import read_bounded
from untrusted.json_reader import InvalidJsonError, read_object

CONNECT_TIMEOUT_S: Final = 20.0
_EACH: Final = 5
"""While nothing depends on it, the loudness of one packet in five is looked at."""
_MAX_ANSWER_BYTES: Final = 1024 * 1024


class CallFailedError(Exception):
    """The call did not come about; the text is one line."""


class LoadCaller:
    """Calls by aiortc's connection, then sends and receives packets past it."""

    def __init__(
        self, number: int, utterances: Sequence[Utterance], silence: bytes, *, room_url: str
    ) -> None:
        """room_url: of the channel, `.../rooms/NAME`"""
        self.number = number
        self._room_url = room_url
        self._call = BareCall(self._handle_packet)
        self._stream = HeardStream()
        self._decoder = OpusDecoder(RATE_HZ)
        self._conversation = Conversation(utterances, silence, seed=number, now_s=time.monotonic())
        self._received = 0
        self._sent = 0
        self._sent_late = 0

    async def connect(self, http: aiohttp.ClientSession, token: str | None) -> None:
        """Call the agent; returns when media flows.

        Raises:
            CallFailedError: it does not, or not in time.
        """
        await dial(self._call, http, self._room_url, token)

    def send(self, due_s: float, now_s: float) -> None:
        """Send the packet that was due at `due_s`."""
        self._call.send(self._conversation.next_packet(now_s))
        self._sent += 1
        self._sent_late += now_s - due_s > LATE_S

    def take(self) -> CallFigures:
        """Return the figures since the last call."""
        sent, late = self._sent, self._sent_late
        self._sent = self._sent_late = 0
        return CallFigures(
            number=self.number,
            **asdict(self._stream.take()),
            **asdict(self._conversation.take()),
            sent=sent,
            sent_late=late,
            is_lost=self._call.is_lost,
        )

    async def close(self) -> None:
        """Hang up. Idempotent."""
        await self._call.close()
        self._decoder.close()

    def _handle_packet(self, header: Header, data: bytes, now_s: float) -> None:
        self._stream.add(header.ssrc, header.sequence, header.ticks, now_s)
        self._received += 1
        if self._conversation.needs_level or self._received % _EACH == 0:
            self._conversation.hear(now_s, is_loud=self._is_loud(data))

    def _is_loud(self, data: bytes) -> bool:
        try:
            return is_loud(self._decoder.decode(self._call.payload(data)))
        except OpusError:
            return False


async def dial(
    call: BareCall, http: aiohttp.ClientSession, room_url: str, token: str | None = None
) -> None:
    """Call the agent of a room; returns when media flows.

    Raises:
        CallFailedError: it does not, or not in time.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await call.accept(await _ask(http, room_url, await call.offer(), token))
    except TimeoutError as error:
        raise CallFailedError(f"no connection in {CONNECT_TIMEOUT_S:g} s") from error
    except (aiohttp.ClientError, ConnectionError, InvalidJsonError, ValueError) as error:
        raise CallFailedError(f"no connection: {type(error).__name__}") from error


async def _ask(http: aiohttp.ClientSession, room_url: str, sdp: str, token: str | None) -> str:
    url = f"{room_url}/call"
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with http.post(
        url,
        json={"type": "offer", "sdp": sdp},
        headers=headers,
        allow_redirects=False,
        proxy=outbound_proxy(url),
    ) as response:
        answer = read_object(await read_bounded(response.content, _MAX_ANSWER_BYTES))
        if response.status != 200 or "sdp" not in answer:
            raise CallFailedError(f"call refused: {response.status} {answer.get('code', '')}")
        return str(answer["sdp"])
