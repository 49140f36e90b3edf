from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading

from rtc.peer.warmup import warm_up

# A process that warms up and then forks twice; each fork prints what must be its own.
_FORKS = """
import asyncio, json, os, random, secrets, uuid
from aiortc import RTCCertificate
from rtc.peer.warmup import warm_up

assert asyncio.run(warm_up())
for _ in range(2):
    if os.fork() == 0:
        certificate = RTCCertificate.generateCertificate()
        own = [certificate.getFingerprints()[0].value, random.random(), secrets.token_hex(8)]
        print(json.dumps([*own, str(uuid.uuid4())]), flush=True)
        os._exit(0)
    os.wait()
"""


def test_the_rehearsal_works_and_leaves_nothing() -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()

    async def rehearse() -> None:
        assert await warm_up()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(rehearse())
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_processes_forked_after_it_share_no_keys_and_no_random_numbers() -> None:
    forks = subprocess.run(
        [sys.executable, "-c", _FORKS], capture_output=True, timeout=30, check=True, text=True
    )

    one, other = (json.loads(line) for line in forks.stdout.splitlines())
    assert not set(one) & set(other)
