"""Makes load for some seconds, and tells what it cost the proxy: operations a second, microseconds of CPU for each,
percentiles of latency in microseconds, how busy the proxy was."""
import json, re, subprocess, time
import rig


def on_load_cpu():
    return [*rig.PRIORITY, "taskset", "-c", str(rig.LOAD_CPU)]


class Tools:
    """The load programs, in front of a proxy."""

    def __init__(self, bench):
        self.bench = bench

    def command(self, proxy, seconds, *options, cpu=rig.LOAD_CPU):
        """`load.c` against a proxy, beside the server if nothing else is said."""
        return [
            *rig.PRIORITY, "taskset", "-c", cpu, self.bench.compile("load"), "--port", proxy.front.port, "--seconds",
            seconds, *options,
        ]

    def load(self, proxy, seconds, *options):
        """What `load.c` counts, alone."""
        load = Load(self.command(proxy, seconds, *options))
        found = load.count()
        load.finish()
        return found

    def measured_load(self, command, pid):
        """What `load.c` finds, with what the processes below `pid` spend from its first operation on to the last."""
        return self.measured_loads([command], pid)

    def measured_loads(self, commands, pid):
        """The same for several at once: their operations together, and the latencies of the slower one."""
        loads = [Load(command) for command in commands]

        def count():
            for load in loads:
                load.begin()
            found = [load.result() for load in loads]
            return {
                key: (max if key in ("seconds", "p50", "p99", "worst") else sum)(one[key] for one in found)
                for key in found[0]
            }
        found = measured(pid, count)
        for load in loads:
            load.finish()
        return found

    def h2load(self, proxy, seconds, path, *options):
        """h2load, whose log has the time of every request."""
        log = self.bench.folder / "h2load.log"
        log.unlink(missing_ok=True)
        text = self.bench.run([
            *on_load_cpu(), "h2load", "-t1", "-c16", "-m10", f"-D{int(1000 * seconds)}ms", f"--log-file={log}",
            "--tls13-ciphers=TLS_AES_128_GCM_SHA256", *options, f"https://localhost:{proxy.front.port}{path}",
        ])
        took, unit = re.search(r"finished in ([\d.]+)(m?s)", text).groups()
        times, failed = [], 0
        for line in log.read_text().splitlines():
            _, status, time_taken = line.split("\t")[:3]
            times.append(int(time_taken))
            failed += status != "200"
        return {
            "count": len(times) - failed, "failed": failed, "seconds": float(took) / (1000 if unit == "ms" else 1),
            "p50": rig.percentile(times, 0.5) if times else 0, "p99": rig.percentile(times, 0.99) if times else 0,
        }


def measured(pid, run):
    """What `run` found, with what the processes below `pid` spent on it."""
    before, began = rig.cpu_seconds(pid), time.monotonic()
    found = run()
    used, elapsed = rig.cpu_seconds(pid) - before, time.monotonic() - began
    count = max(found["count"], 1)
    result = {
        "rate": found["count"] / found["seconds"], "cpu": 1e6 * used / count, "p50": found["p50"], "p99": found["p99"],
        "busy": used / elapsed, "failed": found["failed"],
    }
    if found.get("handshakes"):
        result["resumed"] = found["resumed"] / found["handshakes"]
    return result


class Load:
    """`load.c`, which has opened what connections it keeps, and begins when it is told to."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        _, self.opened, self.failed = map(int, ("0 " + self.process.stdout.readline().removeprefix("ready")).split())

    def begin(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def count(self):
        """Has it make its load; its connections are open still."""
        self.begin()
        return self.result()

    def result(self):
        """What it has counted, once it is through."""
        return json.loads(self.process.stdout.readline())

    def finish(self):
        """What it has counted since; its connections are closed."""
        rest = self.process.communicate()[0]
        return json.loads(rest) if rest else None
