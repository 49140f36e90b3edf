"""A resource curve of bounded length for a call of any length. Pure; time is an argument."""

from __future__ import annotations

from typing import Final, TypeVar

from control.black_box.models import ResourceSample

MAX_SAMPLES: Final = 120
FIRST_STEP_MS: Final = 5_000

N = TypeVar("N", int, float)


class Curve:
    """Keeps the maximum of each step; when full, the step length doubles."""

    def __init__(self) -> None:
        self._samples: list[ResourceSample] = []
        self._step_ms = FIRST_STEP_MS
        self._began_ms: int | None = None

    @property
    def samples(self) -> tuple[ResourceSample, ...]:
        """The samples, oldest first."""
        return tuple(self._samples)

    def add(self, sample: ResourceSample) -> None:
        """Add a sample that is no older than the previous one."""
        if self._began_ms is None:
            self._began_ms = sample.at_ms
        if self._samples and self._step_of(self._samples[-1]) == self._step_of(sample):
            self._samples[-1] = _worse(self._samples[-1], sample)
            return
        self._samples.append(sample)
        if len(self._samples) > MAX_SAMPLES:
            self._thin_out()

    def _step_of(self, sample: ResourceSample) -> int:
        assert self._began_ms is not None
        return (sample.at_ms - self._began_ms) // self._step_ms

    def _thin_out(self) -> None:
        # A clock that was set forward leaves gaps, which may need more than one doubling.
        while len(self._samples) > MAX_SAMPLES // 2 + 1:
            self._step_ms *= 2
            thinned: list[ResourceSample] = []
            for sample in self._samples:
                if thinned and self._step_of(thinned[-1]) == self._step_of(sample):
                    thinned[-1] = _worse(thinned[-1], sample)
                else:
                    thinned.append(sample)
            self._samples = thinned


def _worse(one: ResourceSample, other: ResourceSample) -> ResourceSample:
    return ResourceSample(
        at_ms=max(one.at_ms, other.at_ms),
        private_bytes=_most(one.private_bytes, other.private_bytes),
        pss_bytes=_most(one.pss_bytes, other.pss_bytes),
        descriptors=_most(one.descriptors, other.descriptors),
        loop_lag_ms=_most(one.loop_lag_ms, other.loop_lag_ms),
    )


def _most(one: N | None, other: N | None) -> N | None:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)
