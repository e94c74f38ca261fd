"""A TCP proxy that can be told to drop everything: a network that is cut, and mended.

    python tests/servers/proxy.py PORT TARGET_PORT [HOST]    # ready when it prints "ready"

SIGUSR1 cuts, SIGUSR2 mends.
While it is cut, connections that stand are reset, and new ones too.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress

_AT_ONCE = 65_536


class Proxy:
    """One listening port, and what goes through it."""

    def __init__(self, target: int) -> None:
        self._target, self._is_cut = target, False
        self._ends: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._ends |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._ends -= {writer, far_writer}

    def cut(self) -> None:
        self._is_cut = True
        for end in self._ends:
            end.transport.abort()

    def mend(self) -> None:
        self._is_cut = False


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_AT_ONCE):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(port: int, target: int, host: str = "127.0.0.1") -> None:
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, host, port)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, proxy.cut)
    loop.add_signal_handler(signal.SIGUSR2, proxy.mend)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
