"""FastRTC as its OpenAI example has it: `python fastrtc_agent.py PORT MODEL_URL CALLS`.

Runs on the peers' interpreter, alone: nothing of this project is imported. Differences from the
example: today's names of the protocol's events, no STUN server, no console, and a reply that the
user interrupts is dropped, as FastRTC's documentation advises.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import Any

import numpy as np
import openai
import uvicorn
from fastapi import FastAPI
from fastrtc import AsyncStreamHandler, Stream, wait_for_item

RATE_HZ = 24_000


class OpenAIHandler(AsyncStreamHandler):
    """One call."""

    def __init__(self, model_url: str) -> None:
        super().__init__(
            expected_layout="mono", output_sample_rate=RATE_HZ, input_sample_rate=RATE_HZ
        )
        self.model_url = model_url
        self.connection: Any = None
        self.output_queue: asyncio.Queue[Any] = asyncio.Queue()

    def copy(self) -> OpenAIHandler:
        """FastRTC asks for one handler per call."""
        return OpenAIHandler(self.model_url)

    async def start_up(self) -> None:
        """Connect to the model, and hand on its audio until it is gone."""
        client = openai.AsyncOpenAI(api_key="sk-bench", websocket_base_url=f"{self.model_url}/v1")
        async with client.realtime.connect(model="gpt-realtime") as connection:
            audio_in: Any = {
                "turn_detection": {"type": "server_vad"},
                "transcription": {"model": "whisper-1", "language": "en"},
            }
            await connection.session.update(
                session={"type": "realtime", "audio": {"input": audio_in}}
            )
            self.connection = connection
            async for event in connection:
                if event.type == "input_audio_buffer.speech_started":
                    self.clear_queue()
                elif event.type == "response.output_audio.delta":
                    pcm = np.frombuffer(base64.b64decode(event.delta), np.int16)
                    await self.output_queue.put((RATE_HZ, pcm.reshape(1, -1)))

    async def receive(self, frame: tuple[int, Any]) -> None:
        """Audio of the user."""
        if self.connection is None:
            return
        audio = base64.b64encode(frame[1].squeeze().tobytes()).decode()
        await self.connection.input_audio_buffer.append(audio=audio)

    async def emit(self) -> Any:
        """Audio for the user, or None after a short wait."""
        return await wait_for_item(self.output_queue)

    async def shutdown(self) -> None:
        """The call has ended."""
        if self.connection is not None:
            await self.connection.close()
            self.connection = None


def main() -> None:
    """Serve until terminated."""
    port, model_url, calls = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    stream = Stream(
        OpenAIHandler(model_url),
        mode="send-receive",
        modality="audio",
        concurrency_limit=calls,
        server_rtc_configuration={"iceServers": []},
    )
    app = FastAPI()
    stream.mount(app)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main()
