"""The server's side of the forkserver."""

from __future__ import annotations

import asyncio

import pytest

from control.forkserver.forkserver import Forkserver, ForkserverState, ForkserverTimes
from control.forkserver.run import ForkserverLostError


class _Exited:
    """A run of a forkserver that has exited, which the server has not noticed yet."""

    def __init__(self) -> None:
        self.requests = 0

    def send_request(self, *_arguments: object) -> None:
        self.requests += 1
        raise ForkserverLostError("the forkserver takes no requests")


@pytest.mark.asyncio
async def test_a_start_leaves_the_loop_to_those_who_notice_the_exit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forkserver, exited = Forkserver(times=ForkserverTimes(wait_s=0.5)), _Exited()
    monkeypatch.setattr(forkserver, "_run", exited)
    monkeypatch.setattr(forkserver, "_state", ForkserverState.READY)
    start = asyncio.get_running_loop().create_task(forkserver.start_process())
    turns = 0
    while not start.done():
        await asyncio.sleep(0)
        turns += 1
    with pytest.raises(ForkserverLostError, match="takes no requests"):
        await start
    assert exited.requests > 1
    assert turns > exited.requests
