"""Policy for speech over a reply, and the turn detection that it needs from a provider. Pure.

`confirm`, the default: the voice pauses at once, so that a real interruption is as fast as with any
other mode, and the decision follows. The reply is cut for good when words with a meaning are
recognised or the speech goes on; after a cough, a "mhm" or the agent's own echo it resumes at the
very sample where it paused. The provider must leave both to the agent, since one that cancels at
the first sound has nothing left to resume: `interrupt_response` and `create_response` are off, and
the agent alone asks for replies. That costs a network round trip per turn; `immediate` leaves
everything to the provider and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from conversation.turn_taking.backchannel import Backchannels, words_of
from conversation.turn_taking.echo import is_echo


class InterruptMode(StrEnum):
    """immediate: any speech cuts. confirm: pause, then decide. never: no speech cuts."""

    IMMEDIATE = "immediate"
    CONFIRM = "confirm"
    NEVER = "never"


class InterruptScope(StrEnum):
    """Parts of a reply that an interruption by a program or a person's button ends."""

    ALL = "all"
    PLAYBACK = "playback"
    GENERATION = "generation"


class InterruptPolicy(BaseModel):
    """Rules for what counts as an interruption."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: InterruptMode = InterruptMode.CONFIRM
    min_duration_ms: int = Field(
        default=500,
        ge=0,
        le=10_000,
        description="speech as long as this counts although its words are not known",
    )
    min_words: int = Field(
        default=1, ge=1, le=20, description="recognised words needed, backchannels not counted"
    )
    sure_after_ms: int = Field(
        default=1_000,
        ge=100,
        le=10_000,
        description="speech that lasts this long counts before its words are known",
    )
    words_timeout_ms: int = Field(
        default=800,
        ge=0,
        le=10_000,
        description="how long after the speech its words are waited for",
    )
    backchannels: tuple[str, ...] = Field(
        default=(), max_length=200, description='further phrases like "mhm", any language'
    )


class InterruptCause(StrEnum):
    """Reason why speech over a reply did or did not count."""

    WORDS = "words"
    LENGTH = "length"
    NOISE = "noise"
    BACKCHANNEL = "backchannel"
    FEW_WORDS = "few_words"
    ECHO = "echo"
    SHORT = "short"
    UNCONFIRMED = "unconfirmed"


CUTS = frozenset({InterruptCause.WORDS, InterruptCause.LENGTH})


@dataclass(frozen=True, slots=True)
class Decision:
    """End of a pending interruption. item_ids: the turns that it was about."""

    cause: InterruptCause
    item_ids: tuple[str, ...] = ()

    @property
    def is_cut(self) -> bool:
        """True if the reply is cut; otherwise it goes on."""
        return self.cause in CUTS


class TranscriptClassifier:
    """Classifies the words of a turn that was spoken over a reply."""

    def __init__(self, policy: InterruptPolicy, language: str) -> None:
        self._min_words = policy.min_words
        self._backchannels = Backchannels(language, policy.backchannels)

    def classify(self, transcript: str, *, spoken: str) -> InterruptCause:
        """Return `WORDS` if the words count, otherwise the reason why not. spoken: the agent's
        words up to now.
        """
        words = words_of(transcript)
        if not words:
            return InterruptCause.NOISE
        meant = self._backchannels.meant(words)
        if not meant:
            return InterruptCause.BACKCHANNEL
        if is_echo(words, spoken):
            return InterruptCause.ECHO
        return InterruptCause.WORDS if len(words) >= self._min_words else InterruptCause.FEW_WORDS


def provider_turn_detection(
    wanted: Mapping[str, Any] | None, mode: InterruptMode
) -> Mapping[str, Any] | bool | None:
    """Return the provider's turn detection for an agent's: false for none; None: the default.

    wanted: as in `POST /start_agent`; its type `none` means manual turns
    """
    if wanted is not None and wanted.get("type") == "none":
        return False
    if mode is InterruptMode.IMMEDIATE:
        return wanted
    chosen = wanted if wanted is not None else {"type": "server_vad"}
    return {**chosen, "create_response": False, "interrupt_response": False}
