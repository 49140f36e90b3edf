"""While the processors are nearly used up, agents save work, and a health rule reports it."""

from __future__ import annotations

import asyncio

import pytest

from config.agent import AgentConfig
from control.admission.gate import AdmissionGate
from control.admission.policy import AdmissionLimits
from control.health.rules import Action, Finding
from control.observers import CallObserver
from control.supervisor.supervisor import Supervisor
from tests.processes.conftest import agent_config, supervised, until


class BusyMachine(AdmissionGate):
    """A gate of a machine that is as busy as the test wants."""

    is_busy = False

    @property
    def is_under_pressure(self) -> bool:
        return self.is_busy


class Findings(CallObserver):
    """Record the findings of the health rules."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Action]] = []
        self.news = asyncio.Event()

    def handle_finding(self, config: AgentConfig, finding: Finding) -> None:
        self.found.append((finding.sign, finding.action))
        self.news.set()


def _is_saving(supervisor: Supervisor) -> bool:
    vitals = supervisor.status("demo").vitals
    return vitals is not None and vitals.is_saving_work


@pytest.mark.asyncio
async def test_agents_save_work_while_the_machine_is_busy_and_one_warning_says_so() -> None:
    machine, findings = BusyMachine(AdmissionLimits()), Findings()
    async with supervised(admission=machine, observers=[findings]) as supervisor:
        await supervisor.start(agent_config())
        await until(lambda: supervisor.status("demo").vitals)
        assert not _is_saving(supervisor)
        for wanted in (1, 2):
            machine.is_busy = True
            await until(lambda: _is_saving(supervisor))
            while findings.found.count(("pressure", Action.WARN)) < wanted:
                await findings.news.wait()
                findings.news.clear()
            machine.is_busy = False
            await until(lambda: not _is_saving(supervisor))
        assert findings.found.count(("pressure", Action.WARN)) == 2
