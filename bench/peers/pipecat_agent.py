"""Pipecat as its OpenAI Realtime example has it: `python pipecat_agent.py PORT MODEL_URL CALLS`.

Runs on the peers' interpreter, alone: nothing of this project is imported. Offers are taken as
Pipecat's documentation shows for a server of one's own. Differences from the example: no tools, no
metrics, no request for a greeting.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import BackgroundTasks, FastAPI
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioTranscription,
    SemanticTurnDetection,
    SessionProperties,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.request_handler import (
    SmallWebRTCRequest,
    SmallWebRTCRequestHandler,
)
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner

MODEL_URL = sys.argv[2]
app = FastAPI()
handler = SmallWebRTCRequestHandler()


async def run_bot(connection: SmallWebRTCConnection) -> None:
    """One call."""
    transport = SmallWebRTCTransport(
        webrtc_connection=connection,
        params=TransportParams(audio_in_enabled=True, audio_out_enabled=True),
    )
    audio_in = AudioInput(
        transcription=InputAudioTranscription(), turn_detection=SemanticTurnDetection()
    )
    llm = OpenAIRealtimeLLMService(
        api_key="sk-bench",
        base_url=f"{MODEL_URL}/v1/realtime",
        settings=OpenAIRealtimeLLMService.Settings(
            system_instruction="You are a helpful and friendly AI.",
            session_properties=SessionProperties(audio=AudioConfiguration(input=audio_in)),
        ),
    )
    user_aggregator, assistant_aggregator = LLMContextAggregatorPair(LLMContext())
    pipeline = Pipeline(
        [transport.input(), user_aggregator, llm, transport.output(), assistant_aggregator]
    )
    worker = PipelineWorker(pipeline)

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(_transport: Any, _client: Any) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


@app.post("/api/offer")
async def offer(request: SmallWebRTCRequest, background_tasks: BackgroundTasks) -> Any:
    """Answer an offer, and run the call after that."""

    async def on_connection(connection: SmallWebRTCConnection) -> None:
        background_tasks.add_task(run_bot, connection)

    return await handler.handle_web_request(
        request=request, webrtc_connection_callback=on_connection
    )


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
