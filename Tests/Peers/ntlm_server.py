"""An HTTPS application that authenticates connections by NTLM, as IIS does: three legs on one connection, and then the
connection is the user's. Logs for each answer which connection it came on and whom it was taken for."""
import argparse, base64, http.server, itertools, json, ssl, struct, threading

arguments = argparse.ArgumentParser()
for name in ("cert", "key", "log"):
    arguments.add_argument("--" + name)
arguments = arguments.parse_args()
numbers = itertools.count(1)
lock = threading.Lock()


def challenge(number):
    """A type 2 message of MS-NLMP 2.2.1.2 whose challenge names the connection."""
    target = "CLINIC".encode("utf-16-le")
    info = struct.pack("<HH", 2, len(target)) + target + struct.pack("<HH", 0, 0)
    offset = 48
    head = b"NTLMSSP\0" + struct.pack("<I", 2) + struct.pack("<HHI", len(target), len(target), offset)
    flags = 0x00000001 | 0x00000200 | 0x00800000 | 0x00080000 | 0x00000004
    head += struct.pack("<I", flags) + struct.pack("<Q", number) + bytes(8)
    head += struct.pack("<HHI", len(info), len(info), offset + len(target))
    return base64.b64encode(head + target + info).decode()


def user(message):
    length, _, offset = struct.unpack_from("<HHI", message, 36)
    return message[offset : offset + length].decode("utf-16-le")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.number = next(numbers)
        self.challenged = False
        self.user = None

    def log_message(self, *_):
        pass

    def answer(self, status, body, *fields):
        with lock, open(arguments.log, "a") as file:
            file.write(json.dumps({"connection": self.number, "status": status, "user": self.user}) + "\n")
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self):
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if self.path.startswith("/open"):
            self.answer(200, f"{self.user}\n")
        elif scheme == "NTLM":
            message = base64.b64decode(token)
            if message[8] == 1:
                self.challenged = True
                self.answer(401, "", ("WWW-Authenticate", f"NTLM {challenge(self.number)}"))
            elif message[8] == 3 and self.challenged:
                self.user = user(message)
                self.answer(200, f"{self.user}\n")
            else:
                self.answer(400, "the third leg came without the second\n")
        elif self.user:
            self.answer(200, f"{self.user}\n")
        else:
            self.answer(401, "", ("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", "NTLM"))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


server = Server(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(arguments.cert, arguments.key)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
