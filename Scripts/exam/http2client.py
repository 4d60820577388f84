"""Clients in HTTP/2 (RFC 9113) that obey GOAWAY, and count every request that a server may have seen and did not answer."""
import asyncio, ssl

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
# Windows that never run out in the life of one connection.
WINDOW = bytes([0, 0, 4, 8, 0, 0, 0, 0, 0]) + (2**31 - 1 - 65_535).to_bytes(4, "big")
LAST_STREAM = 200_001
DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY = 0, 1, 3, 4, 6, 7


def request(stream, path):
    # :method GET and :scheme https by index; path and authority as literals (RFC 7541, 6.2.2).
    section = b"\x82\x87" + b"\x04" + bytes([len(path)]) + path + b"\x01\x09localhost"
    return len(section).to_bytes(3, "big") + bytes([HEADERS, 5]) + stream.to_bytes(4, "big") + section


class Client:
    def __init__(self, port, streams, stopping, done, lost):
        self.port, self.streams, self.stopping, self.done, self.lost = port, streams, stopping, done, lost
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.set_alpn_protocols(["h2"])

    async def live(self):
        while not self.stopping.is_set():
            self.open, self.next, self.last, self.own = set(), 1, None, 0
            try:
                reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)
                self.own = self.writer.get_extra_info("sockname")[1]
                self.writer.write(PREFACE + WINDOW)
                for _ in range(self.streams):
                    self.ask()
                while self.open:
                    head = await asyncio.wait_for(reader.readexactly(9), 20)
                    payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                    self.take(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
                self.writer.transport.abort()
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                self.lose(len(self.open), repr(error))

    def lose(self, count, reason):
        # A connection that never came to be has lost nobody's answer, but a port that refuses has to be told.
        for _ in range(max(1, count)):
            self.lost.put((self.own, f"HTTP/2: {reason}"))

    def ask(self):
        if self.last is not None or self.stopping.is_set() or self.next > LAST_STREAM:
            return
        self.open.add(self.next)
        self.writer.write(request(self.next, b"/1k"))
        self.next += 2

    def take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & 1:
            self.writer.write(bytes([0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]))
        elif kind == PING and not flags & 1:
            self.writer.write(bytes([0, 0, 8, PING, 1, 0, 0, 0, 0]) + payload)
        elif kind == GO_AWAY:
            self.last = int.from_bytes(payload[:4], "big")
            if payload[4:8] != bytes(4):
                self.lose(len(self.open), f"GOAWAY with code {payload[7]}")
            # Those beyond it were not seen, and may be asked again by anybody (6.8).
            self.open = {open for open in self.open if open <= self.last}
        elif kind == RESET:
            if stream in self.open and payload != bytes([0, 0, 0, 7]):
                self.lose(1, f"RST_STREAM with code {payload[3]}")
            self.open.discard(stream)
            self.ask()
        # :status 200 by index (RFC 7541, appendix A).
        elif kind == HEADERS and payload[:1] != b"\x88" and stream in self.open and b"\x88" not in payload[:4]:
            self.lose(1, f"an answer that is not 200: {payload[:8].hex()}")
        if kind in (HEADERS, DATA) and flags & 1 and stream in self.open:
            self.open.discard(stream)
            with self.done.get_lock():
                self.done.value += 1
            self.ask()


def run(port, connections, streams, stopping, done, lost):
    """Asks over and over until it is told to stop; `done` counts answers, `lost` gets own port and reason."""
    async def all_of_them():
        await asyncio.gather(*(Client(port, streams, stopping, done, lost).live() for _ in range(connections)))

    asyncio.run(all_of_them())
