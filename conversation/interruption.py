"""When speech over a reply counts: the policy of an agent, and what it means to a provider. Pure.

`confirm`, the default: the voice pauses at once, so a real interruption feels as fast as it ever
could, and only what the pause turns out to be is decided: the reply is cut for good when words are
recognised that mean something, or when the speech goes on; a cough, a "mhm" or the agent's own
echo lets it go on at the very sample where it stopped. The provider must leave both to us, since
one that cancels at the first sound has nothing left to go on with: `interrupt_response` and
`create_response` are off, and one side only, ours, ever asks for a reply. That costs a network
round trip per turn; `immediate` leaves everything to the provider and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from conversation.backchannel import Backchannels, words_of
from conversation.echo import is_echo


class InterruptMode(StrEnum):
    """immediate: any speech cuts · confirm: pause, then decide · never: nobody cuts the agent."""

    IMMEDIATE = "immediate"
    CONFIRM = "confirm"
    NEVER = "never"


class InterruptPolicy(BaseModel):
    """What counts as an interruption."""

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


class Cause(StrEnum):
    """Why speech over a reply did or did not count."""

    WORDS = "words"
    LENGTH = "length"
    NOISE = "noise"
    BACKCHANNEL = "backchannel"
    FEW_WORDS = "few_words"
    ECHO = "echo"
    SHORT = "short"
    UNCONFIRMED = "unconfirmed"


CUTS = frozenset({Cause.WORDS, Cause.LENGTH})


@dataclass(frozen=True, slots=True)
class Decision:
    """The doubt is over. items: the turns it was about."""

    cause: Cause
    item_ids: tuple[str, ...] = ()

    @property
    def is_cut(self) -> bool:
        """Whether the reply is over; else it goes on."""
        return self.cause in CUTS


class WordJudge:
    """What the words of a turn that was spoken over a reply amount to."""

    def __init__(self, policy: InterruptPolicy, language: str) -> None:
        self._min_words = policy.min_words
        self._backchannels = Backchannels(language, policy.backchannels)

    def judge(self, transcript: str, *, spoken: str) -> Cause:
        """`WORDS` when they count. spoken: what the agent said up to now."""
        words = words_of(transcript)
        if not words:
            return Cause.NOISE
        meant = self._backchannels.meant(words)
        if not meant:
            return Cause.BACKCHANNEL
        if is_echo(words, spoken):
            return Cause.ECHO
        return Cause.WORDS if len(words) >= self._min_words else Cause.FEW_WORDS


def provider_turn_detection(
    wanted: Mapping[str, Any] | None, mode: InterruptMode
) -> Mapping[str, Any] | bool | None:
    """The provider's turn detection for an agent's: `False` for none; None leaves its default.

    wanted: as in `POST /start_agent`; its type `none` means manual turns
    """
    if wanted is not None and wanted.get("type") == "none":
        return False
    if mode is InterruptMode.IMMEDIATE:
        return wanted
    chosen = wanted if wanted is not None else {"type": "server_vad"}
    return {**chosen, "create_response": False, "interrupt_response": False}
