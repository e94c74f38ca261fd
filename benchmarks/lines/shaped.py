"""A TCP line that is slow, paced, lossy or cut: a proxy in a process of its own, on loopback.

Decides what loss is: a piece that stalls for STALL_S, as TCP's timer would have it; no packet is lost. Refuses nothing.

    run_line(Shape(delay_s=0.08, bytes_a_second=1.25e5), 8475, port, left)      # target of a multiprocessing.Process
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from typing import Any

STALL_S, PIECE = 0.2, 4_096


@dataclass(frozen=True)
class Shape:
    """Of a line: one-way delay, bytes a second, share of pieces that stall. `cut`: takes all and passes nothing."""

    delay_s: float = 0.0
    bytes_a_second: float = 1e9
    lost: float = 0.0
    cut: bool = False


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shape: Shape, count: Any) -> None:
    """Pieces one after another at the line's pace, each there after its delay."""
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    draws, free = random.Random(0), 0.0

    async def arrive() -> None:
        while True:
            at, piece = await pieces.get()
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            writer.write(piece)
            await writer.drain()
            if not piece:
                return

    arriving = asyncio.create_task(arrive())
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            if count is not None:
                with count.get_lock():
                    count.value += len(piece)
            free = max(free, time.monotonic()) + len(piece) / shape.bytes_a_second
            free += STALL_S * (draws.random() < shape.lost)
            pieces.put_nowait((free + shape.delay_s, piece))
    pieces.put_nowait((free + shape.delay_s, b""))
    with suppress(OSError):
        await arriving
    writer.close()


def run_line(shape: Shape, to: int, port: Any, left: Synchronized[int]) -> None:
    """A process: `left` counts what the device sent, TLS and all; `port` is told."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if shape.cut:
            await asyncio.sleep(3600)
            return
        await asyncio.sleep(2 * shape.delay_s)  # TCP's own handshake
        there, back = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(_pump(reader, back, shape, left), _pump(there, writer, shape, None))

    async def serve() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
