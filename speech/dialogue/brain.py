"""The local model's mind: one reply from what was said."""

from __future__ import annotations

from speech.dialogue.context import Action, Context, Say, open_turns, user_words


def respond(context: Context) -> list[Action]:
    words = user_words(open_turns(context.history))
    return [Say(f"I heard: {words}. I can't help with that yet.")]
