"""How turns are taken with this agent and this model: who detects them, who cuts, who answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from config import AgentConfig
from conversation.interruption import InterruptMode, provider_turn_detection
from realtime.model import Capabilities


@dataclass(slots=True)
class TurnPolicy:
    """What an agent's settings come to with what its model can do. All parts of a session share one
    object, so that `adopt` changes it for all of them.

    mode: `immediate` wherever the model keeps its reactions to speech to itself
    provider_detection: the model's turn detection, as in `realtime.model.ModelSettings`
    is_manual: people say themselves when they speak
    is_answering: we ask for each reply; else the provider or the client does
    """

    mode: InterruptMode
    provider_detection: Mapping[str, Any] | bool | None
    is_manual: bool
    is_answering: bool

    @classmethod
    def of(cls, config: AgentConfig, capabilities: Capabilities) -> TurnPolicy:
        """The policy of an agent."""
        wanted = config.turn_detection or {}
        can_leave = capabilities.has_turn_control
        mode = config.interrupt.mode if can_leave else InterruptMode.IMMEDIATE
        is_manual = wanted.get("type") == "none"
        is_ours = mode is not InterruptMode.IMMEDIATE and not is_manual
        return cls(
            mode=mode,
            provider_detection=provider_turn_detection(config.turn_detection, mode),
            is_manual=is_manual,
            is_answering=is_ours and wanted.get("create_response") is not False,
        )

    def adopt(self, other: TurnPolicy) -> None:
        """Be like `other` from now on."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))

    @property
    def is_judging(self) -> bool:
        """Whether we decide what counts as an interruption."""
        return self.mode is not InterruptMode.IMMEDIATE and not self.is_manual

    @property
    def is_every_turn_answered(self) -> bool:
        """Whether what people say is meant to get a reply without their programs asking for one."""
        detection = self.provider_detection
        does_provider = not isinstance(detection, Mapping) or detection.get("create_response", True)
        return not self.is_manual and (self.is_answering or bool(does_provider))

    @property
    def does_provider_interrupt(self) -> bool:
        """Whether the provider itself ends a reply when somebody speaks."""
        if self.is_judging or self.is_manual:
            return False
        detection = self.provider_detection
        return not isinstance(detection, Mapping) or bool(detection.get("interrupt_response", True))
