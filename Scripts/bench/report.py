"""From measurements to a table, JSON and the text between the markers of docs/performance.md."""
import json, os, pathlib, platform, re, time
import peers, rig

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
ORDER = [*peers.PROXIES, "stunnel"]


class Result:
    """A workload's medians by proxy, and how everyhop compares."""

    def __init__(self, workload, rows):
        self.workload = workload
        self.cells = {name: medians(measured) for name, measured in rows.items() if measured}
        values = {name: cell[workload.compared] for name, cell in self.cells.items()}
        others = {name: value for name, value in values.items() if name != "everyhop"}
        self.best = min(others, key=others.get, default=None)
        self.ratios = {
            name: value / others[self.best] for name, value in values.items() if self.best and others[self.best] > 0
        }

    def as_json(self):
        return {
            "name": self.workload.name, "label": self.workload.label, "compared": self.workload.compared,
            "best_peer": self.best, "ratio": self.ratios.get("everyhop"), "goal": self.workload.goal,
            "medians": self.cells, "ratios": self.ratios,
        }


def medians(rows):
    keys = {key for row in rows for key in row}
    return {key: round(rig.median(row[key] for row in rows if key in row), 4) for key in sorted(keys)}


def milliseconds(microseconds):
    value = microseconds / 1000
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def text_of(workload, cell):
    """What a cell says, the measure that is compared first."""
    failed = f", {cell['failed']:.0f} failed" if cell.get("failed") else ""
    if workload.compared == "memory":
        return f"{cell['memory'] / 1024:.1f} KiB{failed}"
    if workload.compared == "worst":
        return f"worst {milliseconds(cell['worst'])} ms, {cell['failed']:.0f} failed, p99 {milliseconds(cell['p99'])} ms"
    if workload.compared == "slowdown":
        return f"{cell['slowdown']:.2f}; two carry {cell['scale']:.2f} times one ({cell['rate']:.0f}/s, {cell['rate_one']:.0f}/s)"
    times = f"{milliseconds(cell['p50'])}/{milliseconds(cell['p99'])} ms"
    if workload.compared == "p99":
        return f"{times} at {cell['rate']:.0f}/s, {cell['cpu']:.0f} µs{failed}"
    resumed = f", {100 * cell['resumed']:.0f} % resumed" if workload.name == "hs-resumed" else ""
    cost = f"{cell['cpu']:.0f}" if cell["cpu"] >= 100 else f"{cell['cpu']:.1f}"
    return f"{cost} µs, {cell['rate']:.0f}/s, {times}{resumed}{failed}"


def table(results):
    names = [name for name in ORDER if any(name in result.cells for result in results)]
    lines = [f"| workload | {' | '.join(names)} | ratio to the best |", f"|{'---|' * (len(names) + 2)}"]
    for result in results:
        cells = [text_of(result.workload, result.cells[name]) if name in result.cells else "-" for name in names]
        ratio = f"**{result.ratios['everyhop']:.2f}** ({result.best})" if "everyhop" in result.ratios else "-"
        lines.append(f"| {result.workload.label} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def floor_table(floors, results):
    """Floors beside what everyhop spends on the same handshake with all that belongs to it."""
    costs = {result.workload.name: result.cells.get("everyhop", {}).get("cpu") for result in results}
    lines = ["| handshake | OpenSSL in memory, server's end | everyhop's whole operation | ratio |", "|---|---|---|---|"]
    for name, (label, value) in floors.items():
        cost = costs.get(name)
        more = f"{cost:.0f} µs | {cost / value:.2f}" if cost else "- | -"
        lines.append(f"| {label} | {value:.0f} µs | {more} |")
    return "\n".join(lines)


def surroundings(arguments, load_before):
    cpu = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return {
        "date": time.strftime("%Y-%m-%d"), "processors": os.cpu_count(), "processor": cpu.group(1) if cpu else "?",
        "kernel": platform.release(), "rounds": arguments.rounds, "seconds": arguments.seconds,
        "load_before": round(load_before, 1), "load_after": round(os.getloadavg()[0], 1), "versions": peers.versions(),
    }


def text(results, floors, around):
    versions = ", ".join(f"{name} {number}" for name, number in around["versions"].items())
    parts = [
        f"{around['date']}, {around['processors']} virtual processors ({around['processor']}), kernel {around['kernel']}; "
        f"{versions}. Medians of {around['rounds']} interleaved rounds of {around['seconds']:g} s; load average "
        f"{around['load_before']} before, {around['load_after']} after.",
    ]
    if results:
        parts.append(table(results))
    if floors:
        parts.append(floor_table(floors, results))
    return "\n\n".join(parts)


def as_json(results, floors, around):
    content = {
        **around, "workloads": [result.as_json() for result in results],
        "floors": {name: {"label": label, "cpu": value} for name, (label, value) in floors.items()},
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def insert(page, content):
    """Puts the results between the markers of a page."""
    whole = page.read_text()
    before, after = whole[:whole.index(BEGIN) + len(BEGIN)], whole[whole.index(END):]
    page.write_text(f"{before}\n{content}\n{after}")
