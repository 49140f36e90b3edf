"""A model server with the real engines that takes WebRTC calls."""

from __future__ import annotations

from tests.speech.conftest import engines, recogniser, voice

__all__ = ["engines", "recogniser", "voice"]
