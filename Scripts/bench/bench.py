"""everyhop beside nginx, HAProxy, h2o, nghttpx, Caddy and stunnel, in one run; docs/performance.md says what is measured.

One worker or thread each on processor 0, one proxy at work at a time; load and server on processor 1. In every round each
workload meets each proxy once, in an order that changes from round to round. Medians of the rounds are printed.
"""
import argparse, os, pathlib, sys, time
import lifecycle, loads, peers, plot, relays, report, rig, web

ROOT = rig.SOURCES.parent.parent
FLOORS = {
    "hs-ec13": ("ECDSA P-256, TLS 1.3", ("portal", "1.3")),
    "hs-ec12": ("ECDSA P-256, TLS 1.2", ("portal", "1.2")),
    "hs-rsa13": ("RSA-2048, TLS 1.3", ("portal-rsa", "1.3")),
    "hs-rsa12": ("RSA-2048, TLS 1.2", ("portal-rsa", "1.2")),
    "hs-resumed": ("resumed, TLS 1.3", ("portal", "1.3", "resume")),
}


class Run:
    """What is measured in all rounds."""

    def __init__(self, bench, arguments):
        self.bench, self.arguments = bench, arguments
        self.tools = loads.Tools(bench)
        self.names = arguments.peers.split(",") if arguments.peers else report.ORDER
        self.wanted = arguments.only.split(",") if arguments.only else None
        self.floors = {name: [] for name in FLOORS if self.wants("floor") or self.wants(name)}
        self.web = [name for name in peers.PROXIES if name in self.names]
        self.proxies, self.relays = {}, {}
        self.workloads = self.choose(web.WORKLOADS)
        self.equal_load = web.EqualLoad(self.proxies.values())
        self.workloads += self.choose(self.equal_load.workloads())
        self.on_relays = self.choose(relays.WORKLOADS)
        self.alone = self.choose(lifecycle.WORKLOADS)
        everything = self.workloads + self.on_relays + self.alone
        self.rows = {workload.name: {name: [] for name in self.peers_of(workload)} for workload in everything}

    def wants(self, name):
        return self.wanted is None or any(name.startswith(wish) for wish in self.wanted)

    def choose(self, workloads):
        return [workload for workload in workloads if self.wants(workload.name)]

    def peers_of(self, workload):
        return [name for name in workload.peers if name in self.names]

    def start(self):
        if self.workloads or self.alone:
            self.bench.start_server(web.SERVER)
        if self.workloads:
            self.proxies.update({name: peers.Proxy(self.bench, name, web.SERVER) for name in self.web})
        if self.on_relays:
            self.relays = relays.Servers(self.bench).start(self.tools)

    def round(self, number):
        for name, rows in self.floors.items():
            rows.append(self.floor(*FLOORS[name][1]))
        for workload in self.workloads:
            self.measure(workload, number, self.proxies)
        for workload in self.on_relays:
            self.measure(workload, number, self.relays)

    def round_alone(self, number):
        for workload in self.alone:
            self.measure(workload, number, {name: name for name in self.names})

    def measure(self, workload, number, proxies):
        """A workload once for each proxy, beginning with another one in each round."""
        names = self.peers_of(workload)
        turn = number % max(1, len(names))
        for name in names[turn:] + names[:turn]:
            row = workload.run(self.tools, proxies[name], self.arguments.seconds)
            self.rows[workload.name][name].append(row)
            if self.arguments.verbose:
                print(f"{number + 1} {workload.name} {name}: {report.text_of(workload, row)}", file=sys.stderr)

    def floor(self, certificate, *options):
        command = [
            *rig.PRIORITY, "taskset", "-c", rig.PROXY_CPU, self.bench.compile("floor"), f"{certificate}.pem",
            f"{certificate}.key", options[0], min(self.arguments.seconds, 0.5), *options[1:],
        ]
        return float(self.bench.run(command))

    def stop(self):
        """The proxies that serve all rounds have to be gone before processes are measured that run alone."""
        for process in [proxy.process for proxy in self.proxies.values()]:
            self.bench.end(process)

    def results(self):
        everything = self.workloads + self.on_relays + self.alone
        return [report.Result(workload, self.rows[workload.name]) for workload in everything]


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="for each workload, proxy and round")
    parser.add_argument("--only", help="workloads, or how their names begin, separated by commas")
    parser.add_argument("--peers", help="proxies, separated by commas")
    parser.add_argument("--real-time", action="store_true", help="let no other program of this machine in between")
    parser.add_argument("--list", action="store_true", help="print the workloads")
    parser.add_argument("--verbose", action="store_true", help="print each measurement")
    parser.add_argument("--write", type=pathlib.Path, default=ROOT / ".build/bench", help="a folder, such as docs")
    return parser.parse_args()


def write(folder, results, floors, around):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "performance.json").write_text(report.as_json(results, floors, around))
    (folder / "performance.svg").write_text(plot.svg(results))
    content = report.text(results, floors, around)
    page = folder / "performance.md"
    if page.exists() and report.BEGIN in page.read_text():
        report.insert(page, content)
    else:
        page.write_text(content + "\n")
    print(f"{content}\n\nwritten to {folder}")


def main():
    arguments = read_arguments()
    if arguments.list:
        everything = web.WORKLOADS + web.EqualLoad([]).workloads() + relays.WORKLOADS + lifecycle.WORKLOADS
        print("\n".join(f"{workload.name:12} {workload.label}" for workload in everything))
        return
    if arguments.real_time:
        rig.PRIORITY[:] = rig.REAL_TIME
    load, began = os.getloadavg()[0], time.monotonic()
    with rig.session_first(), rig.Rig() as bench:
        bench.make_rsa_certificate()
        run = Run(bench, arguments)
        run.start()
        for number in range(arguments.rounds):
            run.round(number)
            print(f"round {number + 1} after {time.monotonic() - began:.0f} s", file=sys.stderr)
        run.stop()
        for number in range(arguments.rounds):
            run.round_alone(number)
        print(f"all after {time.monotonic() - began:.0f} s", file=sys.stderr)
        results = run.results()
    floors = {name: (FLOORS[name][0], rig.median(rows)) for name, rows in run.floors.items()}
    write(arguments.write, results, floors, report.surroundings(arguments, load))


if __name__ == "__main__":
    main()
