"""An HTTP/2 application by `h2`: echoes bodies, and answers some paths in the ways that a proxy has to get right."""
import argparse, json, socket, ssl, threading
import h2.config, h2.connection, h2.errors, h2.events

arguments = argparse.ArgumentParser()
for name in ("cert", "key", "log"):
    arguments.add_argument("--" + name)
arguments = arguments.parse_args()
refused = set()


class Connection:
    def __init__(self, plain):
        self.socket = plain
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.paths = {}
        self.bodies = {}
        self.waiting = {}

    def run(self):
        self.h2.initiate_connection()
        self.flush()
        while data := self.socket.recv(65536):
            for event in self.h2.receive_data(data):
                self.handle(event)
            self.send_waiting()
            self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def handle(self, event):
        if isinstance(event, h2.events.RequestReceived):
            fields = dict(event.headers)
            self.paths[event.stream_id] = (fields[":path"], fields[":method"])
            self.bodies[event.stream_id] = bytearray()
            with open(arguments.log, "a") as file:
                file.write(json.dumps(event.headers) + "\n")
            if fields[":path"] == "/early":
                self.answer(event.stream_id, 403, b"")
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id in self.bodies:
                self.bodies[event.stream_id] += event.data
        elif isinstance(event, h2.events.StreamEnded):
            self.complete(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.waiting.pop(event.stream_id, None)

    def answer(self, stream, status, body, more=(), trailers=None):
        fields = [(":status", str(status))]
        if status != 204 and not trailers:
            fields.append(("content-length", str(len(body))))
        self.h2.send_headers(stream, fields + list(more), end_stream=not body and not trailers)
        if body or trailers:
            self.waiting[stream] = [memoryview(bytes(body)), trailers]

    def complete(self, stream):
        path, method = self.paths.pop(stream)
        body = self.bodies.pop(stream)
        if method == "HEAD":
            self.h2.send_headers(stream, [(":status", "200"), ("content-length", "1234")], end_stream=True)
        elif path == "/trailers":
            self.answer(stream, 200, b"body", [("trailer", "x-sum")], [("x-sum", "42")])
        elif path == "/hints":
            self.h2.send_headers(stream, [(":status", "103"), ("link", "</a.css>; rel=preload")])
            self.flush()
            self.answer(stream, 200, b"ok")
        elif path == "/204":
            self.answer(stream, 204, b"")
        elif path == "/refuse-once" and path not in refused:
            refused.add(path)
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif path == "/reset":
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif path == "/http11":
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.HTTP_1_1_REQUIRED)
        elif path == "/die-in-body":
            self.h2.send_headers(stream, [(":status", "200"), ("content-length", "1000")])
            self.h2.send_data(stream, b"half")
            self.flush()
            self.socket.shutdown(socket.SHUT_RDWR)
        elif path not in ("/silence", "/early"):
            self.answer(stream, 200, body)

    def send_waiting(self):
        for stream in list(self.waiting):
            body, trailers = self.waiting[stream]
            while body:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
                if room <= 0:
                    break
                last = room == len(body) and not trailers
                self.h2.send_data(stream, body[:room].tobytes(), end_stream=last)
                body = body[room:]
                self.flush()
            self.waiting[stream][0] = body
            if not body:
                del self.waiting[stream]
                if trailers:
                    self.h2.send_headers(stream, trailers, end_stream=True)


def serve(raw, context):
    try:
        with context.wrap_socket(raw, server_side=True) as secured:
            Connection(secured).run()
    except (OSError, h2.exceptions.ProtocolError):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(arguments.cert, arguments.key)
context.set_alpn_protocols(["h2"])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    accepted, _ = listener.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=serve, args=(accepted, context), daemon=True).start()
