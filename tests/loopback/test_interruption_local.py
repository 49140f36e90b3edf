"""The same with the real local model: it hears real voices, and a "uh-huh" is no "stop"."""

from __future__ import annotations

import pytest

from tests.loopback.provider_sides import local
from tests.loopback.stage import Person, Stage
from tests.speech.talk import spoken, utterance

# However long a busy machine takes to understand them.
WORDS_DECIDE = {"words_timeout_ms": 10_000, "sure_after_ms": 10_000}


def say(person: Person, pcm: bytes) -> None:
    person.channel.push_audio_frame(pcm, key=object())


@pytest.mark.speech
@pytest.mark.timeout(180)
@pytest.mark.asyncio
async def test_uh_huh_lets_the_story_go_on_and_stop_stops_it() -> None:
    # Made beforehand: it takes long, and the call would stand still meanwhile.
    uh_huh = spoken("Uh huh.")
    question, stop = utterance("u18_f"), utterance("u10_f")
    async with local() as model, Stage() as stage:
        await stage.run_until_ready(provider=model.config, interrupt=WORDS_DECIDE)
        person = await stage.join()
        say(person, question)
        await person.wait_event("agent_input_transcription_done")
        await person.wait_loud(1500)
        say(person, uh_huh)
        await person.wait_event("agent_paused")
        resumed = await person.wait_event("agent_resumed")
        assert resumed["cause"] == "backchannel"
        heard_ms = person.loud_ms
        await person.wait_loud(heard_ms + 1500)
        assert not [e for e in person.events if e["type"] == "agent_interrupted"]
        say(person, stop)
        interrupted = await person.wait_event("agent_interrupted")
        assert len(interrupted["heard"].split()) > 5
        order = await person.wait_event("agent_input_transcription_done", 3)
        assert (order["transcript"].lower().strip(" ."), order["uid"]) == ("stop", 7)
        # The order is answered, the "uh-huh" was not.
        await person.wait_event("agent_response_created", 2)
        assert len([e for e in person.events if e["type"] == "agent_response_created"]) == 2
