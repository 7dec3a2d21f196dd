"""A network that can fail: relays between the nodes, in a process of its own.

Each ordered pair of nodes (SRC, DST) has a port here; the shim leads SRC's
connections to DST there. What flows on a connection in the direction DST to SRC
obeys the rules of the pair (DST, SRC). Commands come in on standard input, one a
line, and each is answered with "ok" when it is in force:

    link SRC DST PORT TO    listen on PORT, pass on to TO
    block SRC DST           bytes wait, as behind a cable that is out
    delay SRC DST MS        bytes wait up to that long; their order stays
    split SRC DST           bytes arrive in pieces of 1 to 50
    refuse SRC DST          connections of SRC to DST end, new ones are closed
    reset SRC DST           connections between the two end, new ones work
    heal                    no rule is left

A new connection waits while either direction is blocked: its first packets
would be lost, too.
"""

import asyncio
import logging
import random
import sys

HOST = "127.0.0.1"
BUFFER_MAX = 1 << 20


class Net:
    def __init__(self):
        self.blocked = set()
        self.delays = {}
        self.split = set()
        self.refused = set()
        self.changed = asyncio.Event()
        self.conns = set()

    def change(self):
        """Wake everybody who waits for another rule."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def wait_open(self, *pairs):
        while any(p in self.blocked for p in pairs):
            await self.changed.wait()

    def cut(self, match):
        for conn in list(self.conns):
            if match(conn.pair):
                conn.abort()


class Conn:
    """One connection of `pair`, and its other half to the real node."""

    def __init__(self, net, pair, reader, writer):
        self.net = net
        self.pair = pair
        self.near = reader, writer
        self.far = None
        self.tasks = []

    def abort(self):
        for _, writer in filter(None, (self.near, self.far)):
            writer.transport.abort()
        for task in self.tasks:
            task.cancel()

    async def pipe(self, pair, reader, writer):
        rng = random.Random(hash(pair))
        while True:
            data = await reader.read(65536)
            ms = self.net.delays.get(pair)
            if ms:
                await asyncio.sleep(rng.uniform(0, ms / 1000))
            await self.net.wait_open(pair)
            if not data:
                break
            if pair in self.net.split and len(data) < 10000:
                while data:
                    n = rng.randint(1, 50)
                    writer.write(data[:n])
                    data = data[n:]
                    await asyncio.sleep(0)
            else:
                writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def run(self, port):
        src, dst = self.pair
        self.net.conns.add(self)
        try:
            await self.net.wait_open((src, dst), (dst, src))
            self.far = await asyncio.open_connection(HOST, port)
            self.tasks = [
                asyncio.create_task(self.pipe((src, dst), self.near[0], self.far[1])),
                asyncio.create_task(self.pipe((dst, src), self.far[0], self.near[1]))]
            await asyncio.gather(*self.tasks)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.net.conns.discard(self)
            self.abort()


async def listen(net, pair, port, to):
    async def accepted(reader, writer):
        if pair in net.refused:
            writer.transport.abort()
            return
        await Conn(net, pair, reader, writer).run(to)

    await asyncio.start_server(accepted, HOST, port, limit=BUFFER_MAX)


async def obey(net, words):
    pair = tuple(map(int, words[1:3]))
    if words[0] == "link":
        await listen(net, pair, int(words[3]), int(words[4]))
    elif words[0] == "block":
        net.blocked.add(pair)
    elif words[0] == "delay":
        net.delays[pair] = int(words[3])
    elif words[0] == "split":
        net.split.add(pair)
    elif words[0] == "refuse":
        net.refused.add(pair)
        net.cut(lambda p: p == pair)
    elif words[0] == "reset":
        net.cut(lambda p: set(p) == set(pair))
    elif words[0] == "heal":
        for rules in (net.blocked, net.delays, net.split, net.refused):
            rules.clear()
        net.change()
    else:
        raise ValueError(words)


async def main():
    loop = asyncio.get_running_loop()
    # What comes of a connection that was cut is no news.
    loop.set_exception_handler(lambda *_: None)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    net = Net()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        await obey(net, line.decode().split())
        print("ok", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
