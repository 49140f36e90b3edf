"""Providers of an owner's, which misbehave."""

from __future__ import annotations

import sys
import time

from realtime.model import RealtimeModel
from realtime.providers import create_model


def create_noisy(model: str) -> RealtimeModel:
    """Print where an answer is expected."""
    sys.stdout.write("{ words that are no answer\n")
    sys.stdout.flush()
    return create_model("openai", model)


def create_broken(model: str) -> RealtimeModel:
    """Fail with a secret in the text."""
    raise RuntimeError(f"a secret, {model}")


def create_hanging(model: str) -> RealtimeModel:
    """Block for longer than anyone waits."""
    time.sleep(600)
    return create_model("openai", model)
