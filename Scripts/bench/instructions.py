"""Instructions, as valgrind's callgrind counts them: of the pure parts (`Sources/Instructions`), and of whole operations
through a worker. They hardly depend on how busy a machine is, so they are compared with what `instructions.json` holds.

Each number is the difference between two counts of operations, so what happens once is in none. More than the tolerance
above its threshold is a regression, and ends with 1.

The pure parts can be counted at any time; the worker has to be given half a processor at least, or the master takes it for
one that does not begin.
"""
import argparse, json, os, pathlib, re, sys, time
import loads, peers, rig

THRESHOLDS = rig.SOURCES / "instructions.json"
PROGRAM = pathlib.Path(os.environ.get("INSTRUCTIONS", ".build/release/Instructions")).resolve()
CALLGRIND = ["valgrind", "--tool=callgrind", "-q"]
# Swift's name of what counts (Instructions.swift).
MEASURED = "$s12Instructions8measured*"
FEW, MANY = 20, 120
TOLERANCE = 3


def total(file):
    """All instructions of a dump."""
    return int(re.search(r"^totals: (\d+)", file.read_text(), re.M).group(1))


# MARK: pure parts

def count_part(bench, program, name, count):
    out = bench.folder / "part.out"
    bench.run([
        *rig.PRIORITY, *CALLGRIND, f"--callgrind-out-file={out}", f"--toggle-collect={MEASURED}", program, name, count,
    ])
    return total(out)


def count_parts(bench, wanted):
    """valgrind cannot read the debug information of today's compilers, but does without."""
    program = bench.folder / "parts"
    bench.run(["strip", "--strip-debug", "-o", program, PROGRAM])
    names = [name for name in bench.run([program]).splitlines() if wanted(name)]
    return {
        name: (count_part(bench, program, name, MANY) - count_part(bench, program, name, FEW)) / (MANY - FEW)
        for name in names
    }


# MARK: whole operations

class Worker:
    """everyhop with one worker, which runs in valgrind; all else runs as always."""

    def __init__(self, bench):
        self.bench = bench
        self.front = peers.Front(rig.free_port())
        bench.start_server(self.front.server)
        program = bench.folder / "everyhop-stripped"
        bench.run(["strip", "--strip-debug", "-o", program, rig.EVERYHOP])
        preload = bench.folder / "preload.so"
        bench.run(["gcc", "-O2", "-shared", "-fPIC", "-o", preload, rig.SOURCES / "preload.c", "-ldl"])
        self.out = bench.folder / "worker.out"
        os.environ["EVERYHOP_FILE"] = str(program)
        under = ["/usr/bin/valgrind", *CALLGRIND[1:], f"--callgrind-out-file={self.out}"]
        os.environ["EVERYHOP_UNDER"] = " ".join(under)
        command = peers.everyhop(bench, self.front)
        bench.patience = 300
        self.process = bench.start("everyhop", ["env", f"LD_PRELOAD={preload}", program, *command[1:]], "0,1")
        bench.wait_for_answer(self.front.port)
        self.worker = self.find()

    def find(self):
        """The worker's process, which is named after valgrind."""
        for pid in rig.tree(self.process.pid):
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"worker" in arguments and b"--tool=callgrind" in arguments:
                return pid
        raise SystemExit("there is no worker in valgrind")

    def control(self, what):
        self.bench.run(["callgrind_control", what, self.worker])

    def count(self, run):
        """Instructions of the worker while `run` makes its operations."""
        dumps = set(self.dumps())
        self.control("--zero")
        run()
        self.control("--dump")
        return sum(total(file) for file in set(self.dumps()) - dumps)

    def dumps(self):
        return self.bench.folder.glob("worker.out.*")


def by_load(*options):
    def run(tools, worker, count):
        command = [
            *rig.PRIORITY, tools.bench.compile("load"), "--port", worker.front.port, "--connections", 1, "--seconds", 300,
            "--count", count, *options,
        ]
        load = loads.Load(command)
        found = {}
        instructions = worker.count(lambda: found.update(load.count()))
        load.finish()
        require(found["count"], count)
        require(found["resumed"], count if "--resume" in options else 0)
        return instructions
    return run


def by_h2load(path):
    def run(tools, worker, count):
        url = f"https://localhost:{worker.front.port}{path}"
        command = [*rig.PRIORITY, "h2load", "-t1", "-c1", "-m1", f"-n{count}", url]

        def ask():
            text = tools.bench.run(command)
            require(int(re.search(r"status codes: (\d+) 2xx", text).group(1)), count)
        return worker.count(ask)
    return run


def require(found, wanted):
    if found != wanted:
        raise SystemExit(f"{found} operations instead of {wanted}")


FOREVER = ("--requests", 10**9)
# What is done, and how often at the most: so often that the work of every 200 ms has its usual share.
OPERATIONS = {
    "full handshake, TLS 1.3, with a request": (by_load(), 100),
    "full handshake, TLS 1.2, with a request": (by_load("--tls", "1.2"), 100),
    "resumed handshake, TLS 1.3, with a request": (by_load("--resume"), 150),
    "HTTP/1.1 request, 1 KiB": (by_load(*FOREVER), 4000),
    "HTTP/1.1 request, 64 KiB": (by_load("--path", "/64k", *FOREVER), 600),
    "HTTP/1.1 upload, 64 KiB": (by_load("--path", "/post", "--post", 65_536, *FOREVER), 600),
    "HTTP/2 request, 1 KiB": (by_h2load("/1k"), 4000),
    "HTTP/2 request, 64 KiB": (by_h2load("/64k"), 600),
}


def count_operations(bench, wanted):
    operations = {name: one for name, one in OPERATIONS.items() if wanted(name)}
    if not operations:
        return {}
    tools, worker = loads.Tools(bench), Worker(bench)
    found = {}
    for name, (run, most) in operations.items():
        few = most // 4
        # Whatever is allocated, or learnt of the server, for the first of their kind.
        run(tools, worker, few)
        found[name] = (run(tools, worker, most) - run(tools, worker, few)) / (most - few)
    return found


# MARK: comparing

def compare(found, thresholds, tolerance):
    """Prints every number beside its threshold; those that are too high."""
    worse = []
    print("| what | instructions | threshold | change |\n|---|---|---|---|")
    for name, number in found.items():
        threshold = thresholds.get(name)
        change = 100 * (number / threshold - 1) if threshold else None
        print(f"| {name} | {number:.0f} | {threshold or '-'} | {f'{change:+.1f} %' if threshold else 'new'} |")
        if change is not None and change > tolerance:
            worse.append(name)
    return worse


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="keep what is found as thresholds")
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="per cent")
    arguments = parser.parse_args()
    began = time.monotonic()
    def wanted(name):
        return arguments.only.lower() in name.lower()
    with rig.Rig() as bench:
        bench.make_rsa_certificate()
        found = count_parts(bench, wanted) | count_operations(bench, wanted)
    thresholds = json.loads(THRESHOLDS.read_text()) if THRESHOLDS.exists() else {}
    worse = compare(found, thresholds, arguments.tolerance)
    print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)
    if arguments.write:
        thresholds |= {name: round(number) for name, number in found.items()}
        THRESHOLDS.write_text(json.dumps(thresholds, indent=1) + "\n")
    elif worse:
        raise SystemExit(f"more than {arguments.tolerance:g} % above the threshold: {', '.join(worse)}")


if __name__ == "__main__":
    main()
