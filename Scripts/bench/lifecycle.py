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
    """CPU per full handshake with one worker and with two, on both processors, which the load shares.

    Two processors cannot hold two workers, the load and the server, so the rate says nothing; what two workers cost more
    per operation than one does: they scale by twice the ratio.
    """
    costs = []
    for workers in (1, 2):
        proxy = peers.Proxy(tools.bench, name, web.SERVER, workers, cpu=f"{rig.PROXY_CPU},{rig.LOAD_CPU}")
        found = tools.measured_load(tools.unpinned(proxy, seconds, "--connections", 16), proxy.pid)
        costs.append(found["cpu"])
        proxy.end()
    return {"cpu": costs[1], "cpu_one": costs[0], "scale": 2 * costs[0] / costs[1], "slowdown": costs[1] / costs[0]}


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
