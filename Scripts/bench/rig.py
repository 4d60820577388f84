"""What every benchmark needs: a folder with certificates, pinned programs, their CPU time and memory, medians."""
import contextlib, os, pathlib, re, resource, shutil, socket, ssl, statistics, subprocess, tempfile, time, urllib.request

PROXY_CPU, LOAD_CPU = 0, 1
# As root, whatever is measured or measures goes before other programs of this machine.
PRIORITY = ["nice", "-n", "-20"] if os.geteuid() == 0 else []
# Niceness counts inside of a session only, where the kernel groups programs by theirs (sched(7)).
SESSION = pathlib.Path("/proc/self/autogroup")
# The same, in turns, with nothing in between; for a machine that is not quiet.
REAL_TIME = ["chrt", "-r", "1"]
EVERYHOP = pathlib.Path(os.environ.get("EVERYHOP", ".build/release/everyhop")).resolve()
SOURCES = pathlib.Path(__file__).resolve().parent
# The second certificate's name, which clients ask for.
RSA_NAME = "rsa.localhost"


@contextlib.contextmanager
def session_first():
    """As root, what this session runs goes before other sessions, such as a build beside it."""
    before = SESSION.read_text().rsplit(" ", 1)[1].strip() if PRIORITY and SESSION.exists() else None
    if before:
        SESSION.write_text("-20")
    try:
        yield
    finally:
        if before:
            SESSION.write_text(before)


class Rig:
    """Owns a temporary folder and whatever is started in it; leaving the `with` ends all of it."""

    # Seconds in which a program has to serve.
    patience = 20

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="everyhop-bench-"))
        self.folder.chmod(0o755)
        self.processes = []
        for name, host in (("portal", "localhost"), ("app", "localhost")):
            self.run([EVERYHOP, "cert", "self-signed", host, "--out", name])
        self.pin = re.search(r"sha256/\S+", self.run([EVERYHOP, "cert", "show", "app.pem"])).group()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return self

    def make_rsa_certificate(self):
        """portal-rsa.pem and .key, RSA of 2048 bits, for `RSA_NAME`."""
        self.run([
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={RSA_NAME}",
            "-addext", f"subjectAltName=DNS:{RSA_NAME}", "-keyout", "portal-rsa.key", "-out", "portal-rsa.pem",
        ])

    def compile(self, name):
        """A program of this folder, which is written in C; made once, since it may be running already."""
        program = self.folder / f"{name}-program"
        if program.exists():
            return program
        self.run(["gcc", "-O2", "-o", program, SOURCES / f"{name}.c", "-lssl", "-lcrypto", "-lpthread"])
        return program

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

    def outcome(self, command):
        """The exit code alone."""
        return subprocess.run(list(map(str, command)), cwd=self.folder, capture_output=True).returncode

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
        deadline = time.monotonic() + self.patience
        while True:
            try:
                with urllib.request.urlopen(f"https://localhost:{port}/1k", context=context, timeout=self.patience) as answer:
                    return answer.read()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise SystemExit(f"port {port}: {error}\n{self.logs()}")
                time.sleep(0.05)

    def wait_for_port(self, port):
        """Waits until somebody listens."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), 5).close()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise SystemExit(f"port {port}: {error}\n{self.logs()}")
                time.sleep(0.05)

    def logs(self):
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))

    def start_server(self, port, name="server", cpu=LOAD_CPU):
        """The HTTPS server behind every proxy (server.c): answers of 1 KiB, 64 KiB, 10 MiB and 100 MB; what is posted is read
        as a whole before it is answered. Several share a port."""
        server = self.start(name, [self.compile("server"), port, "app.pem", "app.key"], cpu)
        self.wait_for_answer(port)
        return server

    def nginx_frame(self, name, workers=1):
        """The beginning of a configuration of nginx; one `}` has to close it."""
        folders = " ".join(
            f"{kind}_temp_path {self.folder}/{name}-{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        return f"""daemon off; worker_processes {workers}; pid {self.folder}/{name}.pid; error_log stderr; {user}
            events {{ worker_connections 8192; }}
            http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; {folders}
            ssl_session_cache none; ssl_protocols TLSv1.2 TLSv1.3;"""

    def nginx_command(self, name):
        return ["nginx", "-p", self.folder, "-c", self.folder / f"{name}.conf", "-e", "stderr"]

    def everyhop_config(self, port, server, workers=1):
        return f"""
[server]
workers = {workers}
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
        try:
            children = path.read_text().split()
        except FileNotFoundError:
            # A thread that has ended meanwhile.
            continue
        for child in children:
            pids += tree(int(child))
    return pids


def cpu_seconds(pid):
    """What a process and all below it have spent on a processor, in nanoseconds' resolution, ended threads included.

    It is the clock that clock_getcpuclockid(3) names, the sum of the schedstat of all threads.
    """
    return sum(time.clock_gettime((~one << 3) | 2) for one in tree(pid))


def memory(pid):
    """The proportional memory (PSS) of a process and all below it, in bytes."""
    rolled = (pathlib.Path(f"/proc/{one}/smaps_rollup").read_text() for one in tree(pid))
    return 1024 * sum(int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)) for text in rolled)


def status(pid, key):
    """A number of /proc/PID/status, in KiB where it is memory."""
    return int(re.search(rf"^{key}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1))


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


median = statistics.median
