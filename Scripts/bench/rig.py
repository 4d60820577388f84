"""What every benchmark needs: a folder with certificates, pinned programs, their CPU time and memory, medians."""
import os, pathlib, re, shutil, socket, ssl, statistics, subprocess, tempfile, time, urllib.request

PROXY_CPU, LOAD_CPU = 0, 1
# As root, whatever is measured or measures goes before other programs of this machine.
PRIORITY = ["nice", "-n", "-20"] if os.geteuid() == 0 else []
EVERYHOP = pathlib.Path(os.environ.get("EVERYHOP", ".build/release/everyhop")).resolve()


class Rig:
    """Owns a temporary folder and whatever is started in it; leaving the `with` ends all of it."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="everyhop-bench-"))
        self.folder.chmod(0o755)
        self.processes = []
        for name, host in (("portal", "localhost"), ("app", "localhost")):
            self.run([EVERYHOP, "cert", "self-signed", host, "--out", name])
        self.pin = re.search(r"sha256/\S+", self.run([EVERYHOP, "cert", "show", "app.pem"])).group()
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder)

    def run(self, command):
        result = subprocess.run(list(map(str, command)), cwd=self.folder, capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(f"{command[0]}: {result.stdout}{result.stderr}")
        return result.stdout

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def read(self, name):
        return (self.folder / name).read_text()

    def start(self, name, command, cpu):
        """Starts a program on one processor; what it says goes to NAME.log."""
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [*PRIORITY, "taskset", "-c", str(cpu), *map(str, command)], cwd=self.folder, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def end(self, process):
        self.processes.remove(process)
        process.terminate()
        process.wait()

    def wait_for_answer(self, port):
        """Waits until an HTTPS server, or a proxy before it, answers well."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"https://localhost:{port}/1k", context=context, timeout=5) as answer:
                    return answer.read()
            except OSError as error:
                if time.monotonic() > deadline:
                    logs = "\n".join(path.read_text() for path in self.folder.glob("*.log"))
                    raise SystemExit(f"port {port}: {error}\n{logs}")
                time.sleep(0.05)

    def start_server(self, port, name="server"):
        """An HTTPS server as it is behind every proxy: static files of 1 KiB, 64 KiB and, with holes, 100 MB."""
        for path, size in (("1k", 1024), ("64k", 65_536)):
            self.write(f"www/{path}", bytes(size))
        with open(self.folder / "www/100m", "wb") as file:
            file.truncate(100_000_000)
        self.write(f"{name}.conf", self.nginx_frame(name) + f"""
            server {{ listen 127.0.0.1:{port} ssl backlog=4096; root {self.folder}/www;
                ssl_certificate {self.folder}/app.pem; ssl_certificate_key {self.folder}/app.key; }} }}""")
        server = self.start(name, self.nginx_command(name), LOAD_CPU)
        self.wait_for_answer(port)
        return server

    def nginx_frame(self, name):
        """The beginning of a configuration of nginx; one `}` has to close it."""
        folders = " ".join(
            f"{kind}_temp_path {self.folder}/{name}-{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        return f"""daemon off; worker_processes 1; pid {self.folder}/{name}.pid; error_log stderr; {user}
            events {{ worker_connections 8192; }}
            http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; {folders}
            ssl_session_cache none; ssl_protocols TLSv1.2 TLSv1.3;"""

    def nginx_command(self, name):
        return ["nginx", "-p", self.folder, "-c", self.folder / f"{name}.conf", "-e", "stderr"]

    def everyhop_config(self, port, server):
        return f"""
[server]
workers = 1
[log]
access = "off"
level = "critical"
[certificate.portal]
chain = "portal.pem"
key = "portal.key"
[[site]]
name = "portal"
upstream = "app"
[[site.binding]]
ip = "127.0.0.1"
port = {port}
certificate = "portal"
""" + self.everyhop_upstream("app", server)

    def everyhop_upstream(self, name, port):
        return f"""
[[upstream]]
name = "{name}"
servers = ["127.0.0.1:{port}"]
server_name = "localhost"
trust = {{ ca = "app.pem", pins = ["{self.pin}"] }}
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def tree(pid):
    """A process and all below it."""
    pids = [pid]
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            pids += tree(int(child))
    return pids


def cpu_seconds(pid):
    """What a process and all below it, with all threads, have spent on a processor."""
    total = 0
    for one in tree(pid):
        for path in pathlib.Path(f"/proc/{one}/task").glob("*/schedstat"):
            total += int(path.read_text().split()[0])
    return total / 1e9


def status(pid, key):
    """A number of /proc/PID/status, in KiB where it is memory."""
    return int(re.search(rf"^{key}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1))


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


median = statistics.median
