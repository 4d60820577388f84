"""Reloads, certificate swaps, binary upgrades and killed workers under full load: who notices?

Under wrk (HTTP/1.1), h2load and clients of our own (HTTP/2) at full rate, and 200 connections that live all the while
(WebSockets and PostgreSQL sessions, each asked every second), the program is reloaded 100 times, gets 20 new
certificates, is replaced 10 times while it runs, and 20 of its workers are killed. Every request that fails is counted;
after a kill, only connections of that very worker may be among them.

h2load does not connect again when it is told to go away: requests that it had not sent count as errors there. It is
here for its pressure, runs a second at a time, and what counts of it are answers other than 200; the clients of our own
obey GOAWAY (RFC 9113, 6.8) and count everything.
"""
import argparse, json, multiprocessing, os, pathlib, random, re, signal, subprocess, sys, threading, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import rig
import longlived, http2client

# Seconds: a worker that has lived so long is followed at once (`RestartPause.longLife`), others after a pause.
LONG_LIFE = 10
PORT, DATABASE, SERVER, ECHO, POSTGRES, ADMIN = (rig.free_port() for _ in range(6))


def configuration(bench, turn):
    """One that serves the same, but differs from the last one."""
    return f"""
[server]
workers = 2
admin = "127.0.0.1:{ADMIN}"
drain = "20s"
drain_sessions = "1h"
[log]
access = "off"
level = "info"
[certificate.portal]
chain = "portal.pem"
key = "portal.key"
[[site]]
name = "portal"
upstream = "app"
[[site.binding]]
ip = "127.0.0.1"
port = {PORT}
certificate = "portal"
[[site.route]]
path = "/echo"
upstream = "echo"
[[site.route]]
path = "/turn/{turn}/"
upstream = "echo"
[[database]]
name = "ehr"
protocol = "postgres"
server = "127.0.0.1:{POSTGRES}"
server_name = "localhost"
trust = {{ pins = ["{bench.pin}"] }}
[[database.binding]]
ip = "127.0.0.1"
port = {DATABASE}
""" + bench.everyhop_upstream("app", SERVER) + bench.everyhop_upstream("echo", ECHO)


def wait_for(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds} s for {what}")
        time.sleep(0.02)


class Program:
    """The program under torture, through all its masters."""

    def __init__(self, bench):
        self.bench = bench
        self.pid_file = bench.folder / "everyhop.pid"
        # Upgrades start the file again, so it has one of its own.
        self.file = bench.folder / "everyhop"
        self.install()
        bench.write("everyhop.toml", configuration(bench, 0))
        command = [self.file, "run", "--config", "everyhop.toml", "--pid-file", self.pid_file]
        with open(bench.folder / "everyhop.log", "wb") as log:
            self.first = subprocess.Popen(list(map(str, command)), cwd=bench.folder, stdout=log, stderr=log)
        bench.processes.append(self.first)
        bench.wait_for_answer(PORT)

    def install(self):
        fresh = self.bench.folder / "everyhop.new"
        fresh.write_bytes(rig.EVERYHOP.read_bytes())
        fresh.chmod(0o755)
        fresh.rename(self.file)

    @property
    def pid(self):
        return int(self.pid_file.read_text())

    def workers(self):
        """The process numbers of the master's workers, those that drain included."""
        found = []
        for child in pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            try:
                words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"worker" in words:
                found.append(int(child))
        return found

    def says(self, text):
        return self.bench.read("everyhop.log").count(text)

    def reload(self, turn):
        self.bench.write("next.toml", configuration(self.bench, turn)).rename(self.bench.folder / "everyhop.toml")
        before = self.says("ready")
        os.kill(self.pid, signal.SIGHUP)
        wait_for("a reload", 30, lambda: self.says("ready") > before)

    def swap(self, name):
        for kind in ("key", "pem"):
            (self.bench.folder / f"{name}.{kind}").rename(self.bench.folder / f"portal.{kind}")
        wanted = self.bench.run([self.file, "cert", "show", "portal.pem"])
        wanted = re.search(r"sha256/\S+", wanted).group()
        wait_for("a new certificate", 30, lambda: wanted in self.pins())

    def pins(self):
        """Those that new handshakes show; several are asked, since each worker answers for itself."""
        seen = set()
        for _ in range(6):
            said = subprocess.run([self.file, "pin", f"localhost:{PORT}"], capture_output=True, text=True).stdout
            seen |= set(re.findall(r"sha256/[^\s\"]+", said))
        return seen if len(seen) == 1 else set()

    def upgrade(self):
        self.install()
        old = self.pid
        os.kill(old, signal.SIGUSR2)
        wait_for("an upgrade", 60, lambda: self.pid != old and len(self.workers()) >= 2)

    def kill(self):
        """Kills a worker at random that has lived for long; answers the clients' ports that it served."""
        wait_for("a worker that has lived for long", 60, self.seasoned)
        victim, pauses = random.choice(self.seasoned()), self.says("after a pause of")
        # Held first, or it would accept more between the look and its end.
        os.kill(victim, signal.SIGSTOP)
        wait_for("a worker that is held", 5, lambda: ") T" in pathlib.Path(f"/proc/{victim}/stat").read_text())
        ports = self.ports(victim)
        os.kill(victim, signal.SIGKILL)
        wait_for("a new worker", 30, lambda: victim not in (now := self.workers()) and len(now) >= 2)
        if self.says("after a pause of") > pauses:
            raise SystemExit("a worker that had lived for long was followed after a pause")
        return ports

    def seasoned(self):
        """The workers that have lived for long."""
        now = float(pathlib.Path("/proc/uptime").read_text().split()[0])
        found = []
        for worker in self.workers():
            try:
                fields = pathlib.Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if now - int(fields[19]) / os.sysconf("SC_CLK_TCK") > LONG_LIFE + 1:
                found.append(worker)
        return found

    def end(self):
        """Ends the master that is left, whoever started it."""
        try:
            os.kill(self.pid, signal.SIGTERM)
            wait_for("the end", 60, lambda: not pathlib.Path(f"/proc/{self.pid}/exe").exists())
        except (FileNotFoundError, ProcessLookupError):
            pass

    def ports(self, pid):
        """The peers' ports of every connection to the program's own ports that a process holds."""
        inodes = set()
        for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(path)))
            except FileNotFoundError:
                pass
        found = set()
        # The table moves while it is read: one reading may leave out what another one has.
        for _ in range(5):
            for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
                fields = line.split()
                here, there = (int(end.split(":")[1], 16) for end in fields[1:3])
                if fields[9] in inodes and here in (PORT, DATABASE):
                    found.add(there)
        return found


class Load:
    """What runs all the while, and what failed of it."""

    def __init__(self, bench, long_lived):
        self.bench = bench
        self.stopping = multiprocessing.Event()
        self.alive, self.answers = multiprocessing.Value("q", 0), multiprocessing.Value("q", 0)
        self.lost = multiprocessing.Queue()
        self.children = [
            multiprocessing.Process(
                target=longlived.clients, args=(PORT, DATABASE, long_lived, self.stopping, self.alive, self.lost)
            ),
            multiprocessing.Process(target=http2client.run, args=(PORT, 4, 8, self.stopping, self.answers, self.lost)),
        ]
        for child in self.children:
            child.start()

    def phase(self, name, work):
        """Does the work under wrk and h2load; answers a row of numbers, and what was lost by its client's port."""
        running = threading.Event()
        running.set()
        row = dict.fromkeys(("wrk", "wrk failed", "h2load", "h2load not 200", "h2load not sent", "h2load hung"), 0)

        def repeat(command, count):
            while running.is_set():
                try:
                    command_line = [*command, f"https://localhost:{PORT}/1k"]
                    count(subprocess.run(command_line, capture_output=True, text=True, timeout=15).stdout)
                except subprocess.TimeoutExpired:
                    # h2load waits for ever for a connection that was reset.
                    row["h2load hung"] += 1

        def count_wrk(said):
            row["wrk"] += int(re.search(r"(\d+) requests in", said).group(1))
            for numbers in re.findall(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said):
                row["wrk failed"] += sum(map(int, numbers))
            for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", said):
                row["wrk failed"] += int(number)

        def count_h2load(said):
            done = re.search(r"(\d+) succeeded, (\d+) failed", said)
            codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
            row["h2load"] += int(done.group(1))
            row["h2load not sent"] += int(done.group(2))
            row["h2load not 200"] += sum(int(codes.group(n)) for n in (2, 3, 4))

        threads = [
            threading.Thread(target=repeat, args=(["wrk", "-t1", "-c64", "-d2"], count_wrk)),
            threading.Thread(target=repeat, args=(["h2load", "-D1", "-c8", "-m8"], count_h2load)),
        ]
        began, answers = time.monotonic(), self.answers.value
        for thread in threads:
            thread.start()
        try:
            times = work()
        finally:
            running.clear()
            for thread in threads:
                thread.join()
        lost = []
        while not self.lost.empty():
            lost.append(self.lost.get())
        seconds = round(time.monotonic() - began, 1)
        row = {"phase": name, "times": times, "seconds": seconds, **row}
        row |= {"own HTTP/2": self.answers.value - answers, "own and long-lived lost": len(lost)}
        print(json.dumps(row), flush=True)
        for port, reason in lost[:10]:
            print(f"  port {port}: {reason}", flush=True)
        return row, lost

    def end(self):
        self.stopping.set()
        for child in self.children:
            child.join(30)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, count in (("reloads", 100), ("swaps", 20), ("upgrades", 10), ("kills", 20), ("long-lived", 200)):
        options.add_argument(f"--{name}", type=int, default=count)
    options.add_argument("--json", type=pathlib.Path, help="where the numbers go as well")
    options = options.parse_args()
    with rig.Rig() as bench:
        for turn in range(options.swaps):
            bench.run([rig.EVERYHOP, "cert", "self-signed", "localhost", "--out", f"next{turn}"])
        bench.start_server(SERVER)
        servers = multiprocessing.Process(target=longlived.servers, args=(bench.folder, ECHO, POSTGRES), daemon=True)
        servers.start()
        program = Program(bench)
        load = Load(bench, options.long_lived)
        try:
            faults = torture(program, load, options)
        except BaseException:
            print(bench.read("everyhop.log")[-4000:], file=sys.stderr)
            raise
        finally:
            load.end()
            servers.terminate()
            program.end()
    raise SystemExit(1 if faults else 0)


def torture(program, load, options):
    """Answers what failed that may not."""
    wait_for("long-lived connections", 60, lambda: load.alive.value >= options.long_lived or not load.lost.empty())
    killed = set()

    def each(count, work):
        for turn in range(count):
            work(turn)
        return count

    rows = [
        load.phase("reload", lambda: each(options.reloads, lambda n: program.reload(n + 1))),
        load.phase("certificate swap", lambda: each(options.swaps, lambda n: program.swap(f"next{n}"))),
        load.phase("binary upgrade", lambda: each(options.upgrades, lambda n: program.upgrade())),
        load.phase("killed worker", lambda: each(options.kills, lambda n: killed.update(program.kill()))),
    ]
    faults = []
    for row, lost in rows[:-1]:
        if row["wrk failed"] or row["h2load not 200"] or lost:
            faults.append(f"{row['phase']}: requests failed")
    row, lost = rows[-1]
    row["connections of killed workers"] = len(killed)
    strangers = {port for port, _ in lost} - killed
    if strangers or row["wrk failed"] > len(killed):
        faults.append(f"killed worker: more was lost than its connections: {sorted(strangers)}")
    print("failed: " + "; ".join(faults) if faults else f"nothing failed but {len(killed)} connections of killed workers")
    if options.json:
        options.json.write_text(json.dumps({"rows": [row for row, _ in rows], "faults": faults}, indent=1))
    return faults


if __name__ == "__main__":
    main()
