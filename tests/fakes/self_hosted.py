"""Self-hosted Realtime servers, as their published sources send events. Uses nothing of ours.

Each asks for the weather by a tool when a reply is requested, and tells the tool's result when the next
one is. `interrupt` speaks over a long reply. Written from:
LocalAI `core/http/endpoints/openai/realtime.go` and `realtime_stream.go` (August 2026);
speech-to-speech `src/speech_to_speech/api/openai_realtime/handlers` (August 2026);
vLLM-Omni `vllm_omni/entrypoints/openai/realtime/connection.py`;
speaches `src/speaches/realtime/response_event_router.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

PCM = bytes(range(256)) * 4
SOUND = base64.b64encode(PCM).decode()
TOOL, ARGUMENTS = "get_weather", '{"city": "Bern"}'
REPORT = "It is raining in Bern."
LONG = "This is going to be a long story."

Send = Callable[..., Awaitable[None]]
Frame = dict[str, Any]


class SelfHosted:
    """What they have in common: a request for a reply is answered by a call, the next one in words."""

    provider: ClassVar[str] = "openai-compatible"

    def __init__(self) -> None:
        self.received: list[Frame] = []
        self.replies = 0

    async def open(self, send: Send) -> None:
        await send("session.created", event_id="event_1", session={"type": "realtime", "id": "s"})

    async def handle(self, message: Frame, send: Send) -> None:
        """React to a client's message."""
        self.received.append(message)
        match message["type"]:
            case "session.update":
                await self.update(message["session"], send)
            case "conversation.item.create":
                await self.acknowledge(message, send)
            case "response.create":
                self.replies += 1
                await (self.call(send) if self.replies == 1 else self.say(REPORT, send))

    async def update(self, session: Frame, send: Send) -> None:
        await send("session.updated", event_id="event_2", session=session | {"type": "realtime"})

    async def acknowledge(self, message: Frame, send: Send) -> None:
        raise NotImplementedError

    async def call(self, send: Send) -> None:
        raise NotImplementedError

    async def say(self, words: str, send: Send) -> None:
        raise NotImplementedError

    async def interrupt(self, send: Send) -> None:
        """Begin a long reply, hear the user, and cut it."""
        raise NotImplementedError


class LocalAi(SelfHosted):
    """Streams the transcript first and the sound after it; a reply that fails has no end."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False

    async def acknowledge(self, message: Frame, send: Send) -> None:
        item = message["item"] | {"id": message["item"].get("id") or "item_u"}
        await send("conversation.item.added", event_id=message.get("event_id", ""), item=item)

    async def call(self, send: Send) -> None:
        response = {"id": "aa11", "object": "realtime.response"}
        await send("response.created", response=response | {"status": "in_progress"})
        item = {"type": "function_call", "id": "item_c", "call_id": "call_ab", "name": TOOL}
        item |= {"arguments": ARGUMENTS, "status": "completed"}
        where = {"response_id": "aa11", "output_index": 0}
        inside = where | {"item_id": "item_c", "call_id": "call_ab"}
        await send("response.output_item.added", **where, item=item)
        await send("response.function_call_arguments.delta", **inside, delta=ARGUMENTS)
        done = {"arguments": ARGUMENTS, "name": TOOL}
        await send("response.function_call_arguments.done", **inside, **done)
        await send("response.output_item.done", **where, item=item)
        await send("response.done", response=response | {"status": "completed", "output": [item]})

    async def say(self, words: str, send: Send) -> None:
        response = {"id": "bb22", "object": "realtime.response"}
        await send("response.created", response=response | {"status": "in_progress"})
        item, inside = await self._begin("bb22", words, send)
        if self.fails:
            # `event_id` is that of no event: the item's, or empty.
            error = {"type": "invalid_request_error", "code": "tts_error", "message": "no voice"}
            await send("error", event_id="item_d", error=error | {"event_id": "item_d"})
            return
        await send("response.output_audio.delta", **inside, delta=SOUND)
        await send("response.output_audio_transcript.done", **inside, transcript=words)
        await send("response.output_audio.done", **inside)
        part = {"type": "output_audio", "transcript": words, "audio": SOUND}
        await send("response.content_part.done", **inside, part=part)
        item |= {"status": "completed", "content": [part]}
        where = {"response_id": "bb22", "output_index": 0}
        await send("response.output_item.done", **where, item=item)
        usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
        done = {"status": "completed", "output": [item], "usage": usage}
        await send("response.done", response=response | done)

    async def interrupt(self, send: Send) -> None:
        response = {"id": "cc33", "object": "realtime.response"}
        await send("response.created", response=response | {"status": "in_progress"})
        _, inside = await self._begin("cc33", LONG, send)
        await send("response.output_audio.delta", **inside, delta=SOUND)
        await send("input_audio_buffer.speech_started", event_id="event_TODO", audio_start_ms=900)
        await send("response.done", response=response | {"status": "cancelled"})

    async def _begin(self, response_id: str, words: str, send: Send) -> tuple[Frame, Frame]:
        item: Frame = {"type": "message", "role": "assistant", "id": "item_d"}
        item |= {"status": "in_progress", "content": [{"type": "output_audio"}]}
        where = {"response_id": response_id, "output_index": 0}
        inside = where | {"item_id": "item_d", "content_index": 0}
        await send("response.output_item.added", **where, item=item)
        await send("response.content_part.added", **inside, part=item["content"][0])
        for word in words.split(" "):
            await send("response.output_audio_transcript.delta", **inside, delta=f"{word} ")
        return item, inside


class SpeechToSpeech(SelfHosted):
    """Items of spoken replies are never announced; texts are acknowledged in the beta's words."""

    async def acknowledge(self, message: Frame, send: Send) -> None:
        item = message["item"]
        await send("conversation.item.created", event_id="e", item=item, previous_item_id="item_x")

    async def call(self, send: Send) -> None:
        response = {"id": "resp_1", "object": "realtime.response", "status": "in_progress"}
        await send("response.created", event_id="e", response=response | {"output": None})
        item = {"type": "function_call", "object": "realtime.item", "id": "fc_1"}
        item |= {"call_id": "call_1", "name": TOOL}
        where = {"response_id": "resp_1", "output_index": 0}
        begun = item | {"arguments": "", "status": "in_progress"}
        await send("response.output_item.added", event_id="e", **where, item=begun)
        done = {"call_id": "call_1", "name": TOOL, "arguments": ARGUMENTS, "item_id": "fc_1"}
        # No deltas: the arguments are complete at once.
        await send("response.function_call_arguments.done", event_id="e", **where, **done)
        ended = item | {"arguments": ARGUMENTS, "status": "completed"}
        await send("response.output_item.done", event_id="e", **where, item=ended)
        final = response | {"status": "completed", "output": [ended]}
        await send("response.done", event_id="e", response=final)

    async def say(self, words: str, send: Send) -> None:
        response = {"id": "resp_2", "object": "realtime.response", "output": None}
        await send("response.created", event_id="e", response=response | {"status": "in_progress"})
        inside = {"response_id": "resp_2", "item_id": "item_2", "output_index": 0}
        inside |= {"content_index": 0}
        await send("response.output_audio_transcript.delta", event_id="e", **inside, delta=words)
        await send("response.output_audio.delta", event_id="e", **inside, delta=SOUND)
        # Counted up within a part, as if each piece were one.
        later = inside | {"content_index": 1}
        await send("response.output_audio.delta", event_id="e", **later, delta=SOUND)
        await send("response.output_audio.done", event_id="e", **inside)
        kind = "response.output_audio_transcript.done"
        await send(kind, event_id="e", **inside, transcript=words)
        await send("response.done", event_id="e", response=response | {"status": "completed"})

    async def interrupt(self, send: Send) -> None:
        response = {"id": "resp_3", "object": "realtime.response", "output": None}
        await send("response.created", event_id="e", response=response | {"status": "in_progress"})
        inside = {"response_id": "resp_3", "item_id": "item_3", "output_index": 0}
        inside |= {"content_index": 0}
        await send("response.output_audio_transcript.delta", event_id="e", **inside, delta=LONG)
        await send("response.output_audio.delta", event_id="e", **inside, delta=SOUND)
        # The end comes before what brought it about.
        await send("response.output_audio.done", event_id="e", **inside)
        kind = "response.output_audio_transcript.done"
        await send(kind, event_id="e", **inside, transcript=LONG)
        details = {"type": "cancelled", "reason": "turn_detected"}
        end = {"status": "cancelled", "status_details": details}
        await send("response.done", event_id="e", response=response | end)
        started = {"audio_start_ms": 900, "item_id": "item_4"}
        await send("input_audio_buffer.speech_started", event_id="e", **started)


class VllmOmni(SelfHosted):
    """A call comes beside an empty message that is gone in the end; the user's words never come."""

    async def open(self, send: Send) -> None:
        await super().open(send)
        conversation = {"id": "conv_1", "object": "realtime.conversation"}
        await send("conversation.created", event_id="evt", conversation=conversation)

    async def update(self, session: Frame, send: Send) -> None:
        detection = session.get("audio", {}).get("input", {}).get("turn_detection") or {}
        if detection.get("type", "server_vad") != "server_vad":
            text = "Only server_vad turn detection is supported"
            error = {"type": "invalid_request_error", "code": "unsupported_turn_detection"}
            await send("error", event_id="evt", error=error | {"message": text})
            return
        await super().update(session, send)

    async def acknowledge(self, message: Frame, send: Send) -> None:
        for kind in ("conversation.item.added", "conversation.item.done"):
            await send(kind, event_id="evt", previous_item_id=None, item=message["item"])

    async def call(self, send: Send) -> None:
        inside = await self._begin("resp_1", "item_1", send)
        call = {"type": "function_call", "id": "item_c", "call_id": "call_1", "name": TOOL}
        where = {"response_id": "resp_1", "output_index": 1}
        begun = call | {"arguments": "", "status": "in_progress"}
        await send("response.output_item.added", event_id="evt", **where, item=begun)
        named = where | {"item_id": "item_c", "call_id": "call_1"}
        for piece in (ARGUMENTS[:5], ARGUMENTS[5:]):
            await send(
                "response.function_call_arguments.delta", event_id="evt", **named, delta=piece
            )
        await self._end_message("resp_1", inside, "", send, status="completed")
        done = {"name": TOOL, "arguments": ARGUMENTS}
        await send("response.function_call_arguments.done", event_id="evt", **named, **done)
        ended = call | {"arguments": ARGUMENTS, "status": "completed"}
        await send("response.output_item.done", event_id="evt", **where, item=ended)
        for kind in ("conversation.item.added", "conversation.item.done"):
            await send(kind, event_id="evt", previous_item_id="item_u", item=ended)
        await self._end("resp_1", "completed", [ended], send)

    async def say(self, words: str, send: Send) -> None:
        inside = await self._begin("resp_2", "item_2", send)
        await send("response.output_audio_transcript.delta", event_id="evt", **inside, delta=words)
        await send("response.output_audio.delta", event_id="evt", **inside, delta=SOUND)
        item = await self._end_message("resp_2", inside, words, send, status="completed")
        await self._end("resp_2", "completed", [item], send)

    async def interrupt(self, send: Send) -> None:
        inside = await self._begin("resp_3", "item_3", send)
        await send("response.output_audio_transcript.delta", event_id="evt", **inside, delta=LONG)
        await send("response.output_audio.delta", event_id="evt", **inside, delta=SOUND)
        started = {"audio_start_ms": 900, "item_id": "item_4"}
        await send("input_audio_buffer.speech_started", event_id="evt", **started)
        item = await self._end_message("resp_3", inside, LONG, send, status="incomplete")
        # Cut by the user, but said to be the client's doing.
        await self._end("resp_3", "cancelled", [item], send, reason="client_cancelled")

    async def _begin(self, response_id: str, item_id: str, send: Send) -> Frame:
        response = {"id": response_id, "object": "realtime.response", "status": "in_progress"}
        await send("response.created", event_id="evt", response=response | {"output": []})
        item = {"type": "message", "role": "assistant", "id": item_id, "status": "in_progress"}
        where = {"response_id": response_id, "output_index": 0}
        await send(
            "response.output_item.added", event_id="evt", **where, item=item | {"content": []}
        )
        inside = where | {"item_id": item_id, "content_index": 0}
        part = {"type": "audio", "text": "", "audio": "", "transcript": ""}
        await send("response.content_part.added", event_id="evt", **inside, part=part)
        return inside

    async def _end_message(
        self, response_id: str, inside: Frame, words: str, send: Send, *, status: str
    ) -> Frame:
        await send("response.output_audio.done", event_id="evt", **inside)
        kind = "response.output_audio_transcript.done"
        await send(kind, event_id="evt", **inside, transcript=words)
        part = {"type": "audio", "text": "", "transcript": words}
        await send("response.content_part.done", event_id="evt", **inside, part=part)
        item = {"type": "message", "role": "assistant", "id": inside["item_id"], "status": status}
        item |= {"content": [{"type": "output_audio", "transcript": words}]}
        where = {"response_id": response_id, "output_index": 0}
        await send("response.output_item.done", event_id="evt", **where, item=item)
        return item

    async def _end(
        self, response_id: str, status: str, output: list[Frame], send: Send, *, reason: str = ""
    ) -> None:
        response: Frame = {"id": response_id, "object": "realtime.response", "status": status}
        usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
        response |= {"output": output, "usage": usage}
        if reason:
            response["status_details"] = {"type": status, "reason": reason}
        await send("response.done", event_id="evt", response=response)


class Speaches(SelfHosted):
    """The old dialect: the end of a call's arguments has no name; nothing has an index."""

    provider = "openai-beta"

    async def acknowledge(self, message: Frame, send: Send) -> None:
        await send("conversation.item.created", event_id="event_4", item=message["item"])

    async def call(self, send: Send) -> None:
        response = {"id": "resp_1", "status": "incomplete", "output": []}
        await send("response.created", event_id="event_5", response=response)
        item = {"type": "function_call", "id": "item_c", "call_id": "call_1", "name": TOOL}
        # What has come of the arguments by then is in the item already.
        begun = item | {"arguments": ARGUMENTS[:4], "status": "incomplete"}
        await send("response.output_item.added", event_id="e", response_id="resp_1", item=begun)
        await send("conversation.item.created", event_id="e", item=begun)
        inside = {"response_id": "resp_1", "item_id": "item_c", "call_id": "call_1"}
        rest = ARGUMENTS[4:]
        await send("response.function_call_arguments.delta", event_id="e", **inside, delta=rest)
        done = inside | {"arguments": ARGUMENTS}
        await send("response.function_call_arguments.done", event_id="e", **done)
        ended = item | {"arguments": ARGUMENTS, "status": "completed"}
        await send("response.output_item.done", event_id="e", response_id="resp_1", item=ended)
        final = response | {"status": "completed", "output": [ended]}
        await send("response.done", event_id="e", response=final)

    async def say(self, words: str, send: Send) -> None:
        inside = await self._begin("resp_2", words, send)
        await send("response.audio.done", event_id="e", **inside)
        await send("response.audio_transcript.done", event_id="e", **inside, transcript=words)
        await self._end("resp_2", "completed", words, send)

    async def interrupt(self, send: Send) -> None:
        await self._begin("resp_3", LONG, send)
        await send("input_audio_buffer.speech_started", event_id="e", audio_start_ms=9, item_id="u")
        await self._end("resp_3", "cancelled", LONG, send)

    async def _begin(self, response_id: str, words: str, send: Send) -> Frame:
        response = {"id": response_id, "status": "incomplete", "output": []}
        await send("response.created", event_id="e", response=response)
        item: Frame = {"type": "message", "role": "assistant", "id": "item_d", "content": []}
        item |= {"status": "incomplete"}
        await send("response.output_item.added", event_id="e", response_id=response_id, item=item)
        inside = {"response_id": response_id, "item_id": "item_d"}
        await send("response.audio_transcript.delta", event_id="e", **inside, delta=words)
        await send("response.audio.delta", event_id="e", **inside, delta=SOUND)
        return inside

    async def _end(self, response_id: str, status: str, words: str, send: Send) -> None:
        part = {"type": "audio", "transcript": words}
        item = {"type": "message", "role": "assistant", "id": "item_d", "content": [part]}
        item |= {"status": "completed" if status == "completed" else "incomplete"}
        await send("response.output_item.done", event_id="e", response_id=response_id, item=item)
        response = {"id": response_id, "status": status, "output": [item]}
        await send("response.done", event_id="e", response=response)
