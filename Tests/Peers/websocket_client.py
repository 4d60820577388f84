"""Sends messages of mixed sizes over WebSocket, in HTTP/1.1 by `websockets` or as a stream of HTTP/2 (RFC 8441) by
`h2`, and checks every echo. Prints one line that says how it went."""
import argparse, asyncio, os, random, socket, ssl, sys
import websockets, websockets.frames, websockets.streams
import h2.config, h2.connection, h2.events, h2.settings

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int)
arguments.add_argument("--ca")
arguments.add_argument("--version", default="1.1")
arguments.add_argument("--messages", type=int, default=1)
arguments.add_argument("--then", default="")
arguments = arguments.parse_args()
random.seed(7)


def message(index):
    size = random.choice([0, 1, 125, 126, 1000, 4096, 16384]) if index % 500 else 100_000
    data = os.urandom(size)
    return data.hex()[:size] if index % 2 else data


def context(protocol):
    made = ssl.create_default_context(cafile=arguments.ca)
    made.set_alpn_protocols([protocol])
    return made


async def http1():
    address = f"wss://localhost:{arguments.port}/chart?room=1"
    async with websockets.connect(
        address, ssl=context("http/1.1"), max_size=None, compression=None, subprotocols=["chart"]
    ) as connection:
        for index in range(arguments.messages):
            sent = message(index)
            await connection.send(sent)
            if await connection.recv() != sent:
                return "a message came back changed"
        if arguments.then:
            await connection.send(arguments.then)
            try:
                await connection.recv()
            except websockets.ConnectionClosed:
                return f"closed {connection.close_code} {connection.subprotocol}"
    return f"done {connection.close_code} {connection.subprotocol}"


class Stream:
    """One WebSocket on a stream of HTTP/2."""

    def __init__(self):
        raw = socket.create_connection(("localhost", arguments.port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context("h2").wrap_socket(raw, server_hostname="localhost")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.reader = websockets.streams.StreamReader()
        self.status = None
        self.fields = {}
        self.ended = False
        self.flush()
        while self.h2.remote_settings.enable_connect_protocol != 1:
            self.receive()
        self.id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(self.id, [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chart?room=1"),
            (":authority", f"localhost:{arguments.port}"), ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chart"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ])
        self.flush()
        while self.status is None:
            self.receive()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the connection ended")
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.fields = dict(event.headers)
                self.status = self.fields[":status"]
            elif isinstance(event, h2.events.DataReceived):
                self.reader.feed_data(event.data)
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.ended = True
                if not self.reader.eof:
                    self.reader.feed_eof()
        self.flush()

    def send(self, opcode, data):
        frame = websockets.frames.Frame(opcode, data).serialize(mask=True)
        while frame:
            room = min(self.h2.local_flow_control_window(self.id), self.h2.max_outbound_frame_size, len(frame))
            if room == 0:
                self.receive()
                continue
            self.h2.send_data(self.id, frame[:room])
            frame = frame[room:]
            self.flush()

    def frame(self):
        parser = websockets.frames.Frame.parse(self.reader.read_exact, mask=False, max_size=None)
        while True:
            try:
                next(parser)
            except StopIteration as stop:
                return stop.value
            self.receive()


def http2():
    stream = Stream()
    if stream.status != "200":
        return f"status {stream.status}"
    for index in range(arguments.messages):
        sent = message(index)
        text = isinstance(sent, str)
        data = sent.encode() if text else sent
        stream.send(websockets.frames.Opcode.TEXT if text else websockets.frames.Opcode.BINARY, data)
        if stream.frame().data != data:
            return "a message came back changed"
    if arguments.then:
        stream.send(websockets.frames.Opcode.TEXT, arguments.then.encode())
    else:
        stream.send(websockets.frames.Opcode.CLOSE, websockets.frames.Close(1000, "").serialize())
    frame = stream.frame()
    code = websockets.frames.Close.parse(frame.data).code
    if arguments.then:
        stream.send(websockets.frames.Opcode.CLOSE, frame.data)
    while not stream.ended:
        stream.receive()
    return f"{'closed' if arguments.then else 'done'} {code} {stream.fields.get('sec-websocket-protocol')}"


try:
    print(asyncio.run(http1()) if arguments.version == "1.1" else http2())
except Exception as error:
    print(f"failed: {type(error).__name__} {error}")
