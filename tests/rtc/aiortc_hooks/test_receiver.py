"""What we reach into in aiortc is still there and still works as we think."""

from __future__ import annotations

import asyncio
import inspect

import aiortc.rtcrtpreceiver
import pytest
from aiortc import RTCPeerConnection
from aiortc.rtp import RtpPacket as AiortcPacket

from rtc.aiortc_hooks import receiver as adapter


@pytest.mark.asyncio
async def test_the_tap_sees_depayloaded_packets_and_keeps_the_decoder_idle() -> None:
    connection = RTCPeerConnection()
    receiver = connection.addTransceiver("audio").receiver
    packets: list[adapter.RtpPacket] = []
    adapter.tap_receiver(receiver, packets.append)
    tap = receiver._RTCRtpReceiver__jitter_buffer  # type: ignore[attr-defined]
    packet = AiortcPacket(sequence_number=5, timestamp=960)
    packet.ssrc = 42
    packet._data = b"opus"  # type: ignore[attr-defined]
    assert tap.add(packet) == (False, None)
    assert packets == [adapter.RtpPacket(42, 5, 960, b"opus")]
    await connection.close()


def test_the_receiver_still_works_the_way_the_tap_assumes() -> None:
    source = inspect.getsource(aiortc.rtcrtpreceiver)
    for line in (
        "pli_flag, encoded_frame = self.__jitter_buffer.add(packet)",
        "if encoded_frame is not None and self.__decoder_thread:",
        "packet._data = depayload(codec, packet.payload)",
        "task = input_q.get()\n        if task is None:",
    ):
        assert line in source, (
            f"aiortc changed: {line!r} is gone, look at rtc/aiortc_hooks/receiver.py"
        )


def test_an_unknown_aiortc_is_refused_loudly() -> None:
    with pytest.raises(RuntimeError, match="unknown aiortc"):
        adapter.tap_receiver(object(), print)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_closing_waits_for_a_handshake_under_way() -> None:
    offerer, answerer = RTCPeerConnection(), RTCPeerConnection()
    offerer.addTransceiver("audio")
    await offerer.setLocalDescription(await offerer.createOffer())
    await answerer.setRemoteDescription(offerer.localDescription)
    await answerer.setLocalDescription(await answerer.createAnswer())
    ice = answerer.getTransceivers()[0].receiver.transport.transport
    has_begun = asyncio.Event()
    ice.on("statechange", has_begun.set)
    async with asyncio.timeout(5):
        if ice.state == "new":
            await has_begun.wait()
        await adapter.close_connection(answerer)
        await adapter.close_connection(answerer)
    await offerer.close()


@pytest.mark.asyncio
async def test_a_handshake_that_succeeds_while_it_is_closed_leaves_nothing_running() -> None:
    offerer, answerer = RTCPeerConnection(), RTCPeerConnection()
    offerer.addTransceiver("audio")
    offerer.createDataChannel("events")
    await offerer.setLocalDescription(await offerer.createOffer())
    await answerer.setRemoteDescription(offerer.localDescription)
    await answerer.setLocalDescription(await answerer.createAnswer())
    (transceiver,) = answerer.getTransceivers()
    sctp = answerer.sctp
    assert sctp is not None
    stop_sctp = sctp.stop

    async def stop_late() -> None:
        """Between the stop of senders and that of transports, as a loaded machine may do."""
        while not transceiver.receiver._RTCRtpReceiver__started:  # type: ignore[attr-defined] # noqa: ASYNC110
            await asyncio.sleep(0)
        await stop_sctp()

    sctp.stop = stop_late  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        closing = asyncio.gather(adapter.close_connection(answerer))
        await offerer.setRemoteDescription(answerer.localDescription)
        await closing
        await adapter.close_connection(offerer)


@pytest.mark.asyncio
async def test_giving_up_on_a_close_does_not_disturb_it() -> None:
    connection = RTCPeerConnection()
    connection.createDataChannel("events")
    sctp = connection.sctp
    assert sctp is not None
    stop_sctp, may_stop = sctp.stop, asyncio.Event()

    async def stop_late() -> None:
        await may_stop.wait()
        await stop_sctp()

    sctp.stop = stop_late  # type: ignore[method-assign]
    # aiortc does so of its own accord when the other side closes.
    closing = asyncio.gather(connection.close())
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await adapter.close_connection(connection)
    may_stop.set()
    async with asyncio.timeout(5):
        await closing
        await adapter.close_connection(connection)
