"""Workloads that need processes of their own: idle connections, a reload under load, two workers beside one."""
import time
import loads, peers, rig, web

IDLE, RELOAD_RATE = 2000, 200


def idle(tools, name, _seconds):
    """Memory per connection that has had its answer and rests: the growth of the PSS of all processes of a fresh proxy."""
    proxy = peers.Proxy(tools.bench, name, web.SERVER)
    # What the first connections need once is no connection's.
    tools.load(proxy, 0.2, "--connections", 16)
    time.sleep(0.3)
    before = rig.memory(proxy.pid)
    load = loads.Load(tools.command(proxy, 1, "--connections", IDLE, "--idle"))
    time.sleep(1)
    grown = rig.memory(proxy.pid) - before
    load.finish()
    proxy.end()
    return {"memory": grown / max(load.opened, 1), "failed": load.failed, "base": before}


def reload(tools, name, _seconds):
    """Connections of ten requests each at a fixed rate for three seconds; a reload after the first."""
    proxy = peers.Proxy(tools.bench, name, web.SERVER, reloads=True)
    time.sleep(0.5)
    load = loads.Load(tools.command(proxy, 3, "--connections", 32, "--requests", 10, "--rate", RELOAD_RATE))
    load.begin()
    time.sleep(1)
    proxy.reload()
    found = load.finish()
    proxy.end()
    return {
        "failed": found["failed"], "lost": found["lost"], "worst": found["worst"], "p50": found["p50"], "p99": found["p99"],
        "rate": found["count"] / found["seconds"],
    }


def two_workers(tools, name, seconds):
    """One worker on one processor, then two on two, which two processors can hold together with all else when each has
    the same of it: a load and a server of its own beside a worker. What differs is the second processor.
    """
    one = handshakes(tools, name, seconds, [rig.LOAD_CPU])
    server = tools.bench.start_server(web.SERVER, "second-server", rig.PROXY_CPU)
    two = handshakes(tools, name, seconds, [rig.PROXY_CPU, rig.LOAD_CPU])
    tools.bench.end(server)
    return {
        "cpu": two["cpu"], "cpu_one": one["cpu"], "scale": 2 * one["cpu"] / two["cpu"],
        "slowdown": two["cpu"] / one["cpu"], "rate": two["rate"], "rate_one": one["rate"],
    }


def handshakes(tools, name, seconds, processors):
    """Full handshakes by as many workers and loads as there are processors."""
    proxy = peers.Proxy(tools.bench, name, web.SERVER, len(processors), cpu=",".join(map(str, processors)))

    def load(seconds):
        commands = [tools.command(proxy, seconds, "--connections", 16, cpu=cpu) for cpu in processors]
        return tools.measured_loads(commands, proxy.pid)
    # What a fresh process has to do once, such as opening connections to the server, is no handshake's.
    load(0.3)
    found = load(seconds)
    proxy.end()
    return found


WORKLOADS = [
    web.Workload("idle", f"idle connections ({IDLE}), memory each", idle, compared="memory", goal=0.8, starts=True),
    web.Workload(
        "reload", f"reload under {RELOAD_RATE} requests a second", reload, compared="worst", starts=True
    ),
    web.Workload(
        "workers", "two workers, CPU to one worker's", two_workers, compared="slowdown",
        peers=["everyhop", "nginx", "haproxy"], starts=True,
    ),
]
