"""Ask an agent with a WAV file and write its answer: `python -m examples.wav_file in.wav out.wav`."""

import asyncio
import sys
import wave

from parley import Agent, LiveInputQueue

agent = Agent("helper", instructions="Answer in one or two short sentences.")


async def main(question: str, answer: str) -> None:
    queue = LiveInputQueue()
    with wave.open(question) as file:  # PCM16 mono, at any rate
        queue.send_audio(file.readframes(file.getnframes()), file.getframerate())
    queue.close()
    with wave.open(answer, "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        async for event in agent.arealtime(queue):
            if event.type == "audio_delta":
                file.writeframes(event.data)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
