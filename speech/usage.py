"""Token figures in OpenAI's proportions, so that accounting code can be tried out. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from realtime import struct as wire
from speech.conversation import Kept, message_text

CHARACTERS_PER_TOKEN = 4
_INPUT_MS_PER_TOKEN = 100
_OUTPUT_MS_PER_TOKEN = 50


def text_tokens(text: str) -> int:
    """Roughly the tokens of `text`; at least one unless it is empty."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def input_audio_tokens(audio_ms: int) -> int:
    """Tokens of the user's audio, and of our own once it is context."""
    return audio_ms // _INPUT_MS_PER_TOKEN


def output_audio_tokens(audio_ms: int) -> int:
    """Tokens of generated audio."""
    return audio_ms // _OUTPUT_MS_PER_TOKEN


def input_tokens(instructions: str, context: Iterable[Kept]) -> tuple[int, int]:
    """Text and audio tokens of everything a response starts from."""
    text, audio = text_tokens(instructions), 0
    for kept in context:
        item = kept.item
        if item.type == "message":
            audio += input_audio_tokens(kept.audio_ms)
            text += 0 if kept.audio_ms else text_tokens(message_text(item))
        elif item.type == "function_call":
            text += text_tokens(item.arguments)
        elif item.type == "function_call_output":
            text += text_tokens(item.output)
    return text, audio


def usage(
    *,
    input_text: int,
    input_audio: int,
    output_text: int,
    output_audio: int,
    cached_text: int = 0,
) -> wire.ResponseUsage:
    """The sums and their parts. cached_text: those of the input that the language model knew."""
    given, made = input_text + input_audio, output_text + output_audio
    cached = wire.CachedTokenDetails(text_tokens=cached_text, audio_tokens=0, image_tokens=0)
    return wire.ResponseUsage(
        total_tokens=given + made,
        input_tokens=given,
        output_tokens=made,
        input_token_details=wire.InputTokenDetails(
            text_tokens=input_text,
            audio_tokens=input_audio,
            image_tokens=0,
            cached_tokens=cached_text,
            cached_tokens_details=cached,
        ),
        output_token_details=wire.OutputTokenDetails(
            text_tokens=output_text, audio_tokens=output_audio
        ),
    )
