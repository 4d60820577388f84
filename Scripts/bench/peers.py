"""everyhop and the proxies that do the same job: one worker, TLS from clients with the same two certificates, TLS 1.3 to
the same server, whose authority and name are verified and whose connections are kept; session tickets, no access log."""
import dataclasses, json, os, re, signal, subprocess
import rig

ROOT = os.geteuid() == 0


@dataclasses.dataclass
class Front:
    """Where a proxy listens (ECDSA, RSA, administration), where the server is, and how many workers there are."""
    server: int
    workers: int = 1
    port: int = dataclasses.field(default_factory=rig.free_port)
    rsa_port: int = dataclasses.field(default_factory=rig.free_port)
    admin_port: int = dataclasses.field(default_factory=rig.free_port)


# MARK: each writes its configuration and says how it is started

def everyhop(bench, front):
    bench.write("everyhop.toml", bench.everyhop_config(front.port, front.server, front.workers) + f"""
[certificate.portal-rsa]
chain = "portal-rsa.pem"
key = "portal-rsa.key"
[[site.binding]]
ip = "127.0.0.1"
port = {front.rsa_port}
certificate = "portal-rsa"
""")
    return [rig.EVERYHOP, "run", "--config", "everyhop.toml"]


def nginx(bench, front):
    folder = bench.folder
    servers = "".join(f"""
        server {{ listen 127.0.0.1:{port} ssl http2 backlog=4096; ssl_certificate {folder}/{name}.pem;
            ssl_certificate_key {folder}/{name}.key; client_max_body_size 1m; location / {{
            proxy_pass https://app; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_ssl_verify on;
            proxy_ssl_name localhost; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;
            proxy_ssl_trusted_certificate {folder}/app.pem; }} }}""" for name, port in certificates(front))
    bench.write("nginx.conf", bench.nginx_frame("nginx", front.workers) + f"""
        upstream app {{ server 127.0.0.1:{front.server}; keepalive 1024; keepalive_requests 1000000000; }}
        {servers} }}""")
    return bench.nginx_command("nginx")


def haproxy(bench, front):
    for name, _ in certificates(front):
        bench.write(f"{name}-both.pem", bench.read(f"{name}.pem") + bench.read(f"{name}.key"))
    binds = "\n    ".join(
        f"bind 127.0.0.1:{port} ssl crt {name}-both.pem alpn h2,http/1.1" for name, port in certificates(front)
    )
    bench.write("haproxy.cfg", f"""
global
    nbthread {front.workers}
    maxconn 8192
    tune.ssl.cachesize 0
    tune.pool-high-fd-ratio 80
defaults
    mode http
    timeout client 1h
    timeout server 1h
    timeout connect 10s
    http-reuse always
    option forwardfor
frontend portal
    {binds}
    default_backend app
backend app
    server app 127.0.0.1:{front.server} ssl verify required ca-file app.pem verifyhost localhost sni str(localhost) \
ssl-min-ver TLSv1.3 pool-max-conn 1024
""")
    return ["haproxy", "-W", "-f", "haproxy.cfg"]


def h2o(bench, front):
    """A host has one listener; what is listened to outside of hosts is for all of them."""
    def listener(name, port):
        tls = f"{{ certificate-file: {name}.pem, key-file: {name}.key, ocsp-update-interval: 0 }}"
        return f"{{ host: 127.0.0.1, port: {port}, ssl: {tls} }}"
    own, general = (listener(*one) for one in certificates(front))
    bench.write("h2o.conf", f"""
num-threads: {front.workers}
max-connections: 8192
ssl-session-resumption: {{ mode: ticket }}
http1-request-timeout: 3600
http2-idle-timeout: 3600
{"user: root" if ROOT else ""}
listen: {general}
hosts:
  default:
    listen: {own}
    paths:
      /:
        proxy.reverse.url: "https://localhost:{front.server}/"
        proxy.preserve-host: OFF
        proxy.timeout.keepalive: 60000
        proxy.ssl.cafile: app.pem
        proxy.ssl.verify-peer: ON
""")
    return ["h2o", "-c", "h2o.conf"]


def nghttpx(bench, front):
    return [
        "nghttpx", "--conf=/dev/null", f"--workers={front.workers}", f"--frontend=127.0.0.1,{front.port}",
        f"--frontend=127.0.0.1,{front.rsa_port}", f"--backend=127.0.0.1,{front.server};;proto=http/1.1;tls;sni=localhost",
        "--cacert=app.pem", "--add-x-forwarded-for", "--backend-keep-alive-timeout=1m", "--frontend-read-timeout=1h",
        "--no-ocsp", "--log-level=ERROR", "--accesslog-file=", "--subcert=portal-rsa.key:portal-rsa.pem", "portal.key",
        "portal.pem",
    ]


def caddy(bench, front):
    """Go's garbage collector has threads of its own; what they spend is counted."""
    route = {"handle": [{
        "handler": "reverse_proxy", "upstreams": [{"dial": f"127.0.0.1:{front.server}"}],
        "transport": {
            "protocol": "http", "versions": ["1.1"], "compression": False,
            "tls": {"root_ca_pem_files": ["app.pem"], "server_name": "localhost"},
            "keep_alive": {"idle_timeout": 60_000_000_000, "max_idle_conns_per_host": 1024},
        },
    }]}
    files = [{"certificate": f"{name}.pem", "key": f"{name}.key"} for name, _ in certificates(front)]
    bench.write("caddy.json", json.dumps({
        "admin": {"listen": f"127.0.0.1:{front.admin_port}", "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {
            "tls": {"certificates": {"load_files": files}},
            "http": {"servers": {"portal": {
                "listen": [f"127.0.0.1:{port}" for _, port in certificates(front)], "protocols": ["h1", "h2"],
                "automatic_https": {"disable": True}, "tls_connection_policies": [{}], "routes": [route],
                "idle_timeout": 3_600_000_000_000,
            }}},
        },
    }))
    return ["env", f"GOMAXPROCS={front.workers}", f"HOME={bench.folder}", "caddy", "run", "--config", "caddy.json"]


def certificates(front):
    return ("portal", front.port), ("portal-rsa", front.rsa_port)


PROXIES = {
    "everyhop": everyhop, "nginx": nginx, "haproxy": haproxy, "h2o": h2o, "nghttpx": nghttpx, "caddy": caddy,
}

# MARK: reloads

HANG_UP = {"nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2, "h2o": signal.SIGHUP, "nghttpx": signal.SIGHUP}


def reload(bench, name, front, process):
    """Has a proxy begin anew with its configuration, as its manual says; a changed one where an equal one is none."""
    if name == "everyhop":
        with open(bench.folder / "everyhop.toml", "a") as file:
            file.write("[server.timeouts]\nkeep_alive = \"76s\"\n")
        bench.run([rig.EVERYHOP, "reload", "--config", "everyhop.toml"])
    elif name == "caddy":
        bench.run(["caddy", "reload", "--force", "--config", "caddy.json", "--address", f"127.0.0.1:{front.admin_port}"])
    else:
        process.send_signal(HANG_UP[name])


def can_reload(name, command):
    """h2o reloads as a master with a worker only."""
    return [*command, "-m", "master"] if name == "h2o" else command


class Proxy:
    """A proxy that runs."""

    def __init__(self, bench, name, server, workers=1, cpu=rig.PROXY_CPU, reloads=False):
        self.bench, self.name = bench, name
        self.front = Front(server, workers)
        command = PROXIES[name](bench, self.front)
        self.process = bench.start(name, can_reload(name, command) if reloads else command, cpu)
        self.pid = self.process.pid
        bench.wait_for_answer(self.front.port)

    def reload(self):
        reload(self.bench, self.name, self.front, self.process)

    def end(self):
        self.bench.end(self.process)


def versions():
    """What the proxies, and what they are linked to, call themselves."""
    questions = {
        "nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "h2o": ["h2o", "--version"],
        "nghttpx": ["nghttpx", "--version"], "caddy": ["caddy", "version"], "stunnel": ["stunnel", "-version"],
        "everyhop": [rig.EVERYHOP, "--version"], "OpenSSL": ["openssl", "version"],
    }
    found = {}
    for name, command in questions.items():
        answer = subprocess.run(command, capture_output=True, text=True)
        number = re.search(r"\d+\.\d+(\.\d+)?", answer.stdout + answer.stderr)
        found[name] = number.group() if number else "?"
    return found
