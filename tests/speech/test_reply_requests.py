"""Requests for replies of their own kind, put to the local model through the agent's adapter."""

from __future__ import annotations

import pytest

from realtime import events as ours
from realtime.events import CreateResponse, OutOfBand
from realtime.model import ModelSettings, RealtimeModelConfig, UnsupportedCommandError
from realtime.providers import create_model
from tests.realtime.calls import Call

pytestmark = pytest.mark.speech

ASIDE = OutOfBand("side1")


@pytest.mark.asyncio
async def test_the_local_model_answers_beside_the_conversation_and_forgets_it(port: int) -> None:
    model = create_model("local", "parley-local")
    await model.connect(
        RealtimeModelConfig(
            "parley-local",
            f"ws://127.0.0.1:{port}",
            settings=ModelSettings(turn_detection=False),
        )
    )
    call: Call[None] = Call(model, None)
    await model.send(ours.AddText("Tell me a story."))
    await model.send(CreateResponse())
    story = await call.until(ours.ResponseCreated)
    await model.send(
        CreateResponse(
            input_items=(ours.AddText("2 plus 2"),),
            metadata={"topic": "sum"},
            out_of_band=ASIDE,
        )
    )
    while (done := await call.until(ours.ResponseDone)).out_of_band is None:
        assert done.response_id == story.response_id
    assert (done.status, done.metadata) == (ours.ResponseStatus.COMPLETED, {"topic": "sum"})
    (text,) = [each for each in call.all_of(ours.TextDone) if each.response_id == done.response_id]
    assert text.text == "2 plus 2 is 4."
    voices = {each.response_id for each in call.all_of(ours.AudioDelta)}
    assert done.response_id not in voices, "it is written unless it is to be spoken"

    await model.send(ours.CancelResponse())
    if not any(each.response_id == story.response_id for each in call.all_of(ours.ResponseDone)):
        await call.until(ours.ResponseDone)
    await model.send(CreateResponse("Say exactly: Good day.", output_modality="text"))
    written = await call.until(ours.TextDone)
    await call.until(ours.ResponseDone)
    assert written.text == "Good day."
    await model.send(CreateResponse(voice="alto", out_of_band=OutOfBand("side2")))
    refused = await call.until(ours.ResponseDone)
    assert (refused.status, refused.out_of_band) == (ours.ResponseStatus.FAILED, OutOfBand("side2"))
    assert "voice" in (refused.reason or "")
    with pytest.raises(UnsupportedCommandError):
        await model.send(CreateResponse(metadata={"a": "x" * 513}))
    await model.close()
