"""A connection to a provider that is given up before there is one."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from realtime.model import ModelConnectError, RealtimeModel, RealtimeModelConfig
from tests.deadlines import DEADLINE_S
from utils import cancel_and_wait


async def give_up_connecting(
    model: RealtimeModel,
    config: RealtimeModelConfig,
    was_asked: asyncio.Event,
    how: Literal["cancel", "close"],
) -> None:
    """Begin to connect, and once the server was asked, no more."""
    connecting = asyncio.get_running_loop().create_task(model.connect(config))
    async with asyncio.timeout(DEADLINE_S):
        await was_asked.wait()
    if how == "cancel":
        await cancel_and_wait(connecting)
        assert connecting.cancelled()
    else:
        await model.close()
        with pytest.raises(ModelConnectError):
            async with asyncio.timeout(DEADLINE_S):
                await connecting
    await model.close()
