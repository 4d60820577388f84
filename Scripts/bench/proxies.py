"""everyhop beside nginx, HAProxy, h2o and nghttpx, in one run: TLS from clients, verified TLS to the same server.

One worker or thread each on processor 0, one proxy at work at a time; load and server on processor 1. CPU per request is
read from /proc over each proxy's processes. Rounds are interleaved; medians are printed, with ratios of CPU.
"""
import argparse, os, re, sys
import rig

SERVER = rig.free_port()


# MARK: proxies: each writes its configuration and says how it is started

def everyhop(bench, port):
    bench.write("everyhop.toml", bench.everyhop_config(port, SERVER))
    return [rig.EVERYHOP, "run", "--config", "everyhop.toml"]


def nginx(bench, port):
    folder = bench.folder
    bench.write("nginx.conf", bench.nginx_frame("nginx") + f"""
        upstream app {{ server 127.0.0.1:{SERVER}; keepalive 1024; keepalive_requests 1000000000; }}
        server {{ listen 127.0.0.1:{port} ssl http2 backlog=4096;
            ssl_certificate {folder}/portal.pem; ssl_certificate_key {folder}/portal.key; location / {{
            proxy_pass https://app; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_ssl_verify on;
            proxy_ssl_name localhost; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;
            proxy_ssl_trusted_certificate {folder}/app.pem; }} }} }}""")
    return bench.nginx_command("nginx")


def haproxy(bench, port):
    bench.write("haproxy.pem", bench.read("portal.pem") + bench.read("portal.key"))
    bench.write("haproxy.cfg", f"""
global
    nbthread 1
    maxconn 8192
    tune.ssl.cachesize 0
    tune.pool-high-fd-ratio 80
defaults
    mode http
    timeout client 1m
    timeout server 1m
    timeout connect 10s
    http-reuse always
    option forwardfor
frontend portal
    bind 127.0.0.1:{port} ssl crt haproxy.pem alpn h2,http/1.1 no-tls-tickets
    default_backend app
backend app
    server app 127.0.0.1:{SERVER} ssl verify required ca-file app.pem verifyhost localhost sni str(localhost) \
ssl-min-ver TLSv1.3 pool-max-conn 1024
""")
    return ["haproxy", "-f", "haproxy.cfg"]


def h2o(bench, port):
    bench.write("h2o.conf", f"""
num-threads: 1
max-connections: 8192
ssl-session-resumption: {{ mode: off }}
{"user: root" if os.geteuid() == 0 else ""}
hosts:
  default:
    listen:
      host: 127.0.0.1
      port: {port}
      ssl: {{ certificate-file: portal.pem, key-file: portal.key, ocsp-update-interval: 0 }}
    paths:
      /:
        proxy.reverse.url: "https://localhost:{SERVER}/"
        proxy.preserve-host: OFF
        proxy.timeout.keepalive: 60000
        proxy.ssl.cafile: app.pem
        proxy.ssl.verify-peer: ON
""")
    return ["h2o", "-c", "h2o.conf"]


def nghttpx(bench, port):
    return [
        "nghttpx", "--conf=/dev/null", "--workers=1", f"--frontend=127.0.0.1,{port}",
        f"--backend=127.0.0.1,{SERVER};;proto=http/1.1;tls;sni=localhost", "--cacert=app.pem",
        "--add-x-forwarded-for", "--backend-keep-alive-timeout=1m", "--no-ocsp", "--log-level=ERROR",
        "--accesslog-file=", "portal.key", "portal.pem",
    ]


PROXIES = {"nginx": nginx, "haproxy": haproxy, "h2o": h2o, "nghttpx": nghttpx, "everyhop": everyhop}


# MARK: workloads: each makes load for so many seconds and tells how many requests were answered in what time

def wrk(bench, url, seconds, *more):
    text = bench.run([*rig.PRIORITY, "taskset", "-c", rig.LOAD_CPU, "wrk", "-t1", "-c64", f"-d{seconds}", *more, url])
    bad = re.search(r"Non-2xx.*|Socket errors: .*[1-9].*", text)
    count, took = re.search(r"(\d+) requests in ([\d.]+)s", text).groups()
    return int(count), float(took), bad and bad.group()


def h2load(bench, url, seconds, *more):
    text = bench.run([*rig.PRIORITY, "taskset", "-c", rig.LOAD_CPU, "h2load", "-t1", f"-D{seconds}", *more, url])
    good, other = re.search(r"status codes: (\d+) 2xx, (.*)", text).groups()
    took = re.search(r"finished in ([\d.]+)(m?s)", text)
    bad = None if re.fullmatch(r"0 3xx, 0 4xx, 0 5xx", other) else other
    return int(good), float(took.group(1)) / (1000 if took.group(2) == "ms" else 1), bad


WORKLOADS = {
    "h1, 1 KiB": ("1k", wrk, ()),
    "h1, 64 KiB": ("64k", wrk, ()),
    "h2, 1 KiB": ("1k", h2load, ("-c16", "-m10")),
    "h2, 64 KiB": ("64k", h2load, ("-c16", "-m10")),
    "new connection, 1 KiB": ("1k", wrk, ("-H", "Connection: close")),
}


# MARK: the measurement

class Proxy:
    def __init__(self, bench, name):
        self.name, self.port = name, rig.free_port()
        self.process = bench.start(name, PROXIES[name](bench, self.port), rig.PROXY_CPU)
        bench.wait_for_answer(self.port)

    def measure(self, bench, workload, seconds):
        """Requests a second, and microseconds of CPU for each."""
        path, load, more = WORKLOADS[workload]
        before = rig.cpu_seconds(self.process.pid)
        count, took, bad = load(bench, f"https://localhost:{self.port}/{path}", seconds, *more)
        used = rig.cpu_seconds(self.process.pid) - before
        if bad or not count:
            print(f"{self.name}, {workload}: {bad or 'no answer'}", file=sys.stderr)
        return count / took, 1e6 * used / max(count, 1)


def report(results, proxies):
    others = [name for name in proxies if name != "everyhop"]
    head = [*(f"{name} req/s" for name in proxies), *(f"{name} µs" for name in proxies), "to nginx", "to the best"]
    print(f"| workload | {' | '.join(head)} |\n|{'---|' * (len(head) + 1)}")
    for workload in results:
        rate, cpu = ({name: rig.median(row[i] for row in results[workload][name]) for name in proxies} for i in (0, 1))
        row = [f"{rate[name]:.0f}" for name in proxies] + [f"{cpu[name]:.1f}" for name in proxies]
        if "everyhop" in cpu:
            best = min((cpu[name] for name in others), default=cpu["everyhop"])
            row += [f"{cpu['everyhop'] / base:.2f}" if base else "" for base in (cpu.get("nginx"), best)]
        print(f"| {workload} | {' | '.join(row)} |")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=3)
    arguments.add_argument("--proxies", default=",".join(PROXIES))
    arguments.add_argument("--workloads", default=";".join(WORKLOADS), help="separated by semicolons")
    arguments = arguments.parse_args()
    names, workloads = arguments.proxies.split(","), arguments.workloads.split(";")
    load = [os.getloadavg()[0]]
    with rig.Rig() as bench:
        bench.start_server(SERVER)
        results = {workload: {name: [] for name in names} for workload in workloads}
        proxies = [Proxy(bench, name) for name in names]
        for _ in range(arguments.rounds):
            for workload in workloads:
                for proxy in proxies:
                    results[workload][proxy.name].append(proxy.measure(bench, workload, arguments.seconds))
    load.append(os.getloadavg()[0])
    report(results, names)
    print(f"\nCPU in microseconds a request, medians of {arguments.rounds} rounds of {arguments.seconds} s; "
          f"load average {load[0]:.1f} before, {load[1]:.1f} after")


if __name__ == "__main__":
    main()
