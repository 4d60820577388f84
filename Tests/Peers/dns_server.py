"""A name server that knows every name under .test: it answers with one address, until it is stopped (SIGSTOP)."""
import argparse, socket

arguments = argparse.ArgumentParser()
arguments.add_argument("--address", default="127.0.0.1")
arguments = arguments.parse_args()
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, client = server.recvfrom(512)
    end = 12
    while query[end]:
        end += 1 + query[end]
    question, kind = query[12:end + 5], query[end + 1:end + 3]
    known = b"\x04test\x00" in question and kind == b"\0\1"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(arguments.address) if known else b""
    flags = b"\x85\x80" if b"\x04test\x00" in question else b"\x85\x83"
    server.sendto(query[:2] + flags + b"\0\1" + bytes([0, 1 if known else 0]) + bytes(4) + question + answer, client)
