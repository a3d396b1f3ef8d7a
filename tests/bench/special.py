"""Measurements that take more than one load. Each function gets the broker's pid and port and gives back a result
like that of one load."""

import json
import socket
import struct
import subprocess
import time

import load
from brokers import NOCTULE

GRACE = 8  # seconds after which a message that has not come is given up
BYSTANDER = ["latency", "--clients", 1, "--qos", 1, "--warmup", 0.2, "--topic", "bystander", "--drain", GRACE, "--allow-loss"]


def bystander(context, rate, duration, user=None):
    """One client and its counterpart, which have work of their own while others make a storm."""
    arguments = [*BYSTANDER, "--rate", rate, "--duration", duration]
    if user:
        arguments += ["--username", user[0], "--password", user[1], "--client-id-prefix", "bystander"]
    return load.start(context.variant, context.port, [context.pid], arguments)


def count_missing(result):
    """Messages that were due and did not come have waited for GRACE seconds at least: they count, too."""
    messages = result.get("messages") or {}
    missing = (messages.get("lost") or 0) + (messages.get("backlog") or 0)
    due = (messages.get("sent") or 0) + (messages.get("backlog") or 0)
    latency = load.figure(result, ("measured", "latency_us"))
    if not missing or not due or latency is None:
        return
    latency["max"] = max(latency["max"], GRACE * 1e6)
    if missing / due >= 0.01:
        latency["p99"] = max(latency["p99"], GRACE * 1e6)
    result["remark"] = f"{missing} of {due} messages had not come after {GRACE} s more"


def storm(context, arguments):
    """A load beside the bystander: it yields the processor to it, so that what is measured is the broker."""
    return load.start(context.variant, context.port, [], arguments, nice=19)


def beside(context, seconds, arguments, user=None):
    watched = bystander(context, 1000, seconds, user)
    time.sleep(0.5)
    storming = storm(context, arguments)
    result = load.finish(watched)
    other = load.finish(storming)
    count_missing(result)
    if not other.get("ok") and result.get("ok"):
        result.update(ok=False, problem=f"the storm: {other.get('problem')}")
    slowest = load.figure(result, ("measured", "latency_us", "max"))
    if slowest and not result.get("remark"):
        result["remark"] = f"slowest {slowest / 1000:.1f} ms"
    return result


def during_logins(context):
    return beside(context, max(1.0, context.seconds), ["connect", "--clients", 5000, "--hold", 0, "--username", "user-%i",
                                                       "--password", "secret-%i", "--concurrency", 500],
                  ("user-1", "secret-1"))


def during_retained(context):
    return beside(context, max(1.0, context.seconds), ["retained", "--count", 100000, "--keep"])


def slow_backend(context):
    """A bystander beside an idle backend, then beside 500 logins at once."""
    user = ("user-bystander", "secret")
    idle = load.finish(bystander(context, 200, 4, user))
    watched = bystander(context, 200, 4, user)
    time.sleep(1.7)  # both of its own logins take 500 ms
    storming = storm(context, ["connect", "--clients", 500, "--concurrency", 500, "--hold", 0, "--username", "user-%i",
                               "--password", "secret", "--timeout", 10])
    result = load.finish(watched)
    other = load.finish(storming)
    count_missing(result)
    p99 = load.figure(result, ("measured", "latency_us", "p99"))
    idle_p99 = load.figure(idle, ("measured", "latency_us", "p99"))
    slowest = load.figure(other, ("connections", "latency_us", "max"))
    remarks = [f"idle p99 {idle_p99:.0f} us" if idle_p99 else "no idle figure",
               f"{load.figure(other, ('connections', 'connected')) or 0} of 500 logged in within 10 s"]
    if result.get("remark"):
        remarks.append(result["remark"])
    return {"ok": p99 is not None, "problem": result.get("problem"), "p99_us": p99,
            "against_idle": p99 / idle_p99 if p99 and idle_p99 else None,
            "slowest_ms": slowest / 1000 if slowest else None, "remark": ", ".join(remarks)}


def many_topics(context):
    """10,000 clients that publish to 10 topics each: once all of them, then again, measured."""
    arguments = ["fan-in", "--clients", 10000, "--topics", 10, "--window", 1000, "--batch", 4, "--username", "user-%i",
                 "--password", "secret-%i", "--client-id-prefix", "device-%i", "--timeout", 60, "--concurrency", 256]
    warm = load.run(context.variant, context.port, [], [*arguments, "--count", 10], timeout=180)
    if not warm.get("ok"):
        return warm
    result = load.run(context.variant, context.port, [context.pid], [*arguments, "--duration", max(3, context.seconds)],
                      timeout=180)
    result["remark"] = f"{context.requests()} requests in all" if context.requests() else ""
    return result


CROSSING = 6  # pairs; of so many, all cross with one of 64 prefixes of their names
PREFIXES = 500


def workers_of(context, names):
    """Connects clients with these names, all at once, and asks on which worker each lives."""
    connections = []
    for name in names:
        connection = socket.create_connection(("127.0.0.1", context.port))
        body = b"\0\4MQTT\4\2\0\0" + struct.pack("!H", len(name)) + name.encode()
        connection.sendall(bytes([0x10, len(body)]) + body)
        connections.append(connection)
    for connection in connections:
        connection.settimeout(5)
        if connection.recv(4) != b"\x20\2\0\0":
            raise RuntimeError("the broker does not let a client in")
    done = subprocess.run([NOCTULE, "clients", "--json", "-s", context.control], capture_output=True, text=True, check=True)
    for connection in connections:
        connection.close()
    rows = (json.loads(line).get("row") for line in done.stdout.splitlines())
    return {row["client_id"]: row["worker"] for row in rows if row}


def crossing(context):
    """Pairs whose publisher and subscriber live on different workers. Where a client lives follows from its name, by a hash
    that is another one in each process: names are tried until all pairs cross."""
    for prefix in range(PREFIXES):
        names = [f"x{prefix}-{i}" for i in range(2 * CROSSING)]
        home = workers_of(context, names)
        if all(home[names[i]] != home[names[i + CROSSING]] for i in range(CROSSING)):
            return load.run(context.variant, context.port, [context.pid],
                            ["pairs", "--clients", CROSSING, "--client-id-prefix", f"x{prefix}-%i", "--duration",
                             context.seconds, "--warmup", min(0.5, context.seconds / 4)])
    return {"ok": False, "problem": f"none of {PREFIXES} prefixes makes all pairs cross"}


FUNCTIONS = {function.__name__: function for function in (crossing, during_logins, during_retained, slow_backend,
                                                                many_topics)}
