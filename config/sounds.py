"""`Sounds`: what people hear of an agent besides its replies, as a definition or a start chooses it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from conversation.idle_prompts import IdleRules
from conversation.phrases import ANY_LANGUAGE

SOUND_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MAX_PHRASES: Final = 20
MAX_PHRASE_CHARACTERS: Final = 200
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")

SoundName = Annotated[str, Field(pattern=SOUND_PATTERN, description="a sound of the server's")]


def _by_language(value: Any) -> Any:
    """Read a text, a list of texts, or either of them by language."""
    if isinstance(value, str) or (
        isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    ):
        value = {ANY_LANGUAGE: value}
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004 - what pydantic reports
            "give a text, a list of texts, or one of these for each language"
        )
    read: dict[str, tuple[str, ...]] = {}
    for language, given in value.items():
        if language != ANY_LANGUAGE and not _LANGUAGE.fullmatch(str(language)):
            raise ValueError(f"{str(language)[:20]!r} is no language tag, such as en or pt-BR")
        read[str(language).lower()] = _texts(given)
    return read


def _texts(given: Any) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else given
    if (
        not isinstance(texts, list | tuple)
        or not 0 < len(texts) <= MAX_PHRASES
        or not all(
            isinstance(each, str) and 0 < len(each.strip()) <= MAX_PHRASE_CHARACTERS
            for each in texts
        )
    ):
        raise ValueError(
            f"give 1 to {MAX_PHRASES} texts of 1 to {MAX_PHRASE_CHARACTERS} characters"
        )
    return tuple(texts)


_TEXT_OR_TEXTS: Final = [
    {"type": "string", "maxLength": MAX_PHRASE_CHARACTERS},
    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_PHRASES},
]
_SHAPE: Final = WithJsonSchema(
    {
        "anyOf": [
            *_TEXT_OR_TEXTS,
            {"type": "object", "additionalProperties": {"anyOf": _TEXT_OR_TEXTS}},
        ],
        "description": "a text, a list that is gone through, or either by language tag",
    },
    mode="validation",
)

SpokenPhrases = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_by_language), _SHAPE]
SoundNames = Annotated[dict[str, tuple[SoundName, ...]], BeforeValidator(_by_language), _SHAPE]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IdlePrompts(_Part):
    """Questions to a person who is silent, then the end of the call.

    say, instructions: the words, or what the model is to ask in its own; neither: a phrase of ours
    sound: a sound in place of words
    """

    after_s: float = Field(default=15.0, ge=1, le=600, description="silence before the first")
    times: int = Field(default=2, ge=1, le=10, description="questions before the end")
    growth: float = Field(
        default=1.0, ge=1, le=4, description="each further silence is so many times as long"
    )
    say: SpokenPhrases = Field(default={}, description="words, by language if need be")
    instructions: str | None = Field(default=None, min_length=1, max_length=2_000)
    sound: SoundName | None = None
    level_db: float = Field(default=-6.0, ge=-60, le=0, description="of the sound")
    goodbye: SpokenPhrases = Field(
        default={}, description="words at the end; absent: `goodbye` of the agent, else ours"
    )

    @model_validator(mode="after")
    def _check_words(self) -> IdlePrompts:
        if (bool(self.say) + bool(self.instructions) + bool(self.sound)) > 1:
            raise ValueError("give one of say, instructions and sound")
        return self

    @property
    def rules(self) -> IdleRules:
        """The times at which they are due."""
        return IdleRules(self.after_s, self.times, self.growth)


class ThinkingSound(_Part):
    """A sign that a tool is at work. A phrase comes first, then the sound.

    phrases: said by the model where it can speak outside of the conversation
    phrase_sounds: recorded phrases, for models that cannot
    """

    after_s: float = Field(default=1.0, ge=0.1, le=60, description="silence before it")
    sound: SoundName | None = Field(default="typing", description="looped; null: none")
    level_db: float = Field(default=-12.0, ge=-60, le=0)
    phrases: SpokenPhrases = {}
    phrase_sounds: SoundNames = {}


class BackgroundSound(_Part):
    """A sound under the agent's voice, during the whole call."""

    sound: SoundName
    level_db: float = Field(default=-12.0, ge=-60, le=0, description="while the agent is silent")
    duck_db: float = Field(default=-10.0, ge=-60, le=0, description="less while the agent speaks")


class Sounds(_Part):
    """All sounds besides replies. None: nothing of that kind.

    normalise: bring the agent's voice to one loudness
    """

    idle: IdlePrompts | None = None
    thinking: ThinkingSound | None = None
    background: BackgroundSound | None = None
    normalise: bool = False

    def over(self, lower: Sounds | None) -> Sounds:
        """Return this choice, and that of `lower` for each part that was not given here."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return self if lower is None else lower.model_copy(update=given)

    def sound_names(self) -> set[str]:
        """Return the sounds that it takes."""
        names = {part.sound for part in (self.idle, self.thinking, self.background) if part}
        phrases = () if self.thinking is None else self.thinking.phrase_sounds.values()
        return {name for name in names if name} | {name for each in phrases for name in each}
