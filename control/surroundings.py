"""What agent processes have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from control.forkserver import ProcessSource
from control.ladder import Deadlines
from control.observers import Observers
from control.proc_figures import FigureReader
from control.watch import WatchLimits


@dataclass(frozen=True)
class Surroundings:
    """What all agent processes of a supervisor share."""

    source: ProcessSource
    deadlines: Deadlines
    figures: FigureReader
    limits: WatchLimits
    observers: Observers = field(default_factory=Observers)
