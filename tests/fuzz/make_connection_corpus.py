#!/usr/bin/env python3
"""Writes the seed corpus of fuzz_connection, scripts of whole exchanges in the form that its first lines tell, and
its dictionary of single steps and packets.

usage: make_connection_corpus.py FOLDER DICTIONARY
"""
import pathlib
import struct
import sys

STEPS = ("open bytes frame connect publish subscribe unsubscribe ack disconnect ping hang_up shut_down pass hear "
         "mood complete host reload settle faults memory starve").split()
TWO_WORKERS, PLUGIN, TIGHT, RATES, FAULTS = 1, 2, 4, 8, 16
V5, V4, V3 = 0, 1, 2
CLEAN, KEEP_ALIVE, USER, PASSWORD, WILL, PROPERTIES = 4, 8, 16, 32, 64, 128
ANSWERING = 0x10
IDS = ["one", "two", "three", "four", ""]
TOPICS = ["a", "a/b", "a/b/c", "b", "$x/a", "a//b", "/", "a/b/c/d/e", "$SYS/ab", "a/deep", "", "a/+"]
FILTERS = ["a", "a/#", "+/b", "#", "$share/g/a/#", "$share/g/#", "$share/h/+/b", "$x/#", "b", "a/b/c/d/e", "a/#/b",
           "$share/g"]
SPANS = [1, 50, 250, 1000, 3000, 5100, 10100, 15100, 30100, 61000, 3700000]
HOOKS = "login auth publish subscribe deliver will in out revalidate".split()
NEXT, ALLOW, DENY, PENDING, CONTINUE, ERROR, DROP = range(7)
REUSE, SHOW, COVERS, RENAME, LOWER, EXPIRE, GRANT, CHANGE = (1 << bit for bit in range(8))


def step(name, peer=0, *arguments, at_once=False):
    return bytes([peer << 6 | (0x20 if at_once else 0) | STEPS.index(name), *arguments])


def opened(peer, answers=1, worker=0):
    return step("open", peer, answers << 4 | worker)


def connect(peer, client="one", flags=CLEAN, version=V5, will=None, properties=b""):
    """`will` is (topic, bits); `properties` the byte of their bits and what each of them takes."""
    flags |= version | (WILL if will else 0) | (PROPERTIES if properties else 0)
    tail = bytes([will[1], TOPICS.index(will[0])]) if will else b""
    return step("connect", peer, flags, IDS.index(client)) + tail + properties


def publish(peer, topic, qos=0, packet_id=1, retain=False, size=0, properties=b"", at_once=False):
    bits = (4 if retain else 0) | (16 if properties else 0) | size << 5
    # The bits modulo 3 are the QoS; the lowest two and that of DUP are free.
    bits = next(free for free in range(256) if free % 3 == qos and free & 0xF4 == bits & 0xF4)
    head = step("publish", peer, bits, TOPICS.index(topic), at_once=at_once)
    return head + (bytes([packet_id]) if qos else b"") + properties


def subscribe(peer, *filters, packet_id=1, options=2, identifier=None):
    bits = len(filters) | (4 if identifier else 0)
    body = b"".join(bytes([FILTERS.index(filter), options]) for filter in filters)
    tail = bytes([identifier - 1]) if identifier else b""
    return step("subscribe", peer, bits, packet_id) + body + tail


def unsubscribe(peer, filter):
    return step("unsubscribe", peer, FILTERS.index(filter), 9)


def ack(peer, kind, packet_id, reason=None):
    kinds = ["puback", "pubrec", "pubrel", "pubcomp"]
    tail = bytes([reason]) if reason is not None else b""
    return step("ack", peer, kinds.index(kind) | (4 if tail else 0), packet_id) + tail


def disconnect(peer, reason=0, bits=0):
    return step("disconnect", peer, reason, bits)


def auth(peer, reason):
    return step("disconnect", peer, reason, 1)


def wait(ms):
    return step("pass", 0, SPANS.index(ms))


def mood(hook, verdict, reply=0):
    return step("mood", 0, verdict << 4 | HOOKS.index(hook), reply)


def complete(index, verdict, reply=0):
    return step("complete", 0, verdict << 4 | index, reply)


def host(bits):
    return step("host", 0, bits)


def reload(setup):
    return step("reload", 0, setup)


def hear(peer, deaf=False, answers=1):
    return step("hear", peer, (1 if deaf else 0) | answers << 4)


def raw(peer, data):
    return b"".join(step("bytes", peer, len(data[at:at + 255])) + data[at:at + 255] for at in range(0, len(data), 255))


SETTLE = step("settle")


def frame(kind, body):
    assert len(body) < 128
    return bytes([kind, len(body)]) + body


def text(value):
    return struct.pack(">H", len(value)) + value.encode()


EXPIRY_AND_RECEIVE_2 = bytes([1 | 2, 30, 0, 2])  # Session Expiry 30 s, Receive Maximum 2
EXPIRY = bytes([1, 20, 0])
ALIASES = bytes([8, 3])
RAW_CONNECT_5 = frame(0x10, text("MQTT") + b"\x05\x02\x00\x0a\x05\x11\x00\x00\x00\x1e" + text("one"))
RAW_CONNECT_4 = frame(0x10, text("MQTT") + b"\x04\x02\x00\x0a" + text("two"))
RAW_CONNECT_3 = frame(0x10, text("MQIsdp") + b"\x03\x02\x00\x0a" + text("three"))

PAIR = opened(0) + connect(0, "one") + opened(1) + connect(1, "two")

SCRIPTS = {
    "login-5": (0, opened(0) + connect(0) + step("ping", 0) + disconnect(0)),
    "login-4": (0, opened(0) + connect(0, version=V4) + step("ping", 0) + disconnect(0)),
    "login-3": (0, opened(0) + connect(0, version=V3) + disconnect(0)),
    "login-assigned": (0, opened(0) + connect(0, "", flags=CLEAN) + opened(1) + connect(1, "", flags=0, version=V4)),
    "login-bytes": (0, raw(0, RAW_CONNECT_5 + b"\xc0\x00") + raw(1, RAW_CONNECT_4) + raw(2, RAW_CONNECT_3)),
    "login-pieces": (0, raw(0, RAW_CONNECT_5[:5]) + raw(0, RAW_CONNECT_5[5:]) + raw(1, b"\x10\xff\xff\xff\x7f")),
    "qos-0-1-2": (0, PAIR + subscribe(1, "a/#", identifier=7) + publish(0, "a") + publish(0, "a/b", 1, 1)
                  + publish(0, "a/b/c", 2, 2) + SETTLE + unsubscribe(1, "a/#") + publish(0, "a", 1, 3)),
    "qos-workers": (TWO_WORKERS, PAIR + subscribe(1, "a/#") + subscribe(0, "#", identifier=3)
                    + publish(0, "a/b", 1, 1, at_once=True) + publish(0, "a/b/c", 2, 2, at_once=True)
                    + publish(1, "a", 2, 3) + SETTLE),
    "qos-by-hand": (0, opened(0, 0) + connect(0, "one", properties=EXPIRY_AND_RECEIVE_2) + opened(1)
                    + connect(1, "two") + subscribe(0, "a/#")
                    + b"".join(publish(1, "a", 1 + n % 2, n + 1) for n in range(5))
                    + ack(0, "pubrec", 2) + ack(0, "puback", 1) + ack(0, "pubcomp", 2) + ack(0, "pubrec", 3, 0x80)
                    + ack(0, "puback", 9) + ack(0, "pubrel", 9)),
    "resume": (0, PAIR + step("hang_up", 0) + opened(0, 0) + connect(0, "one", 0, properties=EXPIRY_AND_RECEIVE_2)
               + subscribe(0, "a/#") + publish(1, "a", 1, 1) + publish(1, "a/b", 2, 2) + step("hang_up", 0)
               + publish(1, "a/b", 2, 3) + opened(0, 1) + connect(0, "one", 0, properties=EXPIRY_AND_RECEIVE_2) + SETTLE
               + step("hang_up", 0) + wait(30100)),
    "resume-smaller": (TWO_WORKERS, opened(0, 0) + connect(0, "one", 0, V4) + opened(1) + connect(1, "two")
                       + subscribe(0, "#") + b"".join(publish(1, "a", 1 + n % 2, n + 1) for n in range(8))
                       + step("hang_up", 0) + opened(0, 0) + connect(0, "one", 0, properties=bytes([3, 60, 0, 1]))
                       + hear(0) + ack(0, "puback", 1) + SETTLE),
    "takeover": (0, opened(0) + connect(0, "one", 0, will=("a/b", 1)) + subscribe(0, "a/#") + opened(1)
                 + connect(1, "one", 0, properties=EXPIRY) + opened(2, worker=1) + connect(2, "one")),
    "wills": (0, opened(0) + connect(0, "one") + subscribe(0, "#") + opened(1)
              + connect(1, "two", 0, will=("a/b", 1 | 4 | 8 | 0x20), properties=EXPIRY) + step("hang_up", 1) + wait(3000)
              + opened(1) + connect(1, "two", CLEAN, V4, will=("b", 2)) + step("shut_down", 1) + opened(2)
              + connect(2, "three", will=("$SYS/ab", 0)) + disconnect(2, 4)),
    "retained": (0, PAIR + publish(0, "a", 1, 1, retain=True) + publish(0, "a/b", retain=True, properties=bytes([2, 3]))
                 + subscribe(1, "#", "a/#", options=2 | 8) + wait(3000) + wait(1000) + subscribe(1, "a/#", options=0x12)
                 + publish(0, "a", 0, retain=True, size=1) + subscribe(1, "+/b", options=0x22)),
    "shared": (TWO_WORKERS, PAIR + opened(2, 0) + connect(2, "three") + subscribe(1, "$share/g/a/#")
               + subscribe(2, "$share/g/a/#", "$share/h/+/b") + b"".join(publish(0, "a/b", 1, n + 1) for n in range(4))
               + step("hang_up", 2) + SETTLE),
    "aliases": (0, opened(0) + connect(0, "one") + opened(1) + connect(1, "two", properties=ALIASES) + subscribe(1, "a/#")
                + publish(0, "a/b", properties=bytes([1, 2])) + publish(0, "", properties=bytes([1, 2]))
                + publish(0, "a/b/c") + publish(0, "a/b/c") + publish(0, "", properties=bytes([1, 5]))),
    "small-client": (0, opened(0) + connect(0, "one", properties=bytes([4, 40])) + opened(1) + connect(1, "two")
                     + subscribe(0, "a/#") + publish(1, "a", 1, 1, size=3) + publish(1, "a", 1, 2)),
    "tiny-client": (0, opened(0) + connect(0, "one", properties=bytes([4, 4])) + subscribe(0, "a", "b", "#")),
    "large": (0, PAIR + subscribe(1, "a/#") + hear(1, deaf=True)
              + b"".join(publish(0, "a", n % 3, n + 1, size=7) for n in range(12)) + wait(1000) + hear(1) + SETTLE),
    "slow-reader": (0, PAIR + subscribe(1, "a/#") + hear(1, deaf=True)
                    + b"".join(publish(0, "a", 0, size=7) for n in range(12)) + wait(61000) + wait(61000)),
    "queue-full": (TIGHT, opened(0) + connect(0, "one", 0, properties=EXPIRY) + subscribe(0, "a/#") + step("hang_up", 0)
                   + opened(1) + connect(1, "two") + b"".join(publish(1, "a", 1, n + 1, size=3) for n in range(6))
                   + opened(0) + connect(0, "one", 0, properties=EXPIRY) + SETTLE),
    "limits": (TIGHT, PAIR + subscribe(0, "a", "b", "#") + subscribe(0, "a/b/c/d/e", "a/#") + publish(0, "a/b/c/d/e", 1)
               + publish(1, "a", retain=True) + publish(1, "b", retain=True) + publish(1, "a/b", retain=True)
               + opened(2) + connect(2, "three") + opened(3) + connect(3, "four")),
    "receive-maximum": (TIGHT, opened(0, 0) + connect(0, "one") + publish(0, "a", 2, 1) + publish(0, "a", 2, 2)
                        + publish(0, "a", 2, 3)),
    "keep-alive": (0, opened(0) + connect(0, "one", CLEAN | KEEP_ALIVE) + opened(1) + opened(2, 0)
                   + connect(2, "two", CLEAN | KEEP_ALIVE, V4) + wait(10100) + step("ping", 0) + wait(10100)),
    "protocol-errors": (0, PAIR + connect(0, "one") + publish(1, "a/+") + opened(0) + connect(0, "one")
                        + step("frame", 0, 0x62, 2, 0, 0) + opened(2) + publish(2, "a") + opened(3) + connect(3, "three")
                        + subscribe(3, "a/#/b", "$share/g") + subscribe(3, "$share/g/#", options=4)),
    "wrong-acks": (0, opened(0, 3) + connect(0, "one") + subscribe(0, "#") + publish(0, "a", 1, 1) + opened(1, 2)
                   + connect(1, "two") + subscribe(1, "#") + publish(1, "a", 2, 1)),
    "expiry": (0, opened(0, 0) + connect(0, "one", 0, properties=EXPIRY) + subscribe(0, "a/#") + step("hang_up", 0)
               + opened(1) + connect(1, "two") + publish(1, "a", 1, 1, properties=bytes([2, 1]))
               + publish(1, "a", 1, 2, properties=bytes([2, 9, ])) + wait(3000) + opened(0)
               + connect(0, "one", 0, properties=EXPIRY) + SETTLE + disconnect(0, 0, 2) + b"\x05" + wait(5100)),
    "faults": (FAULTS, step("faults", 0, 0xB6) + PAIR + subscribe(1, "a/#")
               + b"".join(publish(0, "a", n % 3, n + 1, size=n % 6) for n in range(9)) + SETTLE),
    "rates": (RATES, PAIR + subscribe(1, "a/#") + b"".join(publish(0, "a", n % 3, n + 1, size=n % 5, at_once=n % 2)
                                                           for n in range(9)) + SETTLE + opened(2) + connect(2, "three")
              + opened(3) + connect(3, "four") + wait(1000) + wait(3000) + SETTLE),
    "refusals": (RATES | PLUGIN, mood("login", DENY) + b"".join(opened(n) + connect(n, "one") for n in range(4))
                 + step("hang_up", 0) + opened(0) + wait(5100) + opened(0) + connect(0, "one")),
    "memory-full": (0, PAIR + subscribe(1, "a/#") + publish(0, "a", 1, 1, retain=True) + step("memory", 0, 1)
                    + publish(0, "a/b", 2, 2, retain=True, size=3) + opened(2) + connect(2, "three", 0, properties=EXPIRY)
                    + subscribe(1, "b") + step("memory", 0, 0) + opened(2) + connect(2, "three")),
    **{f"starve-{n}": (TWO_WORKERS | (PLUGIN if n % 2 else 0), PAIR + subscribe(1, "a/#") + subscribe(0, "$share/g/#")
                       + step("starve", 0, 1 + n) + publish(0, "a", 1, 1, properties=bytes([1 | 2 | 4, 1, 9]))
                       + publish(0, "a/b", 2, 2, retain=True, size=6) + SETTLE + opened(2)
                       + connect(2, "three", 0, will=("a", 1), properties=EXPIRY)) for n in range(0, 12, 2)},
    "plugin-late-login": (PLUGIN, mood("login", PENDING) + opened(0) + connect(0) + opened(1) + connect(1, "two")
                          + complete(0, ALLOW, LOWER | EXPIRE | GRANT) + complete(0, DENY, SHOW) + wait(5100)),
    "plugin-login-moves": (PLUGIN | TWO_WORKERS, mood("login", PENDING) + opened(0) + connect(0) + opened(1)
                           + connect(1, "two") + complete(0, ALLOW, RENAME) + complete(0, ALLOW, RENAME)
                           + complete(0, ALLOW, RENAME) + complete(0, ALLOW, RENAME) + SETTLE),
    "plugin-late-login-gone": (PLUGIN, mood("login", PENDING) + opened(0) + connect(0) + step("hang_up", 0) + SETTLE
                               + complete(0, ALLOW) + opened(0) + connect(0) + wait(5100) + complete(0, ALLOW)),
    "plugin-auth": (PLUGIN, mood("login", CONTINUE) + mood("auth", CONTINUE) + opened(0)
                    + connect(0, properties=bytes([16])) + auth(0, 0x18) + mood("auth", PENDING) + auth(0, 0x18)
                    + complete(0, ALLOW) + auth(0, 0x19) + complete(0, CONTINUE) + auth(0, 0x18) + complete(0, ALLOW)),
    "plugin-late-publish": (PLUGIN, PAIR + subscribe(1, "a/#") + mood("publish", PENDING) + mood("in", PENDING)
                            + publish(0, "a", 1, 1, at_once=True) + publish(0, "a/b", 2, 2) + complete(0, ALLOW, REUSE)
                            + complete(0, NEXT) + complete(0, DENY, SHOW) + publish(0, "a/b", 2, 3) + step("hang_up", 0)
                            + complete(0, ALLOW)),
    "plugin-late-subscribe": (PLUGIN, PAIR + mood("subscribe", PENDING) + subscribe(1, "a/#", "b", "#")
                              + publish(1, "a", 1, 1) + complete(1, DENY) + complete(0, ALLOW, COVERS) + complete(0, ALLOW)
                              + SETTLE + host(2) + complete(0, DENY) + complete(0, DENY)),
    "plugin-late-deliver": (PLUGIN | TWO_WORKERS, PAIR + subscribe(1, "a/#") + mood("deliver", PENDING)
                            + publish(0, "a", 1, 1) + publish(0, "a", 2, 2) + publish(0, "a/b", retain=True)
                            + complete(0, DENY) + complete(0, ALLOW) + complete(0, ALLOW) + subscribe(1, "#") + SETTLE
                            + publish(0, "a", 1, 3) + step("hang_up", 1) + wait(5100)),
    "plugin-changes": (PLUGIN, PAIR + subscribe(1, "a/#") + mood("in", NEXT, CHANGE) + publish(0, "a", 2, 1)
                       + mood("out", NEXT, CHANGE) + publish(0, "a", 2, 2) + mood("out", DROP) + publish(0, "a", 1, 3)
                       + mood("in", DROP) + publish(0, "a", 2, 4) + mood("in", DENY, SHOW) + publish(0, "a", 2, 5)),
    "plugin-wills": (PLUGIN, opened(0) + connect(0, "one", will=("a/b", 1)) + mood("will", PENDING) + mood("in", PENDING)
                     + step("hang_up", 0) + SETTLE + complete(0, ALLOW) + complete(0, ALLOW, CHANGE) + opened(0)
                     + connect(0, "one", will=("a/b", 1)) + connect(0, "one")),
    "plugin-publishes": (PLUGIN | TWO_WORKERS, PAIR + subscribe(1, "a/#") + mood("in", PENDING) + host(0x24) + host(0x68)
                         + complete(0, ALLOW) + complete(0, DROP) + host(1) + host(3) + mood("login", NEXT, EXPIRE) + host(0)),
    "plugin-pending-limit": (PLUGIN | TIGHT, mood("login", PENDING) + opened(0) + connect(0) + opened(1)
                             + connect(1, "two") + opened(2) + connect(2, "three") + complete(0, ALLOW) + wait(10100)),
    "reload": (PLUGIN, PAIR + subscribe(1, "a/#") + mood("subscribe", DENY) + reload(PLUGIN | TIGHT) + publish(0, "a", 1)
               + mood("revalidate", DENY) + reload(PLUGIN) + reload(0) + SETTLE),
    "reload-pending": (PLUGIN | TWO_WORKERS, mood("login", PENDING) + opened(0) + connect(0) + reload(0) + complete(0, ALLOW)
                       + reload(PLUGIN) + mood("login", NEXT) + opened(1) + connect(1, "two") + subscribe(1, "#")
                       + mood("publish", PENDING) + publish(1, "a", 2, 1) + reload(0) + complete(0, ALLOW) + SETTLE),
}


# Packets as they stand on the wire, besides the single steps.
PACKETS = {
    "connect-5": RAW_CONNECT_5,
    "connect-4": RAW_CONNECT_4,
    "connect-3": RAW_CONNECT_3,
    "publish-0": frame(0x30, text("a/b") + b"\x00x"),
    "publish-1": frame(0x32, text("a/b") + b"\x00\x01\x00x"),
    "publish-2-dup": frame(0x3C, text("a/b") + b"\x00\x02\x00x"),
    "subscribe": frame(0x82, b"\x00\x01\x00" + text("a/#") + b"\x02"),
    "unsubscribe": frame(0xA2, b"\x00\x02\x00" + text("a/#")),
    "puback": frame(0x40, b"\x00\x01"),
    "pubrel": frame(0x62, b"\x00\x02"),
    "ping": frame(0xC0, b""),
    "disconnect-will": frame(0xE0, b"\x04\x00"),
}

SINGLE_STEPS = {
    "open": opened(1),
    "connect-resume": connect(0, "one", 0, properties=EXPIRY_AND_RECEIVE_2),
    "connect-will": connect(1, "two", will=("a/b", 2 | 8)),
    "connect-auth": connect(2, "three", properties=bytes([16])),
    "takeover": connect(3, "one", 0, properties=EXPIRY),
    "publish-retained": publish(0, "a", 1, 5, retain=True),
    "publish-large": publish(1, "a/b", 2, 6, size=7),
    "publish-expires": publish(1, "a/b", 1, 7, properties=bytes([2, 1])),
    "subscribe": subscribe(0, "a/#", "#", identifier=3),
    "subscribe-shared": subscribe(1, "$share/g/a/#"),
    "hang-up": step("hang_up", 0),
    "shut-down": step("shut_down", 1),
    "deaf": hear(0, deaf=True),
    "login-late": mood("login", PENDING),
    "publish-late": mood("publish", PENDING),
    "subscribe-late": mood("subscribe", PENDING),
    "deliver-late": mood("deliver", PENDING),
    "in-late": mood("in", PENDING),
    "complete": complete(0, ALLOW),
    "deny": complete(0, DENY, SHOW),
    "host-publishes": host(0x24),
    "reload-tight": reload(PLUGIN | TIGHT),
    "settle": SETTLE,
    "starve": step("starve", 0, 3),
    "minute": wait(61000),
    "hour": wait(3700000),
}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (setup, script) in SCRIPTS.items():
        (folder / name).write_bytes(bytes([setup]) + script)
    with open(sys.argv[2], "w", encoding="ascii") as dictionary:
        print("# Written by make_connection_corpus.py.", file=dictionary)
        for name, entry in {**SINGLE_STEPS, **{f"packet-{name}": data for name, data in PACKETS.items()}}.items():
            print(f'{name.replace("-", "_")}="{"".join(f"{chr(92)}x{byte:02x}" for byte in entry)}"', file=dictionary)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main()
