"""One client that gets its answers at a steady rate, while others attack: what they cost it is what is measured.

The worker has processor 0; the client, the server and the attackers share processor 1. As root, worker, server and client
run in real time, so that other programs of this machine do not make them wait.
"""
import os, pathlib, rig

# Its priority in real time.
MEASURED = 2


class Bystander:
    """The program with the servers behind it, and the client that is timed.

    `more` is added to its configuration, which has an upstream `bulk`, a server of its own for what attackers ask for: that
    a server is busy is not the proxy's fault. `protocol` is what h2load is told of the version.
    """

    def __init__(self, bench, arguments, port, server_port, bulk_port, more, protocol=()):
        self.bench, self.arguments, self.port, self.protocol = bench, arguments, port, protocol
        self.command = ["taskset", "-c", str(rig.LOAD_CPU)]
        server = bench.start_server(server_port)
        bench.start_server(bulk_port, "bulk-server")
        bench.write("everyhop.toml", "\n".join((
            bench.everyhop_config(port, server_port), bench.everyhop_upstream("bulk", bulk_port),
            "[[site.route]]\npath = \"/100m\"\nupstream = \"bulk\"", *more,
        )))
        master = bench.start("everyhop", [rig.EVERYHOP, "run", "--config", "everyhop.toml"], rig.PROXY_CPU)
        bench.wait_for_answer(port)
        self.worker = next(
            pid for pid in rig.tree(master.pid) if b"worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        if os.geteuid() == 0:
            for pid in [self.worker, *rig.tree(server.pid)]:
                os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(MEASURED))
            self.command = ["chrt", "-f", str(MEASURED), *self.command]

    def client(self):
        """Microseconds of each answer that one client gets, at a steady rate over one connection."""
        log = self.bench.folder / "client.log"
        count = int(self.arguments.rate * self.arguments.seconds)
        self.bench.run([
            *self.command, "h2load", *self.protocol, "-c1", "-m1", f"--rps={self.arguments.rate}", f"-n{count}",
            f"--log-file={log}", f"https://localhost:{self.port}/1k",
        ])
        rows = [line.split("\t") for line in log.read_text().splitlines()]
        log.unlink()
        if len(rows) != count or any(row[1] != "200" for row in rows):
            raise SystemExit(f"the client got {len(rows)} answers of {count}, of {set(row[1] for row in rows)}")
        return [int(row[2]) for row in rows]
