"""Pipecat as a cascade on Parley's engines: `python pipecat_cascade.py PORT CHAT_URL`.

Runs on the peers' interpreter; of this project only `speech.engines` is imported, so that both
cascades call the same models in the same way. Everything else is as Pipecat's documentation has it,
with its defaults: Silero VAD (stop_secs 0.2), smart-turn v3 at the end of turns, replies spoken
sentence by sentence. `/call?line=N&end_of_turn=E` is a call on Pipecat's FastAPI WebSocket
transport, which carries PCM16 as it is: 16 kHz to the agent, 24 kHz back. `E` is `smart_turn`, or
`timeout` for the voice activity detection with Pipecat's 0.6 s for more speech.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame, TranscriptionFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

from speech.engines.piper import PiperVoice
from speech.engines.whisper import WhisperRecogniser

PORT, CHAT_URL = int(sys.argv[1]), sys.argv[2]
IN_RATE_HZ = 16_000
RECOGNISER = WhisperRecogniser(threads=2, beam_size=1)
VOICE = PiperVoice()
app = FastAPI()


class WhisperService(SegmentedSTTService):
    """The recogniser, called as Pipecat's own Whisper service calls its model."""

    def __init__(self) -> None:
        super().__init__(settings=STTSettings(model="whisper-tiny.en", language=Language.EN))

    @property
    def wants_wav_segments(self) -> bool:
        """Segments come as PCM."""
        return False

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:
        """Yield the transcript of a segment, unless nothing was said."""
        heard = await asyncio.to_thread(RECOGNISER.transcribe, audio)
        if heard.text:
            yield TranscriptionFrame(heard.text, self._user_id, time_now_iso8601(), Language.EN)


class PiperService(TTSService):
    """The voice, called as Pipecat's own Piper service calls its model."""

    def __init__(self) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model=None, voice="joe", language=None),
        )

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame, None]:
        """Yield the audio of a sentence."""

        async def pieces() -> AsyncIterator[bytes]:
            yield await asyncio.to_thread(VOICE.synthesise, text)

        async for frame in self._stream_audio_frames_from_iterator(
            pieces(), in_sample_rate=VOICE.sample_rate_hz, context_id=context_id
        ):
            yield frame


class PcmSerializer(FrameSerializer):
    """Audio as binary messages, and nothing else."""

    async def serialize(self, frame: Frame) -> bytes | None:
        """Return the agent's audio."""
        return frame.audio if isinstance(frame, OutputAudioRawFrame) else None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        """Return the caller's audio."""
        return InputAudioRawFrame(audio=data, sample_rate=IN_RATE_HZ, num_channels=1)


def user_params(end_of_turn: str) -> LLMUserAggregatorParams:
    """Return how turns begin and end."""
    params = LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    if end_of_turn == "timeout":
        params.user_turn_strategies = UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy()])
    return params


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer once the models are loaded."""
    return {}


@app.websocket("/call")
async def call(websocket: WebSocket, line: int, end_of_turn: str) -> None:
    """One call."""
    await websocket.accept()
    transport = FastAPIWebsocketTransport(
        websocket=websocket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, serializer=PcmSerializer()
        ),
    )
    llm = OpenAILLMService(
        api_key="sk-bench",
        base_url=CHAT_URL,
        settings=OpenAILLMService.Settings(
            model="scripted", system_instruction=f"You answer on line {line}."
        ),
    )
    user_aggregator, assistant_aggregator = LLMContextAggregatorPair(
        LLMContext(), user_params=user_params(end_of_turn)
    )
    pipeline = Pipeline(
        [
            transport.input(),
            WhisperService(),
            user_aggregator,
            llm,
            PiperService(),
            transport.output(),
            assistant_aggregator,
        ]
    )
    worker = PipelineWorker(pipeline)

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(_transport: Any, _client: Any) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error")
