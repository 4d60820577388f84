"""The workloads of HTTP: what is asked of every proxy, and what of it is compared."""
import dataclasses
import loads, peers, rig

SERVER = rig.free_port()
ALL = list(peers.PROXIES)
FOREVER = 10**9


@dataclasses.dataclass
class Workload:
    name: str
    label: str
    # (tools, proxy, seconds) -> {"rate": ..., "cpu": ..., ...}
    run: object
    # The measure that is compared; less is better.
    compared: str = "cpu"
    peers: list = dataclasses.field(default_factory=lambda: ALL)
    # At most this ratio to the best peer is what the project wants.
    goal: float | None = None
    # Needs processes of its own, so `run` gets the name in the proxy's place.
    starts: bool = False


def measured_load(*options, rsa=False):
    """A closed loop by load.c."""
    def run(tools, proxy, seconds):
        more = ["--port", proxy.front.rsa_port, "--name", rig.RSA_NAME] if rsa else []
        return tools.measured_load(tools.command(proxy, seconds, *options, *more), proxy.pid)
    return run


def handshakes(version, *options, rsa=False):
    """connect, handshake, one proxied GET of 1 KiB, close: one operation."""
    return measured_load("--tls", version, "--connections", 16, *options, rsa=rsa)


def requests(path, connections, *options):
    """Connections that are kept."""
    return measured_load("--path", path, "--connections", connections, "--requests", FOREVER, *options)


def streams(path):
    """16 connections of 10 streams; a short run before has the connections to the server opened."""
    def run(tools, proxy, seconds):
        tools.h2load(proxy, 0.1, path)
        return loads.measured(proxy.pid, lambda: tools.h2load(proxy, seconds, path))
    return run


WORKLOADS = [
    Workload("hs-ec13", "full handshake, ECDSA P-256, TLS 1.3", handshakes("1.3"), goal=0.75),
    Workload("hs-ec12", "full handshake, ECDSA P-256, TLS 1.2", handshakes("1.2"), goal=0.75),
    Workload("hs-rsa13", "full handshake, RSA-2048, TLS 1.3", handshakes("1.3", rsa=True), goal=0.75),
    Workload("hs-rsa12", "full handshake, RSA-2048, TLS 1.2", handshakes("1.2", rsa=True), goal=0.75),
    Workload("hs-resumed", "resumed handshake, TLS 1.3", handshakes("1.3", "--resume"), goal=0.75),
    Workload("h1-1k", "HTTP/1.1, 1 KiB", requests("/1k", 64), goal=0.85),
    Workload("h1-64k", "HTTP/1.1, 64 KiB", requests("/64k", 64), goal=0.95),
    Workload("h2-1k", "HTTP/2, 1 KiB", streams("/1k"), goal=0.85),
    Workload("h2-64k", "HTTP/2, 64 KiB", streams("/64k"), goal=0.95),
    Workload("download", "10 MiB download", requests("/10m", 8), goal=0.95),
    Workload("upload", "64 KiB upload", requests("/post", 64, "--post", 65_536), goal=0.95),
]


class EqualLoad:
    """The same rate for every proxy, half of what the slowest of them carried: its latencies compare.

    Operations are due at fixed times, whether the proxy keeps up or not, and their latency begins when they are due.
    """

    def __init__(self, proxies):
        self.proxies, self.rates = proxies, {}

    def rate(self, tools, *options):
        if options not in self.rates:
            found = [tools.load(proxy, 0.4, *options) for proxy in self.proxies]
            self.rates[options] = max(1, int(0.5 * min(one["count"] / one["seconds"] for one in found)))
        return self.rates[options]

    def workload(self, name, label, *options):
        def run(tools, proxy, seconds):
            rate = self.rate(tools, *options)
            return tools.measured_load(tools.command(proxy, seconds, *options, "--rate", rate), proxy.pid)
        return Workload(name, label, run, compared="p99", goal=1)

    def workloads(self):
        return [
            self.workload("equal-hs", "p99 at equal load, full handshakes", "--connections", 64),
            self.workload(
                "equal-h1", "p99 at equal load, HTTP/1.1, 1 KiB", "--connections", 64, "--requests", FOREVER
            ),
        ]
