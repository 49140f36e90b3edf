"""Everything that reads what strangers send: each may refuse it with its own error, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiortc.sdp import SessionDescription
from websockets.frames import Opcode

from bridge.dialect import DialectError
from bridge.dialects import DIALECTS
from bridge.dialects.parley import ParleyDialect
from control.event_stream.streams import Streams, UnknownEventIdError
from control.ipc.link import CHILD_MESSAGE, LinkBrokenError, parse_message
from conversation.events.client_events import InvalidClientEventError
from conversation.events.client_events import parse_client_event as parse_room_event
from realtime import struct as wire
from realtime.dashscope.families import family_of
from realtime.dashscope.wire import dashscope_codec
from realtime.gemini import wire as gemini_wire
from realtime.gemini.mapping import GeminiMapper
from realtime.gemini.tool_calls import ToolCallTracker
from realtime.openai.beta import BETA_CODEC
from realtime.openai.codec import Codec, GaCodec
from realtime.openai.mapping import OpenAIMapper
from realtime.openai.reply_sequence import ReplySequence
from realtime.raw_events import raw_event, raw_text
from realtime.resilience.event_bounds import Bounds
from realtime.resilience.id_mapping import ConversationIds, SessionIds
from realtime_calls.offer import read_call_offer
from rtc.aiortc_hooks.sctp_packets import PacketError, count_data_chunks
from rtc.peer.peer import PeerError
from rtc.room_server.tokens import RoomTokens, TokenError
from rtc.signaling.candidates import read_candidate
from rtc.signaling.protocol import SignalError, parse_client_frame, parse_server_frame
from rtc.signaling.sdp import DescriptionError, read_answer, read_offer
from rtc.signaling.sdp_answer import compose_answer
from session.recording.wav import NotARecordingError, WavHead
from speech.access import RefusedError
from speech.engines.choice import expected_abilities
from speech.options import SessionOptions
from tests.fuzz.bridge import feed_frames, feed_messages, feed_opening, message
from tests.fuzz.media import close, feed_datagram, feed_offer, feed_rtcp, feed_rtp, feed_sctp
from tests.session.running import USER, RunningSession
from tool_docstring import read_docstring
from tools import ToolContext, ToolError
from toolsets.http_calls import read_http_answer
from untrusted.images import InvalidImageError, require_image

Json = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """`read` takes bytes as they came; `refusals` are what it may raise; `seeds` are sound inputs.

    `close` gives back what many inputs shared.
    """

    name: str
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: tuple[Json | str | bytes, ...]
    close: Callable[[], None] = lambda: None

    def feed(self, data: bytes) -> None:
        """Read `data`; whatever else is raised is a defect."""
        try:
            self.read(data)
        except self.refusals:
            pass


def _text(data: bytes) -> str:
    """As a socket hands text over: what is no UTF-8 never gets so far."""
    return data.decode(errors="replace")


def _http_answer(data: bytes) -> object:
    kind, _, rest = data.partition(b";")
    charset, _, body = rest.partition(b";")
    kinds = {b"json": "application/json", b"plain": "text/plain"}
    return read_http_answer(200, kinds.get(kind, _text(kind)), _text(charset), body)


_BRIDGE_CREATE: Final[Json] = {
    "type": "client_session_create",
    "session_id": "s1",
    "secret": "7-x",
    "last_seq": 3,
    "config": {
        "audio_in": {"encoding": "opus", "rate": 48_000},
        "audio_out": "alaw",
        "user_uid": 7,
    },
}
_BRIDGE_MESSAGES: Final = (
    '0{"type": "client_audio_append", "audio": "AAAA"}\n1abcd\n0{"type": "client_activity_end"}',
    '0{"type": "client_text_append", "text": "hi"}',
)
_BRIDGE: Final = (
    message(Opcode.TEXT, '{"type": "client_text_append", "text": "hi"}'),
    message(Opcode.BINARY, b"\x7f\xff" * 80),
    message(Opcode.TEXT, '{"type": "client_audio', fin=False)
    + message(Opcode.PING, b"x")
    + message(Opcode.CONT, '_append", "audio": "AAAA", "format": {"rate": 16000}}'),
    message(Opcode.TEXT, '{"type": "client_leave"}'),
    message(Opcode.CLOSE, b"\x03\xe8bye"),
)

_DOCSTRINGS: Final = (
    "Find.\n\nArgs:\n    a (int): One,\n        two.\n\nReturns:\n    x",
    "Find.\n\nParameters\n----------\na, b : int\n    One.\n",
    "Find.\n\n:param int a: One.\n:returns: x",
)


def _raw_event(data: bytes) -> None:
    """What is passed on can be sent again."""
    event = raw_event(data)
    if event is not None and event.data:
        raw_text(event.data, needs_type=False)


def _reading(codec: Codec) -> Callable[[bytes], object]:
    """From a frame to what an agent is told of it, as a session of this dialect goes."""

    def read(data: bytes) -> object:
        sequence, mapper = ReplySequence(), OpenAIMapper(output_sample_rate_hz=24_000)
        ids, bounds = SessionIds(ConversationIds(lambda _id: False)), Bounds()
        return [
            told
            for message in codec.decode(_text(data), lambda _path: None)
            for each in sequence.complete(message)
            for event in mapper.map(each)
            for told in bounds.bounded(ids.inward(event))
        ]

    return read


def _gemini(data: bytes) -> object:
    book = ToolCallTracker((), is_blocking=True)
    mapper = GeminiMapper(book, input_sample_rate_hz=16_000, output_sample_rate_hz=24_000)
    ids, bounds = SessionIds(ConversationIds(lambda _id: False)), Bounds()
    events = mapper.map(gemini_wire.parse(data), now_s=1.0)
    return [told for event in events for told in bounds.bounded(ids.inward(event))]


def _description(data: bytes) -> object:
    """aiortc takes whatever we make of it, and our answer has the offer's sections."""
    read_answer(_text(data))
    offer = read_offer(_text(data))
    written = SessionDescription.parse(offer.to_sdp())
    answer = compose_answer(offer, str(written))
    assert len(SessionDescription.parse(offer.to_sdp()).media) == 1 + (offer.data is not None)
    assert answer.count("\r\nm=") == len(offer.sections)
    return answer


def _token(data: bytes) -> object:
    tokens = RoomTokens(["0123456789abcdef0123456789abcdef"])
    return tokens.verify(_text(data), channel="demo", uid=7, role="user")


def _session(data: bytes) -> object:
    """Through the handlers of a running session, which must answer the next one, too."""
    return asyncio.run(_hear(_text(data)))


async def _hear(text: str) -> None:
    async with RunningSession(ToolContext()) as session:
        session.channel.hear_event(text, USER)
        session.channel.hear_chat(text, USER)
        await session.require_answers("are you there?")
        assert session.unforeseen == [], session.unforeseen


def _bridge(name: str) -> Callable[[bytes], object]:
    """As the first message of a connection, else as a further one, text and bytes."""

    def read(data: bytes) -> object:
        text = _text(data)
        route = {"channel": "demo", "user_id": text[:80], "session_id": "s"}
        with contextlib.suppress(DialectError):
            DIALECTS[name]().read(data)
        with contextlib.suppress(DialectError):
            return DIALECTS[name]().open(text, route)
        return DIALECTS[name]().read(text)

    return read


_ABILITIES: Final = expected_abilities(SessionOptions())
_CALL_FORM: Final = "\r\n".join(
    (
        "--b",
        'Content-Disposition: form-data; name="sdp"',
        "",
        "v=0",
        "--b",
        'Content-Disposition: form-data; name="session"',
        "Content-Type: application/json",
        "",
        '{"type": "realtime", "audio": {"output": {"voice": "marin", "speed": 1.2}}}',
        "--b--",
    )
)
_CANDIDATE: Final = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"
_SDP: Final = "\r\n".join(
    (
        *("v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1"),
        *("m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2"),
        *("a=ice-ufrag:x", "a=ice-pwd:y", "a=setup:actpass", "a=sendrecv"),
        f"a=fingerprint:sha-256 {':'.join(['AA'] * 32)}",
        *("a=candidate:1 1 udp 1 a.local 5 typ host", "a=candidate:1 1 udp 1 10.0.0.1 5 typ host"),
        *("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:1", "a=sctp-port:5000"),
        *("m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:2", "a=rtpmap:96 VP8/90000", ""),
    )
)
_SCTP: Final = bytes(12) + b"\x04\0\0\x0c\0\x01\0\x08abcd"
_SCTP_DATA: Final = b"\0\x03\0\x15\0\0\0\x01\0\0\0\0\0\0\0\x33hello\0\0\0"
_SCTP_OPEN: Final = (
    b"\0\x03\0\x1d\0\0\0\x02\0\x03\0\0\0\0\0\x32\x03" + bytes(8) + b"\x01\0\0x" + bytes(3)
)
_SCTP_SACK: Final = b"\x03\0\0\x14\0\0\0\x01\0\0\x10\0\0\x01\0\0\0\x02\0\x03"
_RTP: Final = b"\x80\x60\0\x01\0\0\0\x01\0\0\0\x07opus"
_RTP_EXTENDED: Final = b"\x90\x60\0\x02\0\0\0\x02\0\0\0\x07\xbe\xde\0\x01\x10a\x20bopus"
_RTCP_REPORT: Final = b"\x81\xc9\0\x07\0\0\0\x07OURS" + b"\x01" * 20
_RTCP_FEEDBACK: Final = b"\x81\xcd\0\x03\0\0\0\x07OURS\0\x01\0\x01"
_STUN: Final = b"\0\x01\0\x08\x21\x12\xa4\x42" + b"t" * 12 + b"\0\x24\0\x04\0\0\0\x01"
_IMAGES: Final = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP")
_BRIDGE_SEEDS: Final[dict[str, tuple[Json | str | bytes, ...]]] = {
    "agentscope": (
        {"type": "client_session_create", "config": {"instructions": "x", "user_name": "y"}},
        {"type": "client_audio_append", "audio": "AA==", "format": {"encoding": "pcm16"}},
        {"type": "client_image_append", "data": "AAAA", "format": {"mime_type": "image/png"}},
        {"type": "client_tool_result", "id": "c", "output": [{"type": "text", "text": "z"}]},
    ),
    "agentflow": (
        {"thread_id": "a", "modalities": ["AUDIO"], "vad": {"enabled": True}, "voice": "v"},
        {"type": "text", "text": "hi"},
        {"type": "close"},
    ),
}
_RESPONSE: Final = {
    "id": "r",
    "object": "realtime.response",
    "status": "completed",
    "output": [
        {"type": "function_call", "id": "i", "call_id": "c", "name": "n", "arguments": "{}"}
    ],
    "usage": {"total_tokens": 3, "input_tokens": 1, "output_tokens": 2},
}
_DELTA: Final = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
_BETA_SEEDS: Final[tuple[Json, ...]] = (
    {
        "type": "session.created",
        "session": {"id": "s", "voice": "v", "modalities": ["text", "audio"], "audio": {}},
    },
    {"type": "response.audio.delta", "delta": "AAAAAA==", **_DELTA},
    {"type": "response.audio_transcript.delta", "delta": "hi", **_DELTA},
    {"type": "response.done", "response": {**_RESPONSE, "modalities": ["text"]}},
    {
        "type": "conversation.item.created",
        "item": {
            "type": "message",
            "id": "i",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "audio", "transcript": "hi"}],
        },
    },
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 5},
)

TARGETS: Final = (
    Target(
        "room_frame_of_a_client",
        lambda data: parse_client_frame(_text(data)),
        (SignalError,),
        (
            {
                "type": "join",
                "role": "user",
                "uid": 7,
                "name": "Ada",
                "instance": "p",
                "token": "t",
            },
            {
                "type": "description",
                "to": 7,
                "connection_id": "k",
                "sdp_type": "offer",
                "sdp": "v=0",
            },
            {
                "type": "candidate",
                "to": 7,
                "connection_id": "k",
                "candidate": _CANDIDATE,
                "sdp_mid": "0",
            },
            {"type": "chat", "text": "hello", "message_id": "m"},
            {"type": "mute", "is_muted": True},
            {"type": "ping"},
        ),
    ),
    Target(
        "room_frame_of_a_server",
        lambda data: parse_server_frame(_text(data)),
        (SignalError,),
        (
            {
                "type": "joined",
                "channel": "demo",
                "uid": 7,
                "instance": "p",
                "is_resumed": False,
                "members": [
                    {"uid": 8, "role": "agent", "name": "", "instance": "a", "is_muted": False}
                ],
            },
            {"type": "member_left", "uid": 8, "reason": "left"},
            {
                "type": "description",
                "from": 8,
                "connection_id": "k",
                "sdp_type": "answer",
                "sdp": "v=0",
            },
            {"type": "error", "code": "invalid", "message": "no"},
        ),
    ),
    Target(
        "client_event",
        lambda data: parse_room_event(_text(data)),
        (InvalidClientEventError,),
        (
            {"type": "client_text_append", "text": "hi", "session_id": ""},
            {"type": "client_image_append", "image": "AAAA", "format": {"type": "image/png"}},
            {"type": "client_image_chunk", "id": "a", "index": 0, "count": 2, "data": "AAAA"},
            {"type": "client_tool_result", "id": "c", "name": "n", "output": [{"a": 1}]},
            {"type": "client_tool_approval", "id": "c", "approve": True, "always": False},
            {"type": "client_session_create", "config": {"x": [1, 2]}},
            {"type": "client_audio_append", "audio": "AA==", "format": {"rate": 16000}},
        ),
    ),
    Target(
        "running_session",
        _session,
        (),
        (
            {"type": "client_text_append", "text": "hi"},
            {"type": "client_image_append", "image": "AAAA", "format": {"type": "image/png"}},
            {"type": "client_image_chunk", "id": "a", "index": 0, "count": 1, "data": "/9j/"},
            {"type": "client_response_create"},
            {"type": "client_response_cancel"},
            {"type": "client_audio_commit"},
            {"type": "client_activity_start"},
            {"type": "client_activity_end"},
            {"type": "client_playout_report", "item_id": "i", "content_index": 0, "played_ms": 5},
            {"type": "client_playout_report", "playout_delay_ms": 5, "round_trip_ms": 1},
            {"type": "client_tool_result", "id": "c", "name": "n", "output": [{"a": 1}]},
            {"type": "client_tool_approval", "id": "c", "approve": True, "always": False},
        ),
    ),
    Target(
        "openai_frame",
        _reading(GaCodec()),
        (wire.InvalidEventError,),
        (
            {"type": "response.output_audio.delta", "event_id": "e", "delta": "AAAAAA==", **_DELTA},
            {"type": "response.done", "event_id": "e", "response": _RESPONSE},
            {"type": "error", "event_id": "e", "error": {"type": "x", "code": "y", "message": "z"}},
            {
                "type": "rate_limits.updated",
                "event_id": "e",
                "rate_limits": [
                    {"name": "tokens", "limit": 9, "remaining": 5, "reset_seconds": 0.5}
                ],
            },
            {
                "type": "input_audio_buffer.speech_started",
                "event_id": "e",
                "audio_start_ms": 5,
                "item_id": "i",
            },
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "event_id": "e",
                "item_id": "i",
                "content_index": 0,
                "transcript": "hi",
            },
        ),
    ),
    Target(
        "raw_provider_event",
        _raw_event,
        (),
        (
            {"type": "session.mystery", "level": 3, "text": "\ud83d"},
            {"serverContent": {"a": [1.5, None]}, "usageMetadata": {}},
            '{"type": "x", "n": NaN}',
        ),
    ),
    Target("openai_beta_frame", _reading(BETA_CODEC), (wire.InvalidEventError,), _BETA_SEEDS),
    Target(
        "dashscope_frame",
        _reading(dashscope_codec(family_of(""))),
        (wire.InvalidEventError,),
        _BETA_SEEDS,
    ),
    Target(
        "openai_frame_of_a_client",
        lambda data: wire.parse_client_event(_text(data)),
        (wire.InvalidEventError,),
        (
            {"type": "session.update", "session": {"type": "realtime", "instructions": "x"}},
            {"type": "input_audio_buffer.append", "audio": "AAAA"},
            {"type": "response.create", "response": {"instructions": "x"}},
            {
                "type": "conversation.item.create",
                "item": {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "hi"}],
                },
            },
        ),
    ),
    Target(
        "gemini_frame",
        _gemini,
        (wire.InvalidEventError,),
        (
            {
                "serverContent": {
                    "modelTurn": {
                        "parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}}]
                    },
                    "turnComplete": True,
                    "inputTranscription": {"text": "hi"},
                }
            },
            {"toolCall": {"functionCalls": [{"id": "c", "name": "n", "args": {"a": [1]}}]}},
            {"toolCallCancellation": {"ids": ["c"]}},
            {"goAway": {"timeLeft": "5.5s"}, "usageMetadata": {"totalTokenCount": 5}},
            {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}},
        ),
    ),
    Target(
        "agent_process_message",
        lambda data: parse_message(CHILD_MESSAGE, data),
        (LinkBrokenError,),
        (
            {"type": "state", "state": "ready", "at_ms": 1},
            {"type": "ready", "timings_ms": {"total": 1.5}},
            {"type": "command_done", "number": 1, "code": "x", "message": "y"},
            {
                "type": "remember",
                "entry": {"type": "text", "number": 1, "role": "user", "text": "x"},
            },
            {
                "type": "event",
                "event": {"type": "agent_ready", "agent_id": "a", "agent_name": "b"},
            },
        ),
    ),
    Target("session_description", _description, (DescriptionError,), (_SDP,)),
    Target(
        "form_of_a_call",
        lambda data: read_call_offer("multipart/form-data; boundary=b", data, _ABILITIES),
        (RefusedError,),
        (_CALL_FORM,),
    ),
    Target(
        "content_type_of_a_call",
        lambda data: read_call_offer(_text(data), b"v=0", _ABILITIES),
        (RefusedError,),
        ("application/sdp", "Application/SDP; charset=utf-8"),
    ),
    Target("ice_candidate", lambda data: read_candidate(_text(data)), (), (_CANDIDATE,)),
    Target("sctp_packet", count_data_chunks, (PacketError,), (_SCTP,)),
    Target("offer_to_a_connection", feed_offer, (PeerError,), (_SDP,), close),
    Target("rtp_of_a_connection", feed_rtp, (), (_RTP, _RTP_EXTENDED), close),
    Target("rtcp_of_a_connection", feed_rtcp, (), (_RTCP_REPORT, _RTCP_FEEDBACK), close),
    Target(
        "sctp_of_a_connection",
        feed_sctp,
        (),
        (_SCTP_DATA, _SCTP_OPEN, _SCTP[12:], _SCTP_SACK),
        close,
    ),
    Target("datagram_of_a_stranger", feed_datagram, (), (_STUN, _RTP), close),
    Target("image", lambda data: require_image(data, None), (InvalidImageError,), _IMAGES),
    *(
        Target(f"bridge_message_{name}", _bridge(name), (DialectError,), seeds)
        for name, seeds in _BRIDGE_SEEDS.items()
    ),
    Target("room_token", _token, (TokenError,), ("eyJhbGciOiJIUzI1NiJ9.eyJ1aWQiOjd9.c2ln",)),
    Target(
        "event_id",
        lambda data: Streams().reader("demo", _text(data)),
        (UnknownEventIdError,),
        ("agent-1:17", "0"),
    ),
    Target("docstring", lambda data: read_docstring(_text(data)), (), _DOCSTRINGS),
    Target(
        "http_tool_answer", _http_answer, (ToolError,), ('json;utf-8;{"a": 1}', "plain;latin-1;x")
    ),
    Target("bridge_frames", feed_frames, (), _BRIDGE),
    Target("bridge_messages", feed_messages, (), _BRIDGE_MESSAGES),
    Target(
        "bridge_opening",
        lambda data: feed_opening(ParleyDialect(), data),
        (DialectError,),
        (_BRIDGE_CREATE, json.dumps(_BRIDGE_CREATE)),
    ),
    Target("recording_head", WavHead.parse, (NotARecordingError,), ("RIFF", "RF64")),
)


def seed_bytes(seed: Json | str | bytes) -> bytes:
    """A seed as it would come."""
    if isinstance(seed, bytes):
        return seed
    return (seed if isinstance(seed, str) else json.dumps(seed)).encode()
