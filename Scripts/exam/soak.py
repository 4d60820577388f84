"""Half an hour of mixed load: do memory, descriptors or logs grow?

Kept-alive and new connections in HTTP/1.1 and HTTP/2, 64 KiB answers, WebSockets and PostgreSQL sessions run all the
while, at a rate that leaves the processors some rest. Every five seconds the private memory (USS) and descriptors of
every process are looked at. What is printed is the slope of a straight line through the second half: growth after
warming up.
"""
import argparse, json, multiprocessing, pathlib, re, subprocess, sys, threading, time

import longlived, torture
from torture import DATABASE, PORT, rig

FIRST = 0.5  # The share of the time that is warming up.
LOADS = {
    # Each pair runs for ten seconds, one after the other, over and over.
    "HTTP/1.1": ["wrk", "-t1", "-c32", "-d8", f"https://localhost:{PORT}/1k"],
    "HTTP/1.1, 64 KiB": ["wrk", "-t1", "-c16", "-d8", f"https://localhost:{PORT}/64k"],
    "new connections": ["wrk", "-t1", "-c16", "-d8", "-H", "Connection: close", f"https://localhost:{PORT}/1k"],
    "HTTP/2": ["h2load", "-D8", "-c16", "-m8", f"https://localhost:{PORT}/1k"],
    "HTTP/2, 64 KiB": ["h2load", "-D8", "-c8", "-m4", f"https://localhost:{PORT}/64k"],
    # Connections that are thrown away in their handshake and in their request.
    "breaking off": ["timeout", "-s", "KILL", "0.3", "wrk", "-t1", "-c64", "-d8", f"https://localhost:{PORT}/64k"],
}


def private(pid):
    """The memory that is a process's own, in KiB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(number) for number in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M))


def kind(pid):
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return next((word.decode() for word in words[1:] if word), "?")


def slope(samples):
    """Of a straight line through pairs of minute and number, by least squares."""
    if len(samples) < 2:
        return 0.0
    middle = sum(x for x, _ in samples) / len(samples)
    mean = sum(y for _, y in samples) / len(samples)
    spread = sum((x - middle) ** 2 for x, _ in samples)
    return sum((x - middle) * (y - mean) for x, y in samples) / spread


class Load:
    def __init__(self):
        self.running, self.failed, self.requests = True, [], 0
        self.thread = threading.Thread(target=self.repeat)
        self.thread.start()

    def repeat(self):
        while self.running:
            for name, command in LOADS.items():
                if not self.running:
                    return
                said = subprocess.run(command, capture_output=True, text=True).stdout
                for number in re.findall(r"(\d+) requests in|(\d+) succeeded", said):
                    self.requests += int(number[0] or number[1])
                for bad in re.findall(r"Socket errors: .*|Non-2xx.*|[1-9]\d* [345]xx", said):
                    self.failed.append(f"{name}: {bad}")
                time.sleep(2)

    def end(self):
        self.running = False
        self.thread.join()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--json", type=pathlib.Path, help="where the numbers go as well")
    options = options.parse_args()
    with rig.Rig() as bench:
        bench.start_server(torture.SERVER)
        servers = multiprocessing.Process(
            target=longlived.servers, args=(bench.folder, torture.ECHO, torture.POSTGRES), daemon=True
        )
        servers.start()
        program = torture.Program(bench)
        stopping, lost = multiprocessing.Event(), multiprocessing.Queue()
        long_lived = multiprocessing.Process(
            target=longlived.clients, args=(PORT, DATABASE, 40, stopping, multiprocessing.Value("q", 0), lost)
        )
        long_lived.start()
        load = Load()
        try:
            seen = watch(bench, program, options.minutes)
        finally:
            stopping.set()
            load.end()
            long_lived.join(30)
            servers.terminate()
            program.end()
        faults = load.failed[:10] + [lost.get()[1] for _ in range(lost.qsize())]
        result = report(seen, load.requests, faults)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    raise SystemExit(1 if result["faults"] else 0)


def watch(bench, program, minutes):
    """What every process held, every five seconds."""
    seen, began = {}, time.monotonic()
    log = bench.folder / "everyhop.log"
    while (minute := (time.monotonic() - began) / 60) < minutes:
        for pid in rig.tree(program.pid):
            row = (minute, private(pid), len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())))
            seen.setdefault(f"{kind(pid)} {pid}", []).append(row)
        seen.setdefault("log", []).append((minute, log.stat().st_size / 1024, 0))
        time.sleep(5)
    return seen


def report(seen, requests, faults):
    rows = []
    for name, samples in seen.items():
        late = [sample for sample in samples if sample[0] >= samples[-1][0] * FIRST]
        rows.append({
            "process": name.split()[0],
            "first KiB": round(samples[0][1]),
            "highest KiB": round(max(sample[1] for sample in samples)),
            "last KiB": round(samples[-1][1]),
            "KiB a minute": round(slope([(x, y) for x, y, _ in late]), 2),
            "descriptors": samples[-1][2],
            "descriptors a minute": round(slope([(x, z) for x, _, z in late]), 3),
        })
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")
    print(f"{requests} requests, {len(faults)} faults")
    for fault in faults:
        print(f"  {fault}")
    return {"rows": rows, "requests": requests, "faults": faults}


if __name__ == "__main__":
    main()
