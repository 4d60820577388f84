"""Connections that live long: WebSockets (RFC 6455) and PostgreSQL sessions, with servers that echo."""
import asyncio, os, ssl, struct

SILENT = 20  # Seconds without an answer that count as lost.
FIRST_MESSAGE = struct.pack(">i", 196_608) + b"user\0clinic\0\0"


# MARK: servers

def servers(folder, echo_port, postgres_port):
    """Serves until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "app.pem", folder / "app.key")

    def forgiving(session):
        """Clients that go are no news: what they lose is for them to tell."""
        async def serve(reader, writer):
            try:
                await session(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            writer.close()

        return serve

    async def web_socket(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        # The value that answers the key which `clients` sends (RFC 6455, 1.3).
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        await echo(reader, writer)

    async def postgres(reader, writer):
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.start_tls(context)
        length, = struct.unpack(">i", await reader.readexactly(4))
        await reader.readexactly(length - 4)
        writer.write(b"R" + struct.pack(">ii", 8, 0) + b"Z" + struct.pack(">i", 5) + b"I")
        await echo(reader, writer)

    async def echo(reader, writer):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()

    async def serve():
        first = await asyncio.start_server(forgiving(web_socket), "127.0.0.1", echo_port, ssl=context, backlog=512)
        second = await asyncio.start_server(forgiving(postgres), "127.0.0.1", postgres_port, backlog=512)
        await asyncio.gather(first.serve_forever(), second.serve_forever())

    asyncio.run(serve())


# MARK: clients

def clients(port, database_port, count, stopping, alive, lost):
    """Keeps `count` connections, three of four WebSockets, and asks each of them every second.

    `alive` counts those that have answered, `lost` gets the own port and the reason of each that ended; it is not made
    again.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def web_socket():
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(
            b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise OSError(head.split(b"\r\n")[0].decode())
        return reader, writer

    async def postgres():
        reader, writer = await asyncio.open_connection("127.0.0.1", database_port)
        writer.write(struct.pack(">i", len(FIRST_MESSAGE) + 4) + FIRST_MESSAGE)
        await reader.readexactly(15)
        return reader, writer

    async def live(index):
        own = 0
        try:
            reader, writer = await asyncio.wait_for((postgres if index % 4 == 3 else web_socket)(), 60)
            own = writer.get_extra_info("sockname")[1]
            is_new = True
            while not stopping.is_set():
                # A masked frame, which a session of a database carries as well as any other bytes.
                message = b"\x82\x84" + bytes(4) + os.urandom(4)
                writer.write(message)
                if await asyncio.wait_for(reader.readexactly(len(message)), SILENT) != message:
                    raise OSError("another answer than was asked for")
                if is_new:
                    with alive.get_lock():
                        alive.value += 1
                    is_new = False
                await asyncio.sleep(1)
            writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            lost.put((own, f"long-lived: {error!r}"))

    async def all_of_them():
        await asyncio.gather(*(live(index) for index in range(count)))

    asyncio.run(all_of_them())
