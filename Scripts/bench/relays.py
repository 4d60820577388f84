"""The database hop beside stunnel and HAProxy (TCP mode): clients in plain on this host, verified TLS to the server.

PostgreSQL: HAProxy cannot ask PostgreSQL for TLS, so the TLS server of all three is one stunnel with a thread per session,
which answers that question for everyhop and stunnel; HAProxy is spared one round trip per session. Like PostgreSQL 15, it
takes P-256 and AES-256 only, and resumes no session.

SQL Server: no other proxy speaks TDS. everyhop begins TLS inside PRELOGIN, as servers demand; stunnel and HAProxy wrap the
whole stream, which our server (`tds.c`) takes as well and SQL Server takes from clients of TDS 8.0 only.
"""
import json, os, pathlib, re, time
import loads, rig, web

POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")
PEERS = ["everyhop", "stunnel", "haproxy"]
CLIENTS = 8
STUNNEL = """foreground = yes
pid = {folder}/{name}.pid
debug = err
sessionResume = no
"""


class Relay:
    """One of the three, as it runs."""

    def __init__(self, pid, ports):
        self.pid, self.ports = pid, ports


class Servers:
    """PostgreSQL, the TLS before it, a server of TDS, and the relays to both."""

    def __init__(self, bench):
        self.bench = bench
        self.postgres, self.asked, self.at_once, self.tds = (rig.free_port() for _ in range(4))
        self.become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []

    def start(self, tools):
        os.environ["PGSSLMODE"] = "disable"
        self.start_postgres()
        self.start_tls()
        self.bench.start("tds", [tools.bench.compile("tds"), "serve", self.tds, "app.pem", "app.key"], rig.LOAD_CPU)
        relays = {name: self.start_relay(name) for name in PEERS}
        for relay in relays.values():
            for port in relay.ports.values():
                self.bench.wait_for_port(port)
        self.fill(relays["everyhop"].ports["postgres"])
        return relays

    def start_postgres(self):
        folder = self.bench.folder / "postgres"
        folder.mkdir()
        if self.become:
            self.bench.run(["chown", "postgres", folder])
        self.bench.run([*self.become, POSTGRES / "initdb", "-D", folder / "data", "-U", "bench", "-A", "trust", "--no-sync"])
        self.bench.start("postgres-server", [
            *self.become, POSTGRES / "postgres", "-D", folder / "data", "-p", self.postgres, "-k", folder,
            "-c", "fsync=off", "-c", "listen_addresses=",
        ], rig.LOAD_CPU)

    def start_tls(self):
        folder = self.bench.folder
        self.bench.write("app-both.pem", self.bench.read("app.pem") + self.bench.read("app.key"))
        socket = f"{folder}/postgres/.s.PGSQL.{self.postgres}"
        self.bench.write("tls.conf", STUNNEL.format(folder=folder, name="tls") + f"""
cert = {folder}/app-both.pem
curves = prime256v1
ciphersuites = TLS_AES_256_GCM_SHA384
[question]
accept = 127.0.0.1:{self.asked}
connect = {socket}
protocol = pgsql
[at-once]
accept = 127.0.0.1:{self.at_once}
connect = {socket}
""")
        self.bench.start("tls", ["stunnel", "tls.conf"], rig.LOAD_CPU)
        self.bench.wait_for_port(self.at_once)

    def start_relay(self, name):
        ports = {"postgres": rig.free_port(), "tds": rig.free_port()}
        command = {"everyhop": self.everyhop, "stunnel": self.stunnel, "haproxy": self.haproxy}[name](ports)
        return Relay(self.bench.start(f"{name}-relay", command, rig.PROXY_CPU).pid, ports)

    def everyhop(self, ports):
        databases = "".join(f"""
[[database]]
name = "{name}"
protocol = "{name}"
server = "127.0.0.1:{server}"
server_name = "localhost"
trust = {{ ca = "app.pem", pins = ["{self.bench.pin}"] }}
[[database.binding]]
port = {ports[name]}
""" for name, server in (("postgres", self.asked), ("tds", self.tds)))
        self.bench.write("relay.toml", f"""
[server]
workers = 1
[log]
access = "off"
level = "critical"
{databases}""")
        return [rig.EVERYHOP, "run", "--config", "relay.toml"]

    def stunnel(self, ports):
        folder = self.bench.folder
        self.bench.write("relay-stunnel.conf", STUNNEL.format(folder=folder, name="relay-stunnel") + "".join(f"""
[{name}]
client = yes
accept = 127.0.0.1:{ports[name]}
connect = 127.0.0.1:{server}
{more}
CAfile = {folder}/app.pem
verifyChain = yes
checkHost = localhost
""" for name, server, more in (("postgres", self.asked, "protocol = pgsql"), ("tds", self.tds, ""))))
        return ["stunnel", "relay-stunnel.conf"]

    def haproxy(self, ports):
        self.bench.write("relay-haproxy.cfg", """
global
    nbthread 1
    maxconn 2000
defaults
    mode tcp
    timeout connect 5s
    timeout client 5m
    timeout server 5m
""" + "".join(f"""
listen {name}
    bind 127.0.0.1:{ports[name]}
    server one 127.0.0.1:{server} ssl no-ssl-reuse verify required ca-file app.pem verifyhost localhost sni str(localhost)
""" for name, server in (("postgres", self.at_once), ("tds", self.tds))))
        return ["haproxy", "-f", "relay-haproxy.cfg", "-db"]

    def fill(self, port):
        deadline = time.monotonic() + 20
        ready = [POSTGRES / "pg_isready", "-q", "-h", self.bench.folder / "postgres", "-p", self.postgres]
        while self.bench.outcome(ready):
            if time.monotonic() > deadline:
                raise SystemExit(f"no PostgreSQL: {self.bench.read('postgres-server.log')}")
            time.sleep(0.1)
        self.bench.run(["psql", *client(port), "-d", "postgres", "-qc", "CREATE DATABASE bench"])
        self.bench.run(["pgbench", *client(port), "-i", "-q", "-s", "2", "bench"])


def client(port):
    return ["-h", "127.0.0.1", "-p", str(port), "-U", "bench"]


def pgbench(*options):
    def run(tools, relay, seconds):
        return loads.measured(relay.pid, lambda: transactions(tools.bench, relay.ports["postgres"], seconds, options))
    return run


def transactions(bench, port, seconds, options):
    """What pgbench counts; latencies from its log, which has a line per transaction."""
    whole = max(1, round(seconds))
    text = bench.run([
        *loads.on_load_cpu(), "pgbench", "-n", *client(port), "-c", CLIENTS, "-j1", "-T", whole, "-l", "--log-prefix=pgbench",
        *options, "bench",
    ])
    times = []
    for log in bench.folder.glob("pgbench.*"):
        times += [int(line.split(" ")[2]) for line in log.read_text().splitlines()]
        log.unlink()
    count = int(re.search(r"actually processed: (\d+)", text).group(1))
    failed = int(re.search(r"number of failed transactions: (\d+)", text).group(1))
    return {
        "count": count, "failed": failed, "seconds": whole, "p50": rig.percentile(times, 0.5),
        "p99": rig.percentile(times, 0.99),
    }


def tds(batches):
    def run(tools, relay, seconds):
        command = [
            *loads.on_load_cpu(), tools.bench.compile("tds"), "load", relay.ports["tds"], CLIENTS, seconds, batches,
        ]
        return loads.measured(relay.pid, lambda: json.loads(tools.bench.run(command)))
    return run


WORKLOADS = [
    web.Workload("pg-select", "PostgreSQL, SELECT, prepared", pgbench("-S", "-M", "prepared"), peers=PEERS),
    web.Workload("pg-update", "PostgreSQL, UPDATE and INSERT", pgbench("-N"), peers=PEERS),
    web.Workload("pg-connect", "PostgreSQL, a new connection each", pgbench("-S", "-C"), peers=PEERS),
    web.Workload("tds-batch", "SQL Server, batches answered by 1 KiB", tds(0), peers=PEERS),
    web.Workload("tds-connect", "SQL Server, a new session each", tds(1), peers=PEERS),
]
