"""The rows of ./dev bench: what is run, which figure is taken from it, and what it is held against."""

import dataclasses

CPU, CONNECTION_CPU, P99 = "CPU us/message", "CPU us/connection", "p99 us"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of a run. `goal` is the largest ratio to the other broker's, or to that of our own row `against`;
    with `absolute`, the largest value."""

    unit: str
    path: tuple
    goal: float = None
    against: str = None
    absolute: bool = False


def cpu(goal=None, **options):
    return Figure(CPU, ("broker", "cpu_us_per_message"), goal, **options)


def connection_cpu(goal):
    return Figure(CONNECTION_CPU, ("broker", "cpu_us_per_connection"), goal)


def memory(thing, goal):
    return Figure(f"bytes/{thing}", ("broker", f"bytes_per_{thing}"), goal)


def p99(goal=None, **options):
    return Figure(P99, ("measured", "latency_us", "p99"), goal, **options)


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    what: str
    load: str  # arguments of `noctule bench`; a duration is added
    figures: tuple
    variant: str = "plain"  # of the brokers' configuration; see brokers.py
    ours_only: bool = False
    timed: bool = True  # takes --duration
    special: str = None  # a function of special.py instead of one load
    once: bool = False  # in the first round only: it takes long


def subscriptions(count):
    return f"subscriptions --subscriptions {count} --clients 100 --plus 0.1 --hash 0.1"


TABLE = (
    Row("pairs0", "50 pairs, QoS 0", "pairs --clients 50", (cpu(0.08),)),
    Row("pairs0k", "the same, 1 KiB", "pairs --clients 50 --payload 1024", (cpu(0.07),)),
    Row("pairs0b1", "the same, one message per write", "pairs --clients 50 --batch 1", (cpu(0.54),)),
    Row("many0", "1000 pairs, QoS 0", "pairs --clients 1000 --batch 4 --window 2000", (cpu(0.22),)),
    Row("fanin0", "fan-in 100 to 1, QoS 0", "fan-in --clients 100 --window 1000", (cpu(0.05),)),
    Row("fanout0", "fan-out 1 to 200, QoS 0", "fan-out --clients 200", (cpu(0.023),)),
    Row("pairs1", "50 pairs, QoS 1", "pairs --clients 50 --qos 1", (cpu(0.08),)),
    Row("pairs2", "50 pairs, QoS 2", "pairs --clients 50 --qos 2", (cpu(0.075),)),
    Row("fanin1", "fan-in 100 to 1, QoS 1", "fan-in --clients 100 --qos 1 --inflight 10", (cpu(0.09),)),
    Row("fanout1", "fan-out 1 to 200, QoS 1", "fan-out --clients 200 --qos 1", (cpu(0.086),)),
    Row("subs0", "50,000 subscriptions, 10% +, 10% #", subscriptions(50000), (cpu(0.28), memory("subscription", 0.45))),
    Row("retain0", "50,000 retained to a new subscriber", "retained --count 50000 --keep",
        (cpu(0.14), memory("retained", 0.95)), timed=False),
    Row("conn", "5,000 connections, then idle", "connect --clients 5000 --hold 0.5",
        (connection_cpu(0.62), memory("connection", 0.95)), timed=False),
    Row("latency0", "2,000 messages a second, QoS 0", "latency --rate 2000 --spin", (p99(1.0),)),
    Row("latency1", "2,000 messages a second, QoS 1", "latency --rate 2000 --qos 1 --spin", (p99(1.0),)),
)

TRANSPORTS = (
    Row("tls-full", "2,000 TLS 1.3 connections, full handshakes",
        "connect --clients 2000 --hold 1 --insecure --tls-version 1.3", (connection_cpu(1.0), memory("connection", 0.6)),
        variant="tls", timed=False),
    Row("tls-resumed", "2,000 TLS 1.3 connections, resumed",
        "connect --clients 2000 --hold 0 --insecure --tls-version 1.3 --resume", (connection_cpu(1.0),), variant="tls",
        timed=False),
    Row("pairs0-tls", "50 pairs, QoS 0, TLS 1.3", "pairs --clients 50 --insecure --tls-version 1.3", (cpu(0.8),),
        variant="tls"),
    Row("pairs0-ws", "50 pairs, QoS 0, WebSocket", "pairs --clients 50", (cpu(0.8),), variant="websocket"),
)

INSIDE = (
    Row("pairs0-acl", "pairs0 with 5,000 rules for 1,000 users", "pairs --clients 50 --username user-%i --password secret-%i",
        (cpu(1.1, against="pairs0"),), variant="acl"),
    Row("pairs0-2w", "pairs0 with two workers: half of the pairs cross", "pairs --clients 50",
        (cpu(1.3, against="pairs0"),), variant="workers", ours_only=True),
    Row("few0", "6 pairs, QoS 0", "pairs --clients 6", (cpu(),), ours_only=True),
    Row("few0-2w", "the same with two workers: all pairs cross", "", (cpu(1.3, against="few0"),), variant="workers",
        special="crossing", ours_only=True),
    Row("subs2k", "2,000 subscriptions", subscriptions(2000), (cpu(),)),
    Row("subs20k", "20,000 subscriptions", subscriptions(20000), (cpu(1.5, against="subs2k"),)),
    Row("subs200k", "200,000 subscriptions", subscriptions(200000), (cpu(1.5, against="subs2k"),)),
)

BYSTANDERS = (
    Row("storm-logins", "a bystander during 5,000 logins with passwords", "", (p99(10000, absolute=True),),
        variant="passwords", special="during_logins"),
    Row("storm-retained", "a bystander while 100,000 retained messages are fetched", "", (p99(10000, absolute=True),),
        special="during_retained"),
)

WEB = (
    Row("slow-backend", "a bystander while 500 log in at a backend that takes 500 ms", "",
        (Figure("p99, x idle", ("against_idle",), 3, absolute=True),
         Figure("p99 us", ("p99_us",)),
         Figure("slowest login ms", ("slowest_ms",), 2500, absolute=True)),
        variant="slow", special="slow_backend", once=True),
    Row("acl-10k", "10,000 clients, 10 topics each, acl-file", "", (cpu(),), variant="acl-many", special="many_topics",
        ours_only=True, once=True),
    Row("http-acl", "the same, http-auth with a warm cache", "", (cpu(1.1, against="acl-10k"),), variant="http",
        special="many_topics", ours_only=True, once=True),
)

GROUPS = {"table": TABLE, "transports": TRANSPORTS, "inside": INSIDE, "bystanders": BYSTANDERS, "web": WEB}
ROWS = {row.name: row for group in GROUPS.values() for row in group}


def chosen(names):
    """Rows for a list of names of rows and groups; `all` is everything."""
    rows = []
    for name in names:
        if name == "all":
            rows += ROWS.values()
        elif name in GROUPS:
            rows += GROUPS[name]
        elif name in ROWS:
            rows.append(ROWS[name])
        else:
            raise SystemExit(f"bench: no row or group '{name}'; -l lists them")
    # What a row is held against is measured in the same run.
    needed = {figure.against for row in rows for figure in row.figures if figure.against}
    rows += [ROWS[name] for name in needed]
    return [row for row in ROWS.values() if row in rows]
