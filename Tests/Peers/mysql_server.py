"""A MySQL 8 server as far as logins can tell: TLS, then caching_sha2_password in full, which wants the password said.

It answers on loopback until it is ended, prints its port, and writes what it saw to a log, one JSON object per line.
"""
import argparse
import json
import os
import socket
import ssl
import struct
import threading

# PROTOCOL_41, CONNECT_WITH_DB, SSL, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH, LENENC_CLIENT_DATA
CAPABILITIES = 0x200 | 0x8 | 0x2000 | 0x8000 | 0x80000 | 0x200000 | 0x1
SSL = 0x800


class Closed(Exception):
    pass


class Session:
    def __init__(self, connection, options, log):
        self.connection = connection
        self.options = options
        self.log = log
        self.sequence = 0

    def exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.connection.recv(count - len(data))
            if not piece:
                raise Closed("end of stream")
            data += piece
        return data

    def receive(self):
        header = self.exactly(4)
        length = header[0] | header[1] << 8 | header[2] << 16
        if header[3] != self.sequence and self.sequence != 0:
            raise Closed("packet %d instead of %d" % (header[3], self.sequence))
        self.sequence = (header[3] + 1) & 255
        return self.exactly(length)

    def send(self, payload):
        self.connection.sendall(struct.pack("<I", len(payload))[:3] + bytes([self.sequence]) + payload)
        self.sequence = (self.sequence + 1) & 255

    def run(self, context):
        options = self.options
        if options.die == "accept":
            return
        salt = bytes(33 + byte % 90 for byte in os.urandom(20))
        capabilities = CAPABILITIES | (0 if options.no_tls else SSL)
        plugin = options.plugin.encode()
        self.send(
            b"\x0a8.0.36-test\0" + struct.pack("<I", 7) + salt[:8] + b"\0" + struct.pack("<H", capabilities & 0xFFFF)
            + bytes([45]) + struct.pack("<HH", 2, capabilities >> 16) + bytes([21]) + bytes(10) + salt[8:] + b"\0"
            + plugin + b"\0")
        if options.die == "greeting":
            return
        request = self.receive()
        if len(request) != 32 or not struct.unpack("<I", request[:4])[0] & SSL:
            self.log(json.dumps({"plain": True}))
            raise Closed("no SSLRequest")
        if options.die == "request":
            return
        self.connection = context.wrap_socket(self.connection, server_side=True)
        response = self.receive()
        user = response[32:response.index(b"\0", 32)].decode()
        if options.die == "response":
            return
        if options.hang:
            self.receive()
        if options.switch:
            self.send(b"\xfe" + plugin + b"\0" + salt + b"\0")
            self.receive()
        self.send(b"\x01\x04")
        password = self.receive()
        self.log(json.dumps({"user": user, "password": password.decode("latin-1"), "tls": self.connection.version()}))
        if password != options.password.encode() + b"\0":
            self.send(b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied")
            return
        self.send(b"\0\0\0\x02\0\0\0")
        self.commands()

    def commands(self):
        while True:
            self.sequence = 0
            payload = self.receive()
            if payload[0] == 1:
                return
            if payload[0] == 3 and b"select" in payload.lower() or b"show" in payload.lower():
                self.rows(self.connection.version().encode())
            else:
                self.send(b"\0\0\0\x02\0\0\0")

    def rows(self, value):
        def text(data):
            return bytes([len(data)]) + data
        self.send(b"\x01")
        self.send(text(b"def") + text(b"") + text(b"") + text(b"") + text(b"value") + text(b"value") + b"\x0c"
                  + struct.pack("<HIBHB", 45, 255, 0xFD, 0, 0) + b"\0\0")
        self.send(b"\xfe\0\0\x02\0")
        self.send(text(value))
        self.send(b"\xfe\0\0\x02\0")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--password", default="s3cret-Password")
    parser.add_argument("--plugin", default="caching_sha2_password")
    parser.add_argument("--switch", action="store_true")
    parser.add_argument("--no-tls", action="store_true")
    parser.add_argument("--hang", action="store_true")
    parser.add_argument("--die", choices=["accept", "greeting", "request", "response"])
    options = parser.parse_args()
    output = open(options.log, "a")
    lock = threading.Lock()

    def log(line):
        with lock:
            output.write(line + "\n")
            output.flush()

    def serve(connection):
        with connection:
            try:
                Session(connection, options, log).run(context)
            except (Closed, OSError, ssl.SSLError) as error:
                log(json.dumps({"end": str(error)}))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
