"""What the conformance tests share."""

import contextlib
import select
import time

import mqtt_codec as wire
from mqtt_codec import V311, V5
from mqtt_raw import DEADLINE, TIME_SCALE, ConnectionClosed, TimedOut

BOTH = (V311, V5)
KEPT = {"session_expiry_interval": 60}
NO_LOCAL, RETAIN_AS_PUBLISHED = 0x04, 0x08

# Strings that the standard forbids. [v5 MQTT-1.5.4-1, MQTT-1.5.4-2] [v311 MQTT-1.5.3-1, MQTT-1.5.3-2]
NOT_UTF8 = {"overlong": b"a\xc0\xaf", "truncated": b"abc\xe2\x82", "surrogate": b"\xed\xa0\x80",
            "above": b"\xf4\x90\x80\x80", "stray": b"\x80"}
NUL = b"a\0b"


def keep(version, **properties):
    """CONNECT options of a session that outlives its connection, resumed if it is there."""
    return {"clean": False, **({"properties": {**KEPT, **properties}} if version == V5 else {})}


def expect_refused(one, *codes):
    """A CONNECT is refused: in 5.0 by CONNACK with one of `codes`, before 5.0 with one below 6 (none: no CONNACK), or
    in 5.0 by closing alone. Never DISCONNECT. [v5 MQTT-3.14.0-1, section 4.13]"""
    try:
        got = one.receive()
    except ConnectionClosed:
        assert one.version == V5 or not any(code < 6 for code in codes), "no CONNACK where 3.1.1 asks for one"
        assert not one.buffer
        return None
    assert got.kind == wire.CONNACK, got
    allowed = [code for code in codes if (code >= 0x80) == (one.version == V5)]
    assert got.reason in allowed, f"{got}, expected {[hex(code) for code in allowed]} or none"
    assert not got.session_present
    one.expect_close()
    return got


def expect_error(one, *codes):
    """The connection ends; in 5.0 after DISCONNECT with one of `codes` (none given: with any failure)."""
    return one.expect_disconnect(*(codes or range(0x80, 0xA3)))


def drain(one, seconds=0.15):
    """Every PUBLISH that comes until nothing has come for `seconds`; acknowledged."""
    messages = []
    while True:
        try:
            message = one.await_packet(wire.PUBLISH, timeout=seconds)
        except TimedOut:
            return messages
        one.acknowledge(message)
        messages.append(message)


@contextlib.contextmanager
def takes(least, most):
    """What stands inside takes so many seconds."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert least <= took <= most * TIME_SCALE, f"took {took:.2f} s, expected {least} to {most}"


def readable(one, seconds):
    """Whether bytes, or the end, come on the connection within so many seconds."""
    return bool(select.select([one.socket], [], [], seconds)[0])


def subscribe_bytes(version, topic_filter=b"t", options=0, packet_id=1, properties=b"", flags=None):
    return wire.make_subscribe(version, packet_id, [(topic_filter, options)], properties, flags)


def next_bytes(one):
    """The next packet as it stands on the wire (decoded as well, so that it is checked)."""
    deadline = time.monotonic() + DEADLINE
    while True:
        decoded = wire.decode(one.buffer, one.version)
        if decoded:
            data = bytes(one.buffer[:decoded[1]])
            del one.buffer[:decoded[1]]
            return data
        one._fill(deadline)
