"""What agent processes have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from control.observers import Observers
from control.processes.ladder import Deadlines
from control.processes.proc_figures import FigureReader
from control.processes.started import ProcessSource
from control.processes.watch import WatchLimits


@dataclass(frozen=True)
class Surroundings:
    """What all agent processes of a supervisor share."""

    source: ProcessSource
    deadlines: Deadlines
    figures: FigureReader
    limits: WatchLimits
    observers: Observers = field(default_factory=Observers)
