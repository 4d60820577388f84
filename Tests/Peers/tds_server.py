"""A SQL Server as far as TDS clients can tell: PRELOGIN, TLS, LOGIN7, SQL batches (MS-TDS).

It answers on loopback until it is ended, prints its port, and writes what it saw to a log, one JSON object per line.
"""
import argparse
import json
import socket
import ssl
import struct
import sys
import threading

OFF, ON, NOT_SUP, REQ = 0, 1, 2, 3
NAMES = {"off": OFF, "on": ON, "not_sup": NOT_SUP, "req": REQ}
VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3,
}


class Closed(Exception):
    pass


def utf16(text):
    return text.encode("utf-16-le")


def b_varchar(text):
    return bytes([len(text)]) + utf16(text)


def us_varchar(text):
    return struct.pack("<H", len(text)) + utf16(text)


class Session:
    def __init__(self, connection, options, log):
        self.socket = connection
        self.options = options
        self.log = log
        self.tls = None
        self.incoming = self.outgoing = None
        self.buffer = b""
        self.version = 0x74
        self.packet_size = 4096
        self.mars = False
        # With MARS: the session that is answered, and for each one how many packets were received and sent.
        self.smp = None
        self.counts = {}

    # MARK: bytes

    def raw_receive(self, count=65536):
        data = self.socket.recv(count)
        if not data:
            raise Closed("end of stream")
        return data

    def more(self):
        if self.tls is None:
            self.buffer += self.raw_receive()
            return
        while True:
            try:
                data = self.tls.read(65536)
                if not data:
                    raise Closed("close_notify")
                self.buffer += data
                return
            except ssl.SSLWantReadError:
                self.flush()
                self.incoming.write(self.raw_receive())

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def flush(self):
        data = self.outgoing.read()
        if data:
            self.socket.sendall(data)

    def send(self, data):
        if self.tls is None:
            self.socket.sendall(data)
        else:
            self.tls.write(data)
            self.flush()

    def receive_message(self):
        kind, payload = None, b""
        while True:
            header = self.take(8)
            kind, status, length = header[0], header[1], struct.unpack(">H", header[2:4])[0]
            payload += self.take(length - 8)
            if status & 1:
                return kind, payload

    def send_message(self, payload, kind=4):
        size = self.packet_size - 8
        pieces = [payload[i:i + size] for i in range(0, len(payload), size)] or [b""]
        data = b""
        for number, piece in enumerate(pieces):
            last = 1 if number == len(pieces) - 1 else 0
            packet = struct.pack(">BBHHBB", kind, last, len(piece) + 8, 0, (number + 1) & 255, 0) + piece
            data += packet if self.smp is None else self.in_smp(8, packet)
        self.send(data)

    def in_smp(self, flags, data=b""):
        """A packet of MC-SMP 2.2.1 for the present session."""
        counts = self.counts[self.smp]
        counts[1] += 1 if flags == 8 else 0
        return struct.pack("<BBHIII", 0x53, flags, self.smp, 16 + len(data), counts[1], counts[0] + 4) + data

    # MARK: TLS

    def begin_tls(self, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def shake_hands(self, enveloped):
        while True:
            try:
                self.tls.do_handshake()
                self.send_flight(enveloped)
                return
            except ssl.SSLWantReadError:
                self.send_flight(enveloped)
                if not enveloped:
                    self.incoming.write(self.raw_receive())
                    continue
                header = self.exactly(8)
                if header[0] != 0x12:
                    raise Closed("packet %d in the handshake" % header[0])
                self.incoming.write(self.exactly(struct.unpack(">H", header[2:4])[0] - 8))

    def exactly(self, count):
        data = b""
        while len(data) < count:
            data += self.raw_receive(count - len(data))
        return data

    def send_flight(self, enveloped):
        data = self.outgoing.read()
        while data and enveloped:
            piece, data = data[:self.options.flight], data[self.options.flight:]
            last = 0 if data else 1
            self.socket.sendall(struct.pack(">BBHHBB", 0x12, last, len(piece) + 8, 0, 1, 0) + piece)
        if data:
            self.socket.sendall(data)

    # MARK: the session

    def run(self, context):
        die = self.options.die
        if die == "accept":
            return
        if self.options.encryption == "strict":
            self.begin_tls(context)
            self.shake_hands(enveloped=False)
            if self.tls.selected_alpn_protocol() != "tds/8.0":
                raise Closed("no ALPN")
        kind, payload = self.receive_message()
        if kind == 0x10 and self.options.encryption in ("off", "not_sup"):
            # TDS 7.0 knows no PRELOGIN.
            self.take_login(kind, payload)
            self.answer_login()
            self.carry_on()
        if kind != 0x12:
            raise Closed("message %d instead of PRELOGIN" % kind)
        wish = self.prelogin_option(payload, 1)
        if die == "prelogin":
            return
        if self.options.garbage:
            self.socket.sendall(bytes.fromhex(self.options.garbage))
            raise Closed("garbage was sent")
        self.mars = self.prelogin_option(payload, 4) == b"\1"
        encrypts = self.answer_prelogin(wish[0] if wish else NOT_SUP)
        if die == "answer":
            return
        if encrypts != "never" and self.tls is None:
            self.begin_tls(context)
            if die == "handshake":
                self.exactly(8)
                return
            self.shake_hands(enveloped=True)
        kind, payload = self.receive_message()
        self.take_login(kind, payload)
        if encrypts == "login":
            if self.buffer or self.incoming.pending:
                raise Closed("bytes behind LOGIN7")
            self.tls = None
        if die == "login":
            return
        if self.options.hang:
            self.receive_message()
        if self.options.sspi:
            self.send_message(b"\xed" + struct.pack("<H", 4) + b"ping")
            kind, payload = self.receive_message()
            if kind != 0x11 or payload != b"pong":
                raise Closed("no SSPI answer")
        self.answer_login()
        self.carry_on()

    def carry_on(self):
        if self.mars:
            self.multiplex()
        while True:
            kind, payload = self.receive_message()
            self.answer(kind, payload)

    def multiplex(self):
        waiting = {}
        while True:
            _, flags, self.smp, length, _, _ = struct.unpack("<BBHIII", self.take(16))
            data = self.take(length - 16)
            if flags == 1:
                waiting[self.smp], self.counts[self.smp] = b"", [0, 0]
                self.seen(smp=self.smp)
            elif flags == 4:
                self.send(self.in_smp(4))
            elif flags == 8:
                self.counts[self.smp][0] += 1
                waiting[self.smp] += data
                # Whoever asks here asks in one packet.
                if data[1] & 1:
                    kind, payload = waiting[self.smp][0], waiting[self.smp][8:]
                    waiting[self.smp] = b""
                    self.answer(kind, payload)

    @staticmethod
    def prelogin_option(payload, wanted):
        index = 0
        while payload[index] != 0xFF:
            token, offset, length = struct.unpack(">BHH", payload[index:index + 5])
            if token == wanted:
                return payload[offset:offset + length]
            index += 5
        return None

    def answer_prelogin(self, wish):
        """The table of MS-TDS 2.2.6.5, from the server's side."""
        server = self.options.encryption
        if server == "strict":
            answer, encrypts = wish, "always"
        elif server == "not_sup":
            answer, encrypts = NOT_SUP, "never"
        elif server == "off":
            answer = {OFF: OFF, NOT_SUP: NOT_SUP}.get(wish, ON)
            encrypts = {OFF: "login", NOT_SUP: "never"}.get(wish, "always")
        else:
            answer = ON if wish in (ON, REQ) else REQ
            encrypts = "always"
        options = [(0, bytes([15, 0, 7, 208, 0, 0])), (1, bytes([answer])), (2, b"\0"), (4, bytes([self.mars]))]
        head, data = b"", b""
        for token, value in options:
            head += struct.pack(">BHH", token, 5 * len(options) + 1 + len(data), len(value))
            data += value
        self.send_message(head + b"\xff" + data)
        if answer == REQ and wish == NOT_SUP:
            raise Closed("the client cannot encrypt")
        return encrypts

    def wide(self):
        """Whether counts have eight bytes: from TDS 7.2 on, and TDS 8.0, which calls itself 8."""
        return self.version >= 0x72 or self.version == 8

    def take_login(self, kind, payload):
        if kind != 0x10:
            raise Closed("message %d instead of LOGIN7" % kind)
        self.version = payload[7]

        def text(place):
            offset, count = struct.unpack("<HH", payload[place:place + 4])
            return payload[offset:offset + 2 * count]
        secret = bytes((((b ^ 0xA5) << 4) | ((b ^ 0xA5) >> 4)) & 255 for b in text(44))
        self.user = text(40).decode("utf-16-le")
        self.password = secret.decode("utf-16-le")
        self.seen(login=self.user, tls=self.tls.version() if self.tls else None)

    def seen(self, **what):
        self.log(json.dumps(what))

    # MARK: answers

    def done(self, status=0, rows=0):
        return struct.pack("<BHH", 0xFD, status, 0) + (
            struct.pack("<Q", rows) if self.wide() else struct.pack("<I", rows))

    def error(self, text, number=18456):
        line = struct.pack("<I", 1) if self.wide() else struct.pack("<H", 1)
        body = struct.pack("<iBB", number, 1, 14) + us_varchar(text) + b_varchar("test") + b_varchar("") + line
        return b"\xaa" + struct.pack("<H", len(body)) + body

    @staticmethod
    def change(kind, new, old=b"\0"):
        body = bytes([kind]) + new + old
        return b"\xe3" + struct.pack("<H", len(body)) + body

    def answer_login(self):
        if self.password != self.options.password:
            self.send_message(self.error("Login failed for user '%s'." % self.user) + self.done(2))
            raise Closed("wrong password")
        payload = self.change(1, b_varchar("master"), b_varchar("master"))
        payload += self.change(7, b"\x05\x09\x04\xd0\x00\x34")
        payload += self.change(2, b_varchar("us_english"), b_varchar(""))
        if self.options.partner:
            payload += self.change(13, b_varchar(self.options.partner))
        name = "Test SQL Server"
        version = {0x70: b"\x07\x00\x00\x00", 0x71: b"\x71\x00\x00\x01", 0x72: b"\x72\x09\x00\x02",
                   0x73: b"\x73\x0b\x00\x03", 0x08: b"\x08\x00\x00\x00"}.get(self.version, b"\x74\x00\x00\x04")
        body = b"\x01" + version + b_varchar(name) + bytes([15, 0, 7, 208])
        payload += b"\xad" + struct.pack("<H", len(body)) + body
        payload += self.change(4, b_varchar("4096"), b_varchar("4096"))
        if self.options.redirect:
            host, port = self.options.redirect.rsplit(":", 1)
            route = b"\0" + struct.pack("<H", int(port)) + us_varchar(host)
            payload += self.change(20, struct.pack("<H", len(route)) + route, b"\0\0")
        self.send_message(payload + self.done())

    def answer(self, kind, payload):
        if kind == 6:
            self.send_message(self.done(0x20))
            return
        if kind != 1:
            self.send_message(self.done())
            return
        start = struct.unpack("<I", payload[:4])[0] if self.wide() else 0
        query = payload[start:].decode("utf-16-le")
        words = query.lower().split()
        self.seen(query=query, tls=self.tls.version() if self.tls else None)
        if "encrypt_option" in words:
            self.rows(["TRUE" if self.tls else "FALSE"])
        elif "volume" in words:
            count = int(words[words.index("volume") + 1])
            self.rows(["x" * 4000] * count)
        elif "select" in words:
            self.rows([query])
        else:
            self.send_message(self.done())

    def rows(self, values):
        user_type = struct.pack("<I", 0) if self.wide() else struct.pack("<H", 0)
        collation = b"\x09\x04\xd0\x00\x34" if self.version >= 0x71 or self.version == 8 else b""
        column = user_type + struct.pack("<HBH", 9, 0xE7, 8000) + collation + b_varchar("value")
        payload = b"\x81" + struct.pack("<H", 1) + column
        for value in values:
            data = utf16(value)[:8000]
            payload += b"\xd1" + struct.pack("<H", len(data)) + data
        self.send_message(payload + self.done(0x10, len(values)))


def make_context(options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Whatever this machine's policy says: a server of 2008 speaks TLS 1.0 with short keys.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = VERSIONS[options.tls]
    if options.encryption == "strict":
        context.set_alpn_protocols(["tds/8.0"])
    context.load_cert_chain(options.cert, options.key)
    return context


def main(session=Session, add_arguments=lambda parser: None):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--encryption", default="on", choices=["off", "on", "req", "not_sup", "strict"])
    parser.add_argument("--tls", default="1.2", choices=VERSIONS)
    parser.add_argument("--password", default="s3cret-Password")
    parser.add_argument("--redirect")
    parser.add_argument("--partner")
    parser.add_argument("--sspi", action="store_true")
    parser.add_argument("--garbage")
    parser.add_argument("--hang", action="store_true")
    parser.add_argument("--flight", type=int, default=4088)
    parser.add_argument("--die", choices=["accept", "prelogin", "answer", "handshake", "login"])
    options = parser.parse_args()
    lock = threading.Lock()
    output = open(options.log, "a")

    def log(line):
        with lock:
            output.write(line + "\n")
            output.flush()

    def serve(connection):
        with connection:
            try:
                session(connection, options, log).run(context)
            except (Closed, OSError, ssl.SSLError) as error:
                log(json.dumps({"end": str(error)}))

    context = make_context(options)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
