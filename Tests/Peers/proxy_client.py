"""A load balancer's connection, byte by byte as the test wants it: a PROXY header, TLS perhaps, and one request.
Prints what came back, or nothing."""
import argparse, socket, ssl, sys, time

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int)
arguments.add_argument("--ca")
arguments.add_argument("--source", default="127.0.0.1")
arguments.add_argument("--header", default="")
arguments.add_argument("--hex", default="")
arguments.add_argument("--pieces", action="store_true", help="every byte of the header on its own")
arguments.add_argument("--plain", action="store_true", help="no TLS")
arguments.add_argument("--end", action="store_true", help="nothing after the header, and the end of the stream")
arguments.add_argument("--path", default="/")
arguments = arguments.parse_args()
header = arguments.header.encode() + bytes.fromhex(arguments.hex)
request = f"GET {arguments.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
connection = socket.create_connection(("127.0.0.1", arguments.port), 20, (arguments.source, 0))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def receive():
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def send_header(first):
    if not arguments.pieces:
        connection.sendall(header + first)
        return
    for index in range(len(header)):
        connection.sendall(header[index : index + 1])
        # Every byte is to be a segment of its own.
        time.sleep(0.002)
    connection.sendall(first)


if arguments.end:
    send_header(b"")
    connection.shutdown(socket.SHUT_WR)
    print(receive().decode("latin-1"), end="")
    sys.exit()
if arguments.plain:
    send_header(request)
    while data := receive():
        print(data.decode("latin-1"), end="")
    sys.exit()
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = ssl.create_default_context(cafile=arguments.ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
isFirst = True


def flush():
    global isFirst
    if not outgoing.pending:
        return
    data = outgoing.read()
    try:
        if isFirst:
            send_header(data)
        else:
            connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        sys.exit()
    isFirst = False


def step(what):
    while True:
        try:
            done = what()
            flush()
            return done
        except ssl.SSLWantReadError:
            flush()
            data = receive()
            if not data:
                sys.exit()
            incoming.write(data)
        except ssl.SSLError:
            sys.exit()


step(tls.do_handshake)
step(lambda: tls.write(request))
while data := step(lambda: tls.read(65536)):
    print(data.decode("latin-1"), end="", flush=True)
