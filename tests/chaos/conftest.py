"""What takes long is collected only when it is asked for; a slow machine is no fault of the product."""

from __future__ import annotations

import os

import pytest

from tests.chaos.stage import DEADLINE_S
from tests.fakes import openai_session, provider_server
from tests.loopback import stage
from tests.processes import conftest as processes

collect_ignore = [] if os.environ.get("CHAOS") == "long" else ["test_outages.py"]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadlines of people, of the model's side and of servers are ours here."""
    for module in (stage, provider_server, openai_session, processes):
        monkeypatch.setattr(module, "DEADLINE_S", DEADLINE_S)
