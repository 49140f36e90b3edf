"""Turn policy of an agent with its model: which side detects turns, interrupts and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from config.agent import AgentConfig
from conversation.turn_taking.end_of_turn import settled_after_s
from conversation.turn_taking.interrupt_policy import InterruptMode, provider_turn_detection
from realtime.model import Capabilities


@dataclass(slots=True)
class TurnPolicy:
    """Effective turn taking, from the agent's settings and the model's capabilities. All parts of a
    session share one object, so that `adopt` changes it for all of them.

    mode: `immediate` wherever the model cannot leave its reactions to speech to the agent
    provider_detection: the model's turn detection, as in `realtime.model.ModelSettings`
    is_manual: clients mark turns themselves
    is_answering: the agent asks for each reply; otherwise the provider or the client does
    settled_after_s: a silence of this length ends every turn before it; None: turns end by hand
    """

    mode: InterruptMode
    provider_detection: Mapping[str, Any] | bool | None
    is_manual: bool
    is_answering: bool
    settled_after_s: float | None

    @classmethod
    def of(cls, config: AgentConfig, capabilities: Capabilities) -> TurnPolicy:
        """Return the policy of an agent."""
        wanted = config.turn_detection or {}
        can_leave = capabilities.has_turn_control
        mode = config.interrupt.mode if can_leave else InterruptMode.IMMEDIATE
        is_manual = wanted.get("type") == "none"
        detection = provider_turn_detection(config.turn_detection, mode)
        is_ours = mode is not InterruptMode.IMMEDIATE and not is_manual
        return cls(
            mode=mode,
            provider_detection=detection,
            is_manual=is_manual,
            is_answering=is_ours and wanted.get("create_response") is not False,
            settled_after_s=settled_after_s(detection),
        )

    def leaves_answers(self, capabilities: Capabilities) -> bool:
        """Return true if no turn is answered without a request of the agent or its clients."""
        return capabilities.has_turn_control and (self.is_manual or self.is_judging)

    def adopt(self, other: TurnPolicy) -> None:
        """Take over all fields of `other`."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))

    @property
    def is_judging(self) -> bool:
        """True if the agent decides what counts as an interruption."""
        return self.mode is not InterruptMode.IMMEDIATE and not self.is_manual

    @property
    def is_every_turn_answered(self) -> bool:
        """True if speech is meant to get a reply without a request of the client."""
        detection = self.provider_detection
        does_provider = not isinstance(detection, Mapping) or detection.get("create_response", True)
        return not self.is_manual and (self.is_answering or bool(does_provider))

    @property
    def does_provider_interrupt(self) -> bool:
        """True if the provider itself cuts a reply when the user speaks."""
        if self.is_judging or self.is_manual:
            return False
        detection = self.provider_detection
        return not isinstance(detection, Mapping) or bool(detection.get("interrupt_response", True))
