"""The agent's voice on its way to the line: as the model gave it, or brought to one loudness."""

from __future__ import annotations

from line.sounds.loudness import Normaliser
from realtime.group.model import GroupModel
from session.context import SessionContext


class VoiceOutput:
    """Pushes audio of replies; a piece keeps its length, and so every position its meaning."""

    def __init__(self, context: SessionContext) -> None:
        self._line = context.line
        self._model = context.model
        self._is_normalised = context.config.sounds.normalise
        # One for each agent of a conversation: their voices differ.
        self._normalisers: dict[str, Normaliser] = {}

    def push(self, key: tuple[str, str, int], pcm: bytes) -> None:
        """Queue audio of a content part."""
        if self._is_normalised:
            pcm = self._normaliser(key[0]).push(pcm)
        self._line.push_audio_frame(pcm, key=key)

    def _normaliser(self, response_id: str) -> Normaliser:
        owner = self._model.owner_of(response_id) if isinstance(self._model, GroupModel) else None
        name = "" if owner is None else owner.name
        if name not in self._normalisers:
            rate_hz = self._model.capabilities.output_sample_rate_hz
            self._normalisers[name] = Normaliser(rate_hz)
        return self._normalisers[name]
