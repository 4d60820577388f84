"""What slow clients cost another one: the 99th percentile of its answers, quiet and beside slowhttptest in its four modes.

How the client is measured stands in bystander.py; attackers run at the usual priority. Quiet and attacked rounds take
turns. Exit code 1 when a mode more than triples the quiet p99, or keeps the client out.
"""
import argparse, os, pathlib, resource, subprocess, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import bystander, rig

PORT, SERVER, BULK_SERVER, UPLOAD_SERVER = (rig.free_port() for _ in range(4))
MODES = {
    "slowloris (-H)": ["-H", "-i", "1", "-u", f"https://127.0.0.1:{PORT}/1k"],
    "slow body (-B)": ["-B", "-i", "1", "-s", "8192", "-x", "10", "-u", f"https://127.0.0.1:{PORT}/upload"],
    "range (-R)": ["-R", "-a", "1", "-b", "2000", "-u", f"https://127.0.0.1:{PORT}/64k"],
    "slow read (-X)": [
        "-X", "-k", "3", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-u", f"https://127.0.0.1:{PORT}/100m",
    ],
}


class Exam(bystander.Bystander):
    def __init__(self, bench, arguments):
        # It waits for a body to its end; that it has nobody to hand it to comes after that.
        bench.write("upload.conf", bench.nginx_frame("upload") + f"""
            server {{ listen 127.0.0.1:{UPLOAD_SERVER} ssl backlog=4096;
                ssl_certificate {bench.folder}/app.pem; ssl_certificate_key {bench.folder}/app.key;
                location / {{ proxy_pass http://127.0.0.1:1; }} }} }}""")
        bench.start("upload", bench.nginx_command("upload"), rig.LOAD_CPU)
        more = [
            bench.everyhop_upstream("upload", UPLOAD_SERVER),
            "[[site.route]]\npath = \"/upload\"\nupstream = \"upload\"",
        ]
        super().__init__(bench, arguments, PORT, SERVER, BULK_SERVER, more, ["--h1"])

    def connections(self):
        return len(os.listdir(f"/proc/{self.worker}/fd"))

    def under(self, mode):
        """p50 and p99 of the client, the most descriptors of the worker, its share of a processor, its memory in KiB."""
        attack = None
        pathlib.Path(f"/proc/{self.worker}/clear_refs").write_text("5")
        start, before = time.monotonic(), rig.cpu_seconds(self.worker)
        if mode:
            attack = subprocess.Popen(
                [
                    "taskset", "-c", str(rig.LOAD_CPU), "slowhttptest", "-c", str(self.arguments.connections),
                    "-r", str(self.arguments.rise), "-l", "600", "-p", "10", "-v", "0", *MODES[mode],
                ],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            # The rest comes while the client is measured.
            deadline = time.monotonic() + 10
            while self.connections() < self.arguments.connections / 2 and time.monotonic() < deadline:
                time.sleep(0.1)
        times = self.client()
        held = self.connections()
        used, elapsed = rig.cpu_seconds(self.worker) - before, time.monotonic() - start
        if attack:
            attack.kill()
            attack.wait()
            deadline = time.monotonic() + 20
            while self.connections() > 100 and time.monotonic() < deadline:
                time.sleep(0.1)
        return (
            rig.percentile(times, 0.5), rig.percentile(times, 0.99), held, 100 * used / elapsed,
            rig.status(self.worker, "VmHWM"),
        )


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=6)
    arguments.add_argument("--rate", type=int, default=300, help="requests a second of the client that is measured")
    arguments.add_argument("--connections", type=int, default=1500)
    arguments.add_argument("--rise", type=int, default=500, help="connections a second of the attack")
    arguments.add_argument("--only", help="modes by their letters, such as HX")
    arguments = arguments.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    modes = [mode for mode in MODES if not arguments.only or any(f"-{letter})" in mode for letter in arguments.only)]
    results = {mode: [] for mode in [None, *modes]}
    with rig.Rig() as bench:
        exam = Exam(bench, arguments)
        exam.client()
        for _ in range(arguments.rounds):
            for mode in modes:
                results[None].append(exam.under(None))
                results[mode].append(exam.under(mode))
    quiet = rig.median(row[1] for row in results[None])
    failed = False
    print("| attack | p50 µs | p99 µs | ratio | worker's descriptors | worker's CPU | worker's peak memory, KiB |")
    print("|---|---|---|---|---|---|---|")
    for mode, rows in results.items():
        p50, p99, held, cpu, memory = (rig.median(row[index] for row in rows) for index in range(5))
        failed = failed or p99 > 3 * quiet
        print(f"| {mode or 'none'} | {p50:.0f} | {p99:.0f} | {p99 / quiet:.2f} | {held} | {cpu:.0f} % | {memory} |")
    spread = sorted(row[1] for row in results[None])
    print(f"\nquiet p99: {spread[0]} to {spread[-1]} µs in {len(spread)} rounds; load average {os.getloadavg()[0]:.1f}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
